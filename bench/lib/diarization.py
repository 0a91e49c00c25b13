"""Who spoke when and what, against a reference: error rate of turns, share of words under the right speaker.

Names of speakers mean nothing: those of a result are matched with those of the reference, one to one, so that most is
right.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from testkit.scoring import units
from whisper_service.core.domain import Word

RASTER: Final = 200
"""Steps a second at which turns are compared."""


class Turn(NamedTuple):
    """A stretch of speech by one speaker, seconds."""

    start: float
    end: float
    speaker: str


class ErrorRate(NamedTuple):
    """Seconds that are missed, that nobody spoke, that are under another speaker; of so many seconds of speech."""

    missed: float
    false: float
    confused: float
    spoken: float

    def __str__(self) -> str:
        if not self.spoken:
            return "-"
        parts = (100 * part / self.spoken for part in (sum(self[:3]), *self[:3]))
        return "{:.1f} ({:.1f} + {:.1f} + {:.1f})".format(*parts)


def error_rate(reference: Sequence[Turn], found: Sequence[Turn]) -> ErrorRate:
    """Return the diarization error: no collar, speech of two at once counts twice."""
    steps = int(max((turn.end for turn in (*reference, *found)), default=0.0) * RASTER) + 1
    true, heard = _flags(reference, steps), _flags(found, steps)
    right = np.zeros(steps, dtype=int)
    for i, j in matched(true.astype(float) @ heard.T.astype(float)):
        right += true[i] & heard[j]
    talking, claimed = true.sum(axis=0), heard.sum(axis=0)
    missed = np.maximum(talking - claimed, 0).sum()
    false = np.maximum(claimed - talking, 0).sum()
    confused = (np.minimum(talking, claimed) - right).sum()
    return ErrorRate(*(float(count) / RASTER for count in (missed, false, confused, talking.sum())))


def words_right(pairs: Iterable[tuple[str, str]]) -> tuple[int, int]:
    """Return how many words are under the right speaker, and of how many. A pair: true speaker, found speaker."""
    rows = list(pairs)
    true, found = (sorted({row[side] for row in rows}) for side in (0, 1))
    counts = np.zeros((len(true), len(found)))
    for who, name in rows:
        counts[true.index(who), found.index(name)] += 1
    return int(sum(counts[i, j] for i, j in matched(counts))), len(rows)


def under_right_speaker(entry: dict[str, Any], words: Iterable[tuple[Word, str]]) -> str:
    """Return how many of the words that were really said are under the right speaker. Words are matched by text."""
    language = entry["language"]
    utterances = entry.get("utterances") or []
    true = [(part, row.get("speaker")) for row in utterances for part in units(language, row["text"])]
    found = [(part, name) for word, name in words for part in units(language, word.word)]
    matcher = SequenceMatcher(None, [part for part, _ in true], [part for part, _ in found], autojunk=False)
    matches = [(true[a + n], found[b + n]) for a, b, length in matcher.get_matching_blocks() for n in range(length)]
    pairs = [(speaker, name) for (_, speaker), (_, name) in matches if speaker]
    right, count = words_right(pairs)
    return f"{100 * right / count:.1f} % of {count}" if count else "-"


def matched(gains: npt.NDArray[np.float64]) -> list[tuple[int, int]]:
    """Return the pairs (row, column) with the largest sum, no row and no column twice (Kuhn's method)."""
    if not gains.size:
        return []
    if len(gains) > gains.shape[1]:
        return [(i, j) for j, i in matched(gains.T)]
    costs = gains.max() - gains
    rows, columns = costs.shape
    by_row, by_column = np.zeros(rows + 1), np.zeros(columns + 1)
    owner = [0] * (columns + 1)  # of each column: its row, from 1; 0: free
    for row in range(1, rows + 1):
        owner[0], column = row, 0
        least, seen, back = np.full(columns + 1, np.inf), np.zeros(columns + 1, dtype=bool), [0] * (columns + 1)
        while owner[column]:
            seen[column] = True
            reduced = costs[owner[column] - 1] - by_row[owner[column]] - by_column[1:]
            for j in range(1, columns + 1):
                if not seen[j] and reduced[j - 1] < least[j]:
                    least[j], back[j] = reduced[j - 1], column
            following = min((j for j in range(1, columns + 1) if not seen[j]), key=lambda j: least[j])
            step = least[following]
            for j in range(columns + 1):
                if seen[j]:
                    by_row[owner[j]] += step
                    by_column[j] -= step
                else:
                    least[j] -= step
            column = following
        while column:
            owner[column] = owner[back[column]]
            column = back[column]
    return [(owner[j] - 1, j - 1) for j in range(1, columns + 1) if owner[j]]


def reference_turns(entry: dict[str, Any]) -> list[Turn]:
    """Return the turns of a line of `manifest.jsonl`: its `turns`, or else its `utterances` if all name a speaker."""
    rows = entry.get("turns") or entry.get("utterances") or []
    return [Turn(r["start"], r["end"], r["speaker"]) for r in rows] if all(r.get("speaker") for r in rows) else []


def _flags(turns: Sequence[Turn], steps: int) -> npt.NDArray[np.bool_]:
    names = sorted({turn.speaker for turn in turns})
    flags = np.zeros((len(names), steps), dtype=np.bool_)
    for turn in turns:
        flags[names.index(turn.speaker), round(turn.start * RASTER) : round(turn.end * RASTER)] = True
    return flags
