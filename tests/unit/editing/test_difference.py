"""What two lists of words have in common."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from whisper_service.editing import difference
from whisper_service.editing.difference import pairs

WORDS = st.lists(st.sampled_from("abcd"), max_size=9)


def longest(old: list[str], new: list[str]) -> int:
    """Return the length of the longest common subsequence by trying every way."""
    if not old or not new:
        return 0
    if old[0] == new[0]:
        return 1 + longest(old[1:], new[1:])
    return max(longest(old[1:], new), longest(old, new[1:]))


@given(WORDS, WORDS)
def test_the_pairs_are_equal_ascending_and_as_many_as_can_be(old: list[str], new: list[str]) -> None:
    found = pairs(old, new)
    assert all(old[one] == new[other] for one, other in found)
    assert found == sorted(found)
    assert len({one for one, _ in found}) == len({other for _, other in found}) == len(found)
    assert len(found) == longest(old, new)


def test_a_very_long_difference_keeps_only_the_common_ends() -> None:
    side = int(difference.MAX_CELLS**0.5) + 1
    old, new = ["a"] * 3 + ["b", "c"] * side + ["z"], ["a"] * 3 + ["c", "b"] * side + ["z"]
    assert [one for one, _ in pairs(old, new)] == [0, 1, 2, len(old) - 1]
