"""Signed notes and checkpoints, as C2SP describes them; signatures are made a second time here with the library alone."""

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from countersign.audit import Checkpoint, LogKey, NoteError, VerifierKey, record_of
from countersign.audit.checkpoints import check_consistency, check_inclusion, consistency_text, inclusion_text
from countersign.audit.merkle import Tree, consistency_proof, inclusion_proof, leaf_hash

SEED = bytes(range(32))
KEY = LogKey("countersign/test", SEED)
ENTRIES = [b'{"body":{"n":%d},"kind":"thing","seq":%d,"time":"t","v":1}' % (seq, seq) for seq in range(1, 12)]


def root(start, end):
    return Tree(map(leaf_hash, ENTRIES[start:end])).root


def head(size):
    return Checkpoint.sign(KEY, size, root(0, size))


def test_a_checkpoint_is_the_note_that_c2sp_describes():
    seed = SEED
    private = Ed25519PrivateKey.from_private_bytes(seed)
    public = private.public_key().public_bytes_raw()
    key_id = hashlib.sha256(b"example.com/log\n\x01" + public).digest()[:4]
    key = LogKey.parse(f"PRIVATE+KEY+example.com/log+{key_id.hex()}+{base64.b64encode(bytes([1]) + seed).decode()}\n")
    text = f"example.com/log\n7\n{base64.b64encode(root(0, 7)).decode()}\n"
    signature = base64.b64encode(key_id + private.sign(text.encode())).decode()
    assert Checkpoint.sign(key, 7, root(0, 7)).note == f"{text}\n\u2014 example.com/log {signature}\n"
    assert str(key.verifier) == f"example.com/log+{key_id.hex()}+{base64.b64encode(bytes([1]) + public).decode()}"


def test_i6_a_key_is_not_shown():
    assert base64.b64decode(KEY.text().split("+", 4)[4])[1:].hex() not in repr(KEY)
    assert "_seed" not in repr(KEY)
    with pytest.raises(NoteError) as caught:
        LogKey.parse(KEY.text()[:-3])
    assert KEY.text().split("+", 4)[4][:10] not in str(caught.value)


def test_keys_are_read_as_they_are_written():
    assert LogKey.parse(KEY.text() + "\n") == KEY
    assert VerifierKey.parse(str(KEY.verifier) + "\n") == KEY.verifier


@pytest.mark.parametrize(
    "text",
    ["", "a", "a+b", "a+00000000+AQ==", str(KEY.verifier).replace("test", "other"), KEY.text(), " ".join(str(KEY.verifier))],
)
def test_what_is_no_public_key_is_refused(text):
    with pytest.raises(NoteError):
        VerifierKey.parse(text)


def test_a_note_of_another_key_is_refused_even_of_the_same_name():
    other = LogKey.generate(KEY.name)
    with pytest.raises(NoteError, match="not signed by"):
        Checkpoint.open(head(3).note, other.verifier)


def test_a_witness_may_sign_too_and_a_bad_signature_of_ours_beside_a_good_one_spoils_the_note():
    note = head(3).note
    witnessed = note + LogKey.generate("witness").sign("x\n").rpartition("\n\n")[2]
    assert Checkpoint.open(witnessed, KEY.verifier).size == 3
    with pytest.raises(NoteError, match="not good"):
        Checkpoint.open(note + head(4).note.rpartition("\n\n")[2], KEY.verifier)


@given(st.data())
def test_any_change_of_a_note_is_noticed(data):
    note = head(9).note
    at = data.draw(st.integers(0, len(note) - 1))
    changed = note[:at] + data.draw(st.characters(exclude_characters=note[at], exclude_categories=["Cs"])) + note[at + 1 :]
    with pytest.raises(NoteError):
        Checkpoint.open(changed, KEY.verifier)


@given(st.text())
def test_garbage_is_refused_in_one_way(text):
    for work in (
        lambda: Checkpoint.open(text, None),
        lambda: VerifierKey.parse(text),
        lambda: LogKey.parse("PRIVATE+KEY+" + text),
        lambda: check_inclusion(text, KEY.verifier),
        lambda: check_consistency(text, head(3), KEY.verifier),
    ):
        with pytest.raises(NoteError):
            work()


@pytest.mark.parametrize("body", ["a\n1\n", "a\n01\nx\n", "a\n-1\nx\n", "a\n1\nAAAA\n", "\n1\nAAAA\n", "a\n¹\nAAAA\n"])
def test_a_signed_text_that_is_no_checkpoint_is_none(body):
    with pytest.raises(NoteError):
        Checkpoint.open(KEY.sign(body), KEY.verifier)


def test_a_checkpoint_of_another_log_is_refused_though_our_key_signed_it():
    text = head(3).note.rpartition("\n\n")[0] + "\n"
    with pytest.raises(NoteError, match="of the log other"):
        Checkpoint.open(KEY.sign(text.replace("countersign/test", "other")), KEY.verifier)


@pytest.mark.parametrize("seq", [1, 4, 11])
def test_a_record_is_proved_without_the_log(seq):
    text = inclusion_text(ENTRIES[seq - 1], seq - 1, inclusion_proof(seq - 1, 11, root), head(11))
    entry, checkpoint = check_inclusion(text, KEY.verifier)
    assert record_of(entry).seq == seq
    assert checkpoint == head(11)
    forged = base64.b64encode(ENTRIES[seq - 1].replace(b"thing", b"other")).decode()
    with pytest.raises(NoteError, match="not in the log"):
        check_inclusion(text.replace(base64.b64encode(ENTRIES[seq - 1]).decode(), forged), KEY.verifier)


@pytest.mark.parametrize("old", [1, 4, 7, 11])
def test_growth_is_proved_without_the_log(old):
    text = consistency_text(old, consistency_proof(old, 11, root), head(11))
    assert check_consistency(text, head(old), KEY.verifier) == head(11)
    fork = Checkpoint.sign(KEY, old, leaf_hash(b"another history"))
    with pytest.raises(NoteError, match="does not begin with"):
        check_consistency(text, fork, KEY.verifier)
    with pytest.raises(NoteError, match="no proof of what followed"):
        check_consistency(text, head(3), KEY.verifier)
