"""The lines of transcripts and the log of edits. An edit, its lines and its change are one transaction."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from msgspec.structs import replace

from whisper_service.core.domain import Change, Value
from whisper_service.core.errors import BadEdit, EditConflict, NotFound
from whisper_service.editing.applying import Outcome, apply
from whisper_service.editing.lines import Line, LineList, line_of, place_of_segment, segment_id
from whisper_service.editing.marking import mark_changes, texts
from whisper_service.editing.marks import Mark
from whisper_service.editing.operations import InsertLine, Operation, RemoveSpeaker, ids_of
from whisper_service.editing.retiming import TimedWord
from whisper_service.editing.rollback import rollback
from whisper_service.editing.speaker_changes import CONCERNED, speaker_changes
from whisper_service.editing.speakers import Speaker
from whisper_service.storage import row_mapping
from whisper_service.storage.alignment_rows import note_spread
from whisper_service.storage.change_log import ChangeLog
from whisper_service.storage.connections import Connections
from whisper_service.storage.edit_log import EditKind, EditLog
from whisper_service.storage.queries import raise_not_found
from whisper_service.storage.speakers import Speakers
from whisper_service.storage.transcript_marks import read_marks, write_marks

FIRST_INDEX: Final = 2_048
LAST_INDEX: Final = 4_095
"""Numbers within a chunk for lines that people wrote. A chunk has far fewer segments. The search index ends there."""
CHANGE_KIND: Final = "edit"

LAST_CHUNK: Final = 2**62
_OF_SEGMENT: Final = ("avg_logprob", "no_speech_prob", "compression_ratio")
"""Fields of a line that only its segment stores."""
_LINE: Final = tuple(field for field in Line.__struct_fields__ if field not in _OF_SEGMENT)
_COLUMNS: Final = ", ".join([*(f'line."{field}"' for field in _LINE), *_OF_SEGMENT])
_NOT_REPLACED: Final = (
    "NOT EXISTS (SELECT 1 FROM line WHERE line.job_id = segment.job_id AND line.chunk = segment.chunk"
    ' AND line."index" = segment."index")'
)
"""Condition on rows of `segment`: no line stands for it."""
_words = msgspec.json.Decoder(tuple[TimedWord, ...])
_operations = msgspec.json.Decoder(tuple[Operation, ...])
_encode = msgspec.json.Encoder().encode
_Run = Callable[..., Awaitable[list[sqlite3.Row]]]


class Edit(Value, frozen=True):
    """One act of a person, as a client sends it. `batch` is made by the client: sent twice, it is one edit."""

    batch: str
    operations: tuple[Operation, ...]
    client: str = ""  # the browser or program
    author: str = ""  # the name that its user gave
    undoes: int | None = None
    kind: EditKind = EditKind.EDIT
    group: str | None = None  # edits of several jobs that are one act


class EditResult(Value, frozen=True):
    """What an edit changed. Also the payload of its change."""

    job_id: str
    number: int  # 1, 2, 3 ... of this job
    batch: str
    client: str
    lines: tuple[Line, ...]  # as they are now, whole
    gone: tuple[str, ...]  # IDs
    speakers: tuple[Speaker, ...] | None = None  # all of them, in order; None: none of them changed
    marks: tuple[Mark, ...] = ()  # those that changed, also because their words moved
    marks_gone: tuple[str, ...] = ()  # IDs


class LineText(Value, frozen=True):
    """The text of a line that is shown. `start` in seconds."""

    id: str
    version: int
    start: float
    text: str
    language: str | None = None


class WrittenEdit(NamedTuple):
    """An edit and the changes to publish. Without changes: the edit had been made before."""

    result: EditResult
    changes: tuple[Change, ...]


class TranscriptEdits:
    """The tables `line` and `edit`. `log` reads the latter."""

    def __init__(self, connections: Connections, change_log: ChangeLog, speakers: Speakers) -> None:
        self._db = connections
        self._speakers = speakers
        self.log = EditLog(connections)
        self._change_log = change_log

    async def lines(self, job_id: str) -> list[Line]:
        """Return the lines that are shown of a job, in order."""
        return list(await self._lines(self._db.read, job_id))

    async def deleted(self, job_id: str) -> list[str]:
        """Return the IDs of the lines that were deleted, also of segments."""
        rows = await self._db.read("SELECT id FROM line WHERE job_id = :id AND deleted ORDER BY id", id=job_id)
        return [row["id"] for row in rows]

    async def marks(self, job_id: str) -> list[Mark]:
        """Return the bookmarks, highlights and notes of a job, the oldest first."""
        return await read_marks(self._db.read, job_id)

    async def line_texts(self, job_id: str) -> list[LineText]:
        """Return the texts of the lines that are shown of a job, in order, without their words."""
        rows = await self._db.read(
            "SELECT id, version, start, text, language FROM ("
            "SELECT id, version, chunk, position, start, text, language FROM line"
            " WHERE job_id = :id AND NOT deleted UNION ALL"
            " SELECT 'c' || chunk || '.' || \"index\", 0, chunk, \"index\", start, text, language FROM segment"
            f" WHERE job_id = :id AND {_NOT_REPLACED}) ORDER BY chunk, position, id",
            id=job_id,
        )
        return [LineText(*row) for row in rows]

    async def apply(self, job_id: str, edit: Edit, now: float) -> WrittenEdit:
        """Make an edit. The same batch again gives the same result and changes nothing.

        Raises `NotFound`, `EditConflict` and `BadEdit`.
        """
        async with self._db.transaction():
            return await self._apply(job_id, edit, now)

    async def undo(self, job_id: str, number: int, edit: Edit, now: float) -> WrittenEdit:
        """Take back the edit with a number. `edit` has no operations: they are the inverse.

        Raises `NotFound`, `EditConflict` if its lines were changed since, and `BadEdit`.
        """
        async with self._db.transaction():
            await self._edits(job_id)
            if (known := await self._known(job_id, edit)) is not None:
                return known
            found = await self._db.run(
                "SELECT inverse FROM edit WHERE job_id = :id AND number = :number", id=job_id, number=number
            )
            if not found:
                raise NotFound(f"The job has no edit {number}.", id=job_id)
            operations = _operations.decode(found[0]["inverse"])
            undo = replace(edit, operations=operations, undoes=number, kind=EditKind.UNDO)
            try:
                return await self._apply(job_id, undo, now)
            except EditConflict as error:
                error.params["author"] = await self.log.changed_by(job_id, error.params["ids"], after=number)
                raise

    async def restore(self, job_id: str, number: int, edit: Edit, now: float, newest: int) -> WrittenEdit:
        """Set the transcript back to what it was after the edit with a number, 0: as the model wrote it.

        That is an edit of its own, which can be undone. `edit` has no operations. `newest` is the newest edit that the
        client knows. Raises as `undo`, and `EditConflict` when there is a newer one of more than times of words.
        """
        async with self._db.transaction():
            if (known := await self._known(job_id, edit)) is not None:
                return known
            number_now = await self._edits(job_id)
            if number_now < newest or await self.log.is_edited_since(job_id, newest):
                message = "The transcript was changed meanwhile."
                raise EditConflict(message, hint="Look at it again, then repeat.", id=job_id, number=number_now)
            if number > newest:
                raise NotFound(f"The job has no edit {number}.", id=job_id)
            later = await self._db.run(
                "SELECT inverse FROM edit WHERE job_id = :id AND number > :number ORDER BY number DESC",
                id=job_id, number=number,
            )  # fmt: skip
            lines = await self._lines(self._db.run, job_id)
            marks = await read_marks(self._db.run, job_id)
            inverses = [_operations.decode(row["inverse"]) for row in later]
            operations = rollback(lines, inverses, marks, await self._speakers.known(job_id))
            return await self._apply(job_id, replace(edit, operations=operations, kind=EditKind.RESTORE), now)

    # -- inside a transaction ----------------------------------------------------------------------------------------

    async def apply_within(self, job_id: str, edit: Edit, now: float) -> WrittenEdit:
        """Make an edit as `apply` does, in a transaction of the caller."""
        return await self._apply(job_id, edit, now)

    async def around(self, job_id: str, chunk: int) -> LineList:
        """Return the lines of a chunk and of the nearest chunks with lines on both sides."""
        before = await self._next_chunk(job_id, "<", chunk, "DESC")
        behind = await self._next_chunk(job_id, ">", chunk, "ASC")
        first, last = chunk if before is None else before, chunk if behind is None else behind
        return await self._lines(self._db.run, job_id, first, last)

    async def _apply(self, job_id: str, edit: Edit, now: float) -> WrittenEdit:
        number = await self._edits(job_id) + 1
        if (known := await self._known(job_id, edit)) is not None:
            return known
        window = await self._window(job_id, edit.operations)
        people = await self._speakers.known(job_id)
        spoken = speaker_changes(people, edit.operations, strict=edit.undoes is None)
        lines = await self._lines(self._db.run, job_id, *window)
        marks, before = await read_marks(self._db.run, job_id), texts(lines)
        try:
            outcome = apply(lines, spoken.operations)
            marked = mark_changes(marks, edit.operations, before, texts(lines), author=edit.author, now=now)
        except EditConflict as error:
            lines = await self._lines(self._db.run, job_id, *window)
            error.params |= {"number": number - 1, "lines": [lines.get(each) for each in error.params["ids"]]}
            raise
        written = await self._write(job_id, outcome)
        if edit.kind is not EditKind.ALIGN:
            await note_spread(self._db, job_id, written, now)
        talk = await self._speakers.change(job_id, people, spoken)
        await write_marks(self._db, job_id, marked)
        result = EditResult(
            job_id, number, edit.batch, edit.client, written, outcome.gone,
            speakers=talk.speakers, marks=marked.marks, marks_gone=marked.gone,
        )  # fmt: skip
        payload = _encode(result)
        await self._db.run(
            "INSERT INTO edit (job_id, number, batch, at, client, author, operations, inverse, result, undoes, kind,"
            ' "group") VALUES (:job_id, :number, :batch, :at, :client, :author, :operations, :inverse, :result,'
            " :undoes, :kind, :group)",
            job_id=job_id, number=number, batch=edit.batch, at=now, client=edit.client, author=edit.author,
            operations=row_mapping.json(edit.operations),
            inverse=row_mapping.json((*talk.inverse, *outcome.inverse, *marked.inverse)), result=payload,
            undoes=edit.undoes, kind=edit.kind, group=edit.group,
        )  # fmt: skip
        await self._db.run("UPDATE job SET edits = :number WHERE id = :id", id=job_id, number=number)
        news = [(CHANGE_KIND, payload)]
        if any(isinstance(operation, CONCERNED) for operation in edit.operations):
            news += await self._speakers.recounted(job_id)
        return WrittenEdit(result, await self._change_log.append(job_id, news))

    async def _known(self, job_id: str, edit: Edit) -> WrittenEdit | None:
        """Return the edit with the same batch, if it was made before."""
        sql = "SELECT result FROM edit WHERE job_id = :id AND batch = :batch"
        found = await self._db.run(sql, id=job_id, batch=edit.batch)
        return WrittenEdit(msgspec.json.decode(found[0]["result"], type=EditResult), ()) if found else None

    async def _edits(self, job_id: str) -> int:
        """Return the number of the newest edit. Raises `NotFound`."""
        found = await self._db.run("SELECT edits FROM kept WHERE id = :id", id=job_id)
        return int(found[0]["edits"]) if found else raise_not_found(job_id)

    async def _write(self, job_id: str, outcome: Outcome) -> tuple[Line, ...]:
        """Write the lines of an edit and return them with their numbers."""
        written: list[Line] = []
        made = Counter[int]()  # new lines of this edit, by chunk
        for line in outcome.lines:
            if line.index < 0:
                line = replace(line, index=await self._free_index(job_id, line, made[line.chunk]))
                made[line.chunk] += 1
            written.append(line)
        columns = row_mapping.names(["job_id", *_LINE, "deleted"])
        values = row_mapping.marks(["job_id", *_LINE])
        changed = ", ".join(f'"{field}" = excluded."{field}"' for field in (*_LINE, "deleted"))
        await self._db.run_many(
            f"INSERT INTO line ({columns}) VALUES ({values}, 0)"
            f' ON CONFLICT (job_id, chunk, "index") DO UPDATE SET {changed}',
            [row_mapping.cells(_LINE, line) | {"job_id": job_id} for line in written],
        )
        await self._delete(job_id, outcome.gone)
        return tuple(written)

    async def _delete(self, job_id: str, ids: Sequence[str]) -> None:
        """Show these lines no more. A segment without a line gets one, which says that it is deleted."""
        marked = row_mapping.json(list(ids))
        found = await self._db.run(
            "UPDATE line SET deleted = 1 WHERE job_id = :id AND id IN (SELECT value FROM json_each(:ids)) RETURNING id",
            id=job_id, ids=marked,
        )  # fmt: skip
        known = {row["id"] for row in found}
        segments = [place for line_id in ids if line_id not in known and (place := place_of_segment(line_id))]
        await self._db.run_many(
            'INSERT INTO line SELECT job_id, chunk, "index", ?, 1, 1, "index", start, "end", text, words, language,'
            " speaker, 0, 0, 'machine', 1 FROM segment WHERE job_id = ? AND chunk = ? AND \"index\" = ?",
            [(segment_id(*place), job_id, *place) for place in segments],
        )

    async def _free_index(self, job_id: str, line: Line, made: int) -> int:
        """Return the number of a new line in its chunk, behind the `made` ones that are not stored yet.

        Raises `BadEdit` if it is not new, or the chunk is full.
        """
        known = await self._db.run("SELECT 1 FROM line WHERE job_id = :id AND id = :line", id=job_id, line=line.id)
        sql = f'SELECT coalesce(max("index"), {FIRST_INDEX - 1}) + 1 FROM line WHERE job_id = :id AND chunk = :chunk'
        free = await self._db.run(f'{sql} AND "index" >= {FIRST_INDEX}', id=job_id, chunk=line.chunk)
        index = int(free[0][0]) + made
        if known or index > LAST_INDEX:
            raise BadEdit("There is no room for this line.", reason="no_room", id=job_id)
        return index

    # -- reads, of what is committed or inside a transaction -----------------------------------------------------------

    async def _window(self, job_id: str, operations: Sequence[Operation]) -> tuple[int, int]:
        """Return the first and the last chunk that operations and the times of their lines depend on."""
        named = {line_id for operation in operations for line_id in ids_of(operation)}
        chunks = {place[0] for line_id in named if (place := place_of_segment(line_id))}
        removed = [operation.id for operation in operations if isinstance(operation, RemoveSpeaker)]
        rows = await self._db.run(
            "SELECT DISTINCT chunk FROM line WHERE job_id = :id AND (id IN (SELECT value FROM json_each(:ids))"
            " OR speaker IN (SELECT value FROM json_each(:removed)) AND NOT deleted)",
            id=job_id, ids=row_mapping.json(sorted(named)), removed=row_mapping.json(removed),
        )  # fmt: skip
        chunks.update(row["chunk"] for row in rows)
        if not chunks:
            lineless = not named and not any(isinstance(operation, InsertLine) for operation in operations)
            return 0, -1 if lineless else LAST_CHUNK
        before = await self._next_chunk(job_id, "<", min(chunks), "DESC")
        behind = await self._next_chunk(job_id, ">", max(chunks), "ASC")
        return 0 if before is None else before, LAST_CHUNK if behind is None else behind

    async def _next_chunk(self, job_id: str, side: str, chunk: int, order: str) -> int | None:
        """Return the nearest chunk with a line that is shown, on one side of a chunk."""
        limit = f"AND chunk {side} :chunk ORDER BY chunk {order} LIMIT 1"
        rows = await self._db.run(
            "SELECT chunk FROM ("
            f"SELECT * FROM (SELECT chunk FROM segment WHERE job_id = :id AND {_NOT_REPLACED} {limit})"
            f" UNION ALL SELECT * FROM (SELECT chunk FROM line WHERE job_id = :id AND NOT deleted {limit}))"
            f" ORDER BY chunk {order} LIMIT 1",
            id=job_id, chunk=chunk,
        )  # fmt: skip
        return int(rows[0]["chunk"]) if rows else None

    async def _lines(self, run: _Run, job_id: str, first: int = 0, last: int = LAST_CHUNK) -> LineList:
        """Return the lines that are shown of the chunks from `first` to `last`."""
        within = {"id": job_id, "first": first, "last": last}
        lines = await run(
            f"SELECT {_COLUMNS}"
            ' FROM line LEFT JOIN segment USING (job_id, chunk, "index")'
            " WHERE job_id = :id AND NOT deleted AND chunk BETWEEN :first AND :last",
            **within,
        )
        segments = await run(
            f"SELECT {row_mapping.names(row_mapping.SEGMENT)} FROM segment"
            f" WHERE job_id = :id AND chunk BETWEEN :first AND :last AND {_NOT_REPLACED}",
            **within,
        )
        return LineList([*map(_line, lines), *(line_of(row_mapping.segment(row)) for row in segments)])


def _line(row: sqlite3.Row) -> Line:
    values: dict[str, Any] = dict(row)
    flags = {field: bool(values[field]) for field in ("held", "checked")}
    return Line(**values | flags | {"words": _words.decode(values["words"])})
