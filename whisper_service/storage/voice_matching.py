"""Finds the same people again by their voices: which found speaker is which known one. Pure, without numpy.

A voice is a direction as the actor sends it: little-endian float32, of length 1.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from math import inf, sqrt
from operator import mul
from sys import byteorder
from typing import Final

SAME_VOICE: Final = 0.5
"""Cosine above which two directions may be one person: where the actor, too, takes two voices for one."""


def same_people(found: Sequence[bytes], known: Sequence[bytes], least: float = SAME_VOICE) -> dict[int, int]:
    """Return, for the places of found voices, the places of the known ones that are the same people.

    Nobody is two people. The sum of the cosines is the largest possible. A voice that is not nearer to anybody than the
    cosine `least` is left out.
    """
    ones, others = [_direction(voice) for voice in found], [_direction(voice) for voice in known]
    likeness = [[sum(map(mul, one, other)) if len(one) == len(other) else 0.0 for other in others] for one in ones]
    gains = [[cosine if cosine > least else 0.0 for cosine in row] for row in likeness]
    return best_pairs(gains)


def best_pairs(gains: Sequence[Sequence[float]]) -> dict[int, int]:
    """Return a column for each row so that the sum of gains is the largest. Rows without a gain are left out.

    No column has two rows. Gains are not negative.
    """
    columns = len(gains[0]) if gains else 0
    return {row: column for row, column in enumerate(_assignment(gains, columns)) if column is not None}


def _direction(voice: bytes) -> list[float]:
    numbers = array("f", voice[: len(voice) // 4 * 4])
    if byteorder == "big":
        numbers.byteswap()
    length = sqrt(sum(map(mul, numbers, numbers)))
    return [number / length for number in numbers] if length else []


def _assignment(gains: Sequence[Sequence[float]], columns: int) -> list[int | None]:
    """Return a column for each row, no column twice, with the largest sum of gains. None: the gain would be 0.

    The Hungarian method with potentials (Kuhn 1955, Munkres 1957), O(rows² · columns). Each row has a column of its own
    without a gain, so that it may stay alone.
    """
    rows, width = len(gains), columns + len(gains)
    by_row, by_column = [0.0] * (rows + 1), [0.0] * (width + 1)  # potentials; place 0 is the row that is being placed
    owner, way = [0] * (width + 1), [0] * (width + 1)
    for row in range(1, rows + 1):
        owner[0], column = row, 0
        least, used = [inf] * (width + 1), [False] * (width + 1)
        while owner[column]:
            used[column] = True
            current, step, following = owner[column], inf, 0
            for other in range(1, width + 1):
                if used[other]:
                    continue
                gain = gains[current - 1][other - 1] if other <= columns else 0.0
                cost = -gain - by_row[current] - by_column[other]
                if cost < least[other]:
                    least[other], way[other] = cost, column
                if least[other] < step:
                    step, following = least[other], other
            for other in range(width + 1):
                if used[other]:
                    by_row[owner[other]] += step
                    by_column[other] -= step
                else:
                    least[other] -= step
            column = following
        while column:
            owner[column], column = owner[way[column]], way[column]
    result: list[int | None] = [None] * rows
    for column in range(1, columns + 1):
        if owner[column] and gains[owner[column] - 1][column - 1]:
            result[owner[column] - 1] = column - 1
    return result
