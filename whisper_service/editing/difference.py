"""Finds what two lists of words have in common. Pure. The page has the same rules in TypeScript, to the same result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

MAX_CELLS: Final = 250_000
"""A larger table is not made: words between the common beginning and the common end then count as replaced."""


def pairs(old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int]]:
    """Return the positions of a longest common subsequence, ascending. Of several it is the one that begins first."""
    head = 0
    while head < min(len(old), len(new)) and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < min(len(old), len(new)) - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    inner = _longest(old[head : len(old) - tail], new[head : len(new) - tail])
    return [
        *((at, at) for at in range(head)),
        *((head + one, head + other) for one, other in inner),
        *((len(old) - at, len(new) - at) for at in range(tail, 0, -1)),
    ]


def _longest(old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int]]:
    if not old or not new or len(old) * len(new) > MAX_CELLS:
        return []
    width = len(new) + 1
    lengths = [[0] * width for _ in range(len(old) + 1)]  # of the longest common subsequence of both rests
    for one in range(len(old) - 1, -1, -1):
        row, below = lengths[one], lengths[one + 1]
        for other in range(len(new) - 1, -1, -1):
            row[other] = below[other + 1] + 1 if old[one] == new[other] else max(below[other], row[other + 1])
    found, one, other = [], 0, 0
    while one < len(old) and other < len(new):
        if old[one] == new[other]:
            found.append((one, other))
            one, other = one + 1, other + 1
        elif lengths[one + 1][other] >= lengths[one][other + 1]:
            one += 1
        else:
            other += 1
    return found
