"""Of several gateways one does what only one may, and stops as soon as it does not lead any more."""

import asyncio

import pytest

from countersign.store import Leadership


class Work:
    def __init__(self):
        self.running, self.begun = False, 0
        self.may_end = asyncio.Event()

    async def run(self):
        self.begun += 1
        self.running = True
        try:
            await self.may_end.wait()
        finally:
            self.running = False


async def settle():
    for _ in range(10):
        await asyncio.sleep(0)


async def test_work_goes_on_only_while_it_is_led():
    leadership, work = Leadership(), Work()
    task = asyncio.create_task(leadership.run(work.run))
    await settle()
    assert not work.running
    for times in (1, 2, 3):
        leadership.take()
        await settle()
        assert work.running and work.begun == times
        leadership.lose()
        await settle()
        assert not work.running and not task.done()
    leadership.take()
    await settle()
    work.may_end.set()
    await asyncio.wait_for(task, 5)


async def test_who_is_cancelled_ends_its_work():
    leadership, work = Leadership(is_held=True), Work()
    task = asyncio.create_task(leadership.run(work.run))
    await settle()
    assert work.running
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not work.running


async def test_what_work_raises_is_raised():
    async def fails():
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        await Leadership(is_held=True).run(fails)
