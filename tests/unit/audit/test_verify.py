import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from countersign.audit import GENESIS, link, verify
from countersign.model import AuditEvent


def chain(count):
    records, head = [], GENESIS
    for seq in range(1, count + 1):
        record = link(AuditEvent("thing", {"number": seq}), seq=seq, time="2026-11-23T00:00:00.000000Z", previous_hash=head)
        records.append(record)
        head = record.hash
    return records


def test_a_sound_chain_verifies_and_names_its_head():
    records = chain(5)
    found = verify(records)
    assert (found.ok, found.records, found.head) == (True, 5, records[-1].hash)


@given(st.integers(0, 9), st.sampled_from(["alter", "remove", "swap", "insert"]))
def test_any_tampering_in_the_middle_is_found(at, how):
    records = chain(11)
    if how == "alter":
        records[at] = dataclasses.replace(records[at], body={"number": -1})
    elif how == "remove":
        del records[at]
    elif how == "swap":
        records[at], records[at + 1] = records[at + 1], records[at]
    else:
        records.insert(at, dataclasses.replace(records[at], kind="forged"))
    found = verify(records)
    assert not found.ok
    assert found.records == at


def test_a_tail_that_was_cut_off_is_found_by_a_head_kept_elsewhere():
    records = chain(5)
    assert verify(records[:3]).ok
    assert "cut or rewritten" in verify(records[:3], expected_head=records[-1].hash).problem
