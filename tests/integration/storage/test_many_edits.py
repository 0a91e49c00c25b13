"""Hundreds of edits at random in a transcript of ten hours: what is stored is what the log says."""

from __future__ import annotations

import random

import msgspec
import pytest

from tests.integration.storage.rows import new as new_job
from whisper_service.core.domain import Segment, Span, Word
from whisper_service.core.errors import BadEdit, EditConflict
from whisper_service.core.job_states import Cause
from whisper_service.editing.applying import apply
from whisper_service.editing.lines import Line, LineList, line_of
from whisper_service.editing.operations import (
    ChangeText,
    DeleteLine,
    InsertLine,
    MergeLines,
    Operation,
    SetChecked,
    SetSpeaker,
    SetTimes,
    SplitLine,
)
from whisper_service.storage.store import Store
from whisper_service.storage.transcript_edits import Edit

pytestmark = pytest.mark.anyio
CHUNKS, IN_CHUNK, LINE_S = 88, 100, 4.0
EDITS = 500
WORDS = ("The", "quick", "brown", "fox", "jumps", "over", "the", "lazy", "dog.")


async def ten_hours(store: Store) -> None:
    """Add a job with 8,800 lines of nine words each."""
    await store.add(new_job("a"))
    await store.move("a", Cause.CLAIM)
    for chunk in range(CHUNKS):
        start = chunk * IN_CHUNK * LINE_S
        await store.add_chunk("a", Span(chunk, chunk * 16_000, 16_000, start, start + IN_CHUNK * LINE_S))
        segments = []
        for index in range(IN_CHUNK):
            begin = start + index * LINE_S
            words = tuple(Word(begin + at / 3, begin + (at + 1) / 3, f" {word}", 0.9) for at, word in enumerate(WORDS))
            segments.append(Segment(chunk, index, begin, begin + 3.0, " " + " ".join(WORDS), words))
        await store.checkpoint("a", chunk, segments, "en")


def drawn(chance: random.Random, lines: list[Line], number: int) -> Operation:
    """Return an operation that a person could do with these lines."""
    at = chance.randrange(len(lines) - 1)
    line, following = lines[at], lines[at + 1]
    text = line.text.strip()
    kind = chance.random()
    if kind < 0.35:
        words = text.split()
        words[chance.randrange(len(words))] = chance.choice(["new", "苹果", "two words", f"w{number}", "."])
        return ChangeText(id=line.id, v=line.version, text=" ".join(words))
    if kind < 0.5 and " " in text:
        return SplitLine(id=line.id, v=line.version, at=len(line.text) - len(text.split(" ", 1)[1]), new=f"n{number}")
    if kind < 0.65:
        return MergeLines(ids=(line.id, following.id), v=(line.version, following.version))
    if kind < 0.75:
        return DeleteLine(id=line.id, v=line.version)
    if kind < 0.85:
        start = min(line.end, following.start)
        return InsertLine(after=line.id, new=f"n{number}", start=max(line.start, start), end=start + 1.0, text="Mine")
    if kind < 0.9:
        return SetTimes(id=line.id, v=line.version, start=line.start, end=line.end + 0.5)
    if kind < 0.95:
        return SetSpeaker(ids=(line.id, following.id), speaker=None)
    return SetChecked(ids=(line.id,), on=True)


async def test_after_five_hundred_edits_at_random_the_lines_are_what_the_log_says(store: Store) -> None:
    """Criterion 38."""
    await ten_hours(store)
    chance = random.Random(38)
    segments = await store.segments("a")
    machine = list(map(line_of, segments))
    lines = list(machine)
    kinds: set[str] = set()
    undone = refused = 0
    for number in range(EDITS):
        edit = Edit(f"b{number}", (), "tab", "Li")
        try:
            if number and chance.random() < 0.15:
                written = await store.edits.undo("a", chance.randrange(1, (await store.job("a")).edits + 1), edit, 1.0)
                undone += 1
            else:
                operation = drawn(chance, lines, number)
                kinds.add(type(operation).__name__)
                written = await store.edits.apply("a", msgspec.structs.replace(edit, operations=(operation,)), 1.0)
        except (EditConflict, BadEdit):
            refused += 1  # an undo of what was changed since, or of an edit that changed nothing
            continue
        known = {line.id: line for line in lines} | {line.id: line for line in written.result.lines}
        for line_id in written.result.gone:
            known.pop(line_id, None)
        lines = list(LineList(known.values()))  # as a client follows the events
    assert len(kinds) == 8
    assert undone > 20
    assert refused < 50

    stored = await store.edits.lines("a")
    assert stored == lines
    log = await store.edits.log.history("a", limit=EDITS)
    assert len(log) == (await store.job("a")).edits > 400
    folded = LineList(machine)
    for record in reversed(log):
        apply(folded, record.operations)
    numbered = {line.id: line.index for line in stored}  # the store numbers new lines
    assert [msgspec.structs.replace(line, index=numbered[line.id]) for line in folded] == stored
    assert [line.start for line in stored] == sorted(line.start for line in stored)
    assert await store.segments("a") == segments
    await store.edits.restore("a", 0, Edit("back", ()), 1.0, len(log))
    assert [(line.id, line.text, line.words) for line in await store.edits.lines("a")] == [
        (line.id, line.text, line.words) for line in machine
    ]
