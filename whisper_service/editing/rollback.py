"""Leads a transcript back to what it was before its last edits. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from whisper_service.editing.lines import LineList
from whisper_service.editing.operations import Operation, apply, way_back


def rollback(lines: LineList, inverses: Iterable[Sequence[Operation]]) -> tuple[Operation, ...]:
    """Return the operations that do in one edit what the inverses, those of the newest edit first, do one by one.

    `lines` is the whole transcript as it is now. It is then spoilt: do not use it again.
    """
    now = {line.id: line for line in lines}
    for inverse in inverses:
        if inverse:
            apply(lines, inverse)
    then = {line.id: line for line in lines}
    changed = [line for line in now.values() if then.get(line.id) != line]
    return tuple(way_back(then, changed, [line_id for line_id in then if line_id not in now]))
