from countersign.protocols.postgres.remembering import remembered


def test_short_texts_are_answered_once_and_long_ones_are_not_kept():
    asked = []

    @remembered(4, longest=5)
    def length(sql: str, more: int = 0) -> int:
        asked.append(sql)
        return len(sql) + more

    assert [length("short"), length("short"), length("longer"), length("longer")] == [5, 5, 6, 6]
    assert [length("short", 1), length("short", more=1)] == [6, 6]
    assert asked == ["short", "longer", "longer", "short", "short"]
