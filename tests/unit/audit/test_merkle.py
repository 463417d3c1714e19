"""The tree against RFC 6962's definitions, written out here a second time, and against its example."""

import hashlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countersign import _core
from countersign.audit.merkle import EMPTY_ROOT, Tree, consistency_proof, grew, includes, inclusion_proof, leaf_hash, node_hash

EXAMPLE = [b"", b"\x00", b"\x10", b"\x20\x21", b"\x30\x31", b"\x40\x41\x42\x43", bytes(range(0x50, 0x58)), bytes(range(0x60, 0x70))]
"""Inputs of growing length, from the empty one on: the eight that implementations of RFC 6962 compare with each other."""


def mth(leaves: list[bytes]) -> bytes:
    """Section 2.1, by its words: the largest power of two smaller than n splits."""
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    k = max(2**power for power in range(40) if 2**power < len(leaves))
    return hashlib.sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def path(m: int, leaves: list[bytes]) -> list[bytes]:
    """Section 2.1.1."""
    n = len(leaves)
    if n == 1:
        return []
    k = max(2**power for power in range(40) if 2**power < n)
    return [*path(m, leaves[:k]), mth(leaves[k:])] if m < k else [*path(m - k, leaves[k:]), mth(leaves[:k])]


def subproof(m: int, leaves: list[bytes], whole: bool) -> list[bytes]:
    """Section 2.1.2."""
    n = len(leaves)
    if m == n:
        return [] if whole else [mth(leaves)]
    k = max(2**power for power in range(40) if 2**power < n)
    if m <= k:
        return [*subproof(m, leaves[:k], whole), mth(leaves[k:])]
    return [*subproof(m - k, leaves[k:], False), mth(leaves[:k])]


def tree_of(leaves: list[bytes]) -> Tree:
    return Tree(map(leaf_hash, leaves))


def subtree_of(leaves: list[bytes]):
    return lambda start, end: tree_of(leaves[start:end]).root


LEAVES = st.lists(st.binary(max_size=3), min_size=1, max_size=40)


def test_the_empty_tree_and_the_empty_leaf_have_the_hashes_that_follow_from_sha_256():
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"


@pytest.mark.parametrize("size", range(9))
def test_the_roots_of_the_example_at_every_size(size):
    assert tree_of(EXAMPLE[:size]).root == mth(EXAMPLE[:size])


def test_rfc_6962_s_example_of_seven_leaves():
    """Section 2.1.3: its proofs, named as there."""
    d = EXAMPLE[:7]
    a, b, c, dd, e, f, j = map(leaf_hash, d)
    g, h, i = node_hash(a, b), node_hash(c, dd), node_hash(e, f)
    k, l_ = node_hash(g, h), node_hash(i, j)
    assert tree_of(d).root == node_hash(k, l_)
    assert inclusion_proof(0, 7, subtree_of(d)) == [b, h, l_]
    assert inclusion_proof(3, 7, subtree_of(d)) == [c, g, l_]
    assert inclusion_proof(4, 7, subtree_of(d)) == [f, j, k]
    assert inclusion_proof(6, 7, subtree_of(d)) == [i, k]
    assert consistency_proof(3, 7, subtree_of(d)) == [c, dd, g, l_]
    assert consistency_proof(4, 7, subtree_of(d)) == [l_]
    assert consistency_proof(6, 7, subtree_of(d)) == [i, j, k]


@given(LEAVES)
def test_every_root_on_the_way_is_the_one_of_the_definition_in_python_and_in_the_core(leaves):
    tree, edge = Tree(), b""
    for size, leaf in enumerate(leaves):
        tree.append(leaf_hash(leaf))
        edge = _core.tree_extend(size, edge, leaf_hash(leaf))
        assert tree.root == _core.tree_root(size + 1, edge) == mth(leaves[: size + 1])
    assert _core.tree_extend(0, b"", b"".join(map(leaf_hash, leaves))) == edge == b"".join(tree.peaks)


@given(LEAVES, st.data())
def test_an_inclusion_proof_is_the_definition_s_and_holds_for_its_leaf_place_and_tree_only(leaves, data):
    index = data.draw(st.integers(0, len(leaves) - 1))
    proof = inclusion_proof(index, len(leaves), subtree_of(leaves))
    root, leaf = tree_of(leaves).root, leaf_hash(leaves[index])
    assert proof == path(index, leaves)
    assert includes(leaf, index, len(leaves), proof, root)
    assert not includes(leaf_hash(b"forged"), index, len(leaves), proof, root)
    assert not includes(leaf, index, len(leaves), proof, leaf_hash(b"forged"))
    assert not includes(leaf, index, len(leaves), [*proof, leaf], root)
    assert not includes(leaf, len(leaves), len(leaves), proof, root)
    if proof:
        assert not includes(leaf, index, len(leaves), proof[1:], root)
        flipped = data.draw(st.integers(0, len(proof) - 1))
        assert not includes(leaf, index, len(leaves), [*proof[:flipped], leaf_hash(b"no leaf of it"), *proof[flipped + 1 :]], root)


@given(LEAVES, st.data())
def test_a_consistency_proof_is_the_definition_s_and_holds_for_trees_that_grew_only(leaves, data):
    old = data.draw(st.integers(1, len(leaves)))
    proof = consistency_proof(old, len(leaves), subtree_of(leaves))
    before, after = tree_of(leaves[:old]).root, tree_of(leaves).root
    assert proof == subproof(old, leaves, True)
    assert grew(old, before, len(leaves), after, proof)
    assert not grew(old, leaf_hash(b"forged"), len(leaves), after, proof)
    assert not grew(old, before, len(leaves), leaf_hash(b"forged"), proof)
    assert not grew(old, before, len(leaves), after, [*proof, before])
    if proof:
        assert not grew(old, before, len(leaves), after, proof[1:])
        changed = [*leaves[: old - 1], leaves[old - 1] + b"!", *leaves[old:]]
        assert not grew(old, before, len(leaves), tree_of(changed).root, consistency_proof(old, len(leaves), subtree_of(changed)))


def test_what_cannot_be_proved_is_refused():
    for index, size in ((-1, 3), (3, 3), (0, 0)):
        with pytest.raises(ValueError):
            inclusion_proof(index, size, subtree_of(EXAMPLE))
    for old, size in ((0, 3), (4, 3)):
        with pytest.raises(ValueError):
            consistency_proof(old, size, subtree_of(EXAMPLE))
    assert not grew(0, EMPTY_ROOT, 3, tree_of(EXAMPLE[:3]).root, [])
    assert not grew(2, EMPTY_ROOT, 4, tree_of(EXAMPLE[:4]).root, [])


@given(LEAVES)
def test_a_proof_has_no_more_hashes_than_the_tree_has_levels(leaves):
    sizes = [len(inclusion_proof(index, len(leaves), subtree_of(leaves))) for index in range(len(leaves))]
    assert max(sizes) <= (len(leaves) - 1).bit_length()
    assert all(later <= earlier for earlier, later in pairwise(sizes))
