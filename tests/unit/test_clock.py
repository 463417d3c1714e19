from datetime import UTC, datetime, timedelta

import pytest

from countersign.model.clock import SteadyClock

START = datetime(2026, 11, 25, 12, tzinfo=UTC)


class Scene:
    """A machine whose clock is set apart from how time passes."""

    def __init__(self):
        self.wall, self.passed_s, self.told = START, 100.0, []
        self.clock = SteadyClock(lambda: self.wall, lambda: self.passed_s, self.told.append)

    def later(self, seconds, *, clock_moves=None):
        self.passed_s += seconds
        self.wall += timedelta(seconds=seconds if clock_moves is None else clock_moves)
        return (self.clock() - START).total_seconds()


@pytest.fixture
def scene():
    return Scene()


def test_it_is_the_machines_clock_while_that_goes_on(scene):
    assert [scene.later(10), scene.later(0.5), scene.later(3600)] == [10, 10.5, 3610.5]
    assert scene.told == []


def test_i4_set_back_it_goes_on_by_the_time_that_passes(scene):
    scene.later(10)
    assert scene.later(5, clock_moves=-3600) == 15
    assert scene.later(600) == 615
    assert scene.told == [3605]


def test_set_forward_it_follows_and_stays_there(scene):
    assert scene.later(1, clock_moves=3600) == 3600
    assert scene.later(1, clock_moves=-3598) == 3601
    assert len(scene.told) == 1


def test_once_the_machines_clock_has_caught_up_it_is_told_again(scene):
    scene.later(0, clock_moves=-60)
    scene.later(0, clock_moves=90)
    scene.later(0, clock_moves=-90)
    assert scene.told == [60, 90] and scene.later(0) == 30


def test_small_corrections_are_told_to_nobody(scene):
    for _ in range(20):
        scene.later(1, clock_moves=0.99)
    assert scene.told == [] and scene.later(0) == pytest.approx(20)
