"""The log of edits: what was changed, by whom, and which edits were one act."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from typing import Any, Final

import msgspec

from whisper_service.core.domain import Value
from whisper_service.editing.operations import Operation
from whisper_service.storage import row_mapping
from whisper_service.storage.connections import Connections

MAX_CHANGES: Final = 5
"""Lines of an edit that the history shows. A replacement may change thousands."""
_operations = msgspec.json.Decoder(tuple[Operation, ...])


class EditKind(StrEnum):
    """How an edit came about."""

    EDIT = "edit"  # a person changed lines
    UNDO = "undo"  # a person took an edit back
    RESTORE = "restore"  # a person went back to an earlier text
    REPLACE = "replace"  # words were replaced in many transcripts
    VOCABULARY = "vocabulary"  # the vocabulary corrected what the model wrote
    ALIGN = "align"  # words that people wrote got the times at which they are said


class LineChange(Value, frozen=True):
    """What an edit changed in a line. `start` in seconds. None: the line was not there before, or is not any more."""

    id: str
    start: float
    before: str | None
    after: str | None


class EditRecord(Value, frozen=True):
    """A row of the log of edits. `at` in Unix seconds."""

    number: int
    at: float
    client: str
    author: str
    operations: tuple[Operation, ...]
    undoes: int | None = None
    undone: bool = False
    kind: EditKind = EditKind.EDIT
    group: str | None = None  # edits of several jobs that were one act
    changes: tuple[LineChange, ...] = ()  # of the first lines, in order
    lines: int = 0  # how many lines were changed


class _Text(Value, frozen=True):
    """The part of a line that the history shows."""

    id: str
    start: float
    text: str


class _Result(Value, frozen=True):
    """The part of `EditResult` that the history shows."""

    lines: tuple[_Text, ...]
    gone: tuple[str, ...]


class _Inverse(Value, frozen=True):
    """The part of an inverse operation that says what the lines were, and which ones were not there."""

    lines: tuple[_Text, ...] = ()
    gone: tuple[str, ...] = ()


_result = msgspec.json.Decoder(_Result)
_inverse = msgspec.json.Decoder(tuple[_Inverse, ...])
_OF_TEXT: Final = f"kind <> '{EditKind.ALIGN}'"
"""Condition on rows of `edit`: more than times of words was changed."""
_RECORD: Final = ("number", "at", "client", "author", "operations", "undoes", "kind", "group")


class EditLog:
    """The reads of the table `edit`."""

    def __init__(self, connections: Connections) -> None:
        self._db = connections

    async def history(self, job_id: str, *, before: int | None = None, limit: int = 100) -> list[EditRecord]:
        """Return the edits of a job before the one with a number, the newest first."""
        rows = await self._db.read(
            f"SELECT {row_mapping.names(_RECORD)}, inverse, result, EXISTS (SELECT 1 FROM edit AS later"
            " WHERE later.job_id = edit.job_id AND later.undoes = edit.number) AS undone FROM edit"
            " WHERE job_id = :id AND (:before IS NULL OR number < :before) ORDER BY number DESC LIMIT :limit",
            id=job_id, before=before, limit=limit,
        )  # fmt: skip
        return list(map(_record, rows))

    async def of_group(self, group: str) -> list[tuple[str, int]]:
        """Return the job and the number of each edit of a group, of jobs that are not in the trash."""
        rows = await self._db.read(
            'SELECT job_id, number FROM edit JOIN kept ON kept.id = job_id WHERE "group" = :group ORDER BY job_id',
            group=group,
        )
        return [(row["job_id"], row["number"]) for row in rows]

    async def is_edited_since(self, job_id: str, number: int) -> bool:
        """Return whether a job was edited since the edit with a number. New times of words alone do not count."""
        rows = await self._db.read(
            f"SELECT 1 FROM edit WHERE job_id = :id AND number > :number AND {_OF_TEXT} LIMIT 1",
            id=job_id, number=number,
        )  # fmt: skip
        return bool(rows)

    async def changed_by(self, job_id: str, ids: Collection[str], *, after: int) -> str | None:
        """Return who changed any of these lines last, in edits behind the one with a number. None: nobody.

        Inside a transaction.
        """
        wanted, before = set(ids), None
        while True:
            rows = await self._db.run(
                f"SELECT number, author, result FROM edit WHERE job_id = :id AND number > :after AND {_OF_TEXT}"
                " AND (:before IS NULL OR number < :before) ORDER BY number DESC LIMIT 1",
                id=job_id, after=after, before=before,
            )  # fmt: skip
            if not rows:
                return None
            result = _result.decode(rows[0]["result"])
            if wanted & {*(line.id for line in result.lines), *result.gone}:
                return str(rows[0]["author"])
            before = rows[0]["number"]


def _record(row: Any) -> EditRecord:
    changes = _changes(_result.decode(row["result"]), _inverse.decode(row["inverse"]))
    return EditRecord(
        **{field: row[field] for field in _RECORD}
        | {
            "operations": _operations.decode(row["operations"]),
            "kind": EditKind(row["kind"]),
            "undone": bool(row["undone"]),
            "changes": changes[:MAX_CHANGES],
            "lines": len(changes),
        }
    )


def _changes(result: _Result, inverse: tuple[_Inverse, ...]) -> tuple[LineChange, ...]:
    """Return what happened to each line, in order of the recording. Speakers and checks leave the text as it is."""
    before = {line.id: line for operation in inverse for line in operation.lines}
    made = {line_id for operation in inverse for line_id in operation.gone}
    changes = [
        LineChange(
            line.id,
            line.start,
            None if line.id in made else before.get(line.id, line).text,
            line.text,
        )
        for line in result.lines
    ]
    changes += [LineChange(line_id, before[line_id].start, before[line_id].text, None) for line_id in result.gone]
    return tuple(sorted(changes, key=lambda change: change.start))
