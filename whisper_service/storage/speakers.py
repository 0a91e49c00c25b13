"""The voices and the speakers of jobs, and the timeline of who speaks when.

Voices and their directions (centroids) are biometric. They are read by the scheduler alone and never leave the service.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from whisper_service.core.domain import Job, Value
from whisper_service.core.speaker_count import Wanted
from whisper_service.editing.operations import Operation
from whisper_service.editing.speaker_changes import SpeakerOutcome, speakers_back, without_unused
from whisper_service.editing.speakers import COLOURS, Speaker, Timeline, who_speaks
from whisper_service.storage import row_mapping
from whisper_service.storage.change_log import ChangeLog, Written
from whisper_service.storage.connections import Connections
from whisper_service.storage.queries import JOBS, raise_not_found
from whisper_service.storage.speaker_identity import FoundSpeaker, SpeakerRow, identified, named, shared_time

CHANGE_KIND: Final = "speakers"
LAST_TURN_S: Final = 3.0
"""How long the last turn of a recording is taken to last. A timeline does not say when it ends."""
_SPEAKER: Final = Speaker.__struct_fields__
_encode = msgspec.json.Encoder().encode
_turns = msgspec.json.Decoder(Timeline)
_wanted = msgspec.json.Decoder(Wanted)


class SegmentTurns(Value, frozen=True):
    """Who says which words of a segment: the first word of each turn, and the name of the found speaker."""

    chunk: int
    index: int
    turns: tuple[tuple[int, str], ...]


class SpeakersChanged(Value, frozen=True):
    """The payload of a change of speakers that no edit made."""

    job_id: str
    speakers: list[Speaker]
    timeline_changed: bool


class SpeakersEdited(NamedTuple):
    """What an edit did with speakers."""

    inverse: tuple[Operation, ...]
    speakers: tuple[Speaker, ...] | None  # all of them, in order; None: none of them changed


class _Times(Value, frozen=True):
    """When a word begins and ends, in seconds."""

    start: float
    end: float


_words = msgspec.json.Decoder(list[_Times])


class Speakers:
    """The tables `voice`, `speaker` and `speaker_timeline`."""

    def __init__(self, connections: Connections, change_log: ChangeLog) -> None:
        self._db = connections
        self._change_log = change_log

    # -- voices ------------------------------------------------------------------------------------------------------

    async def put_voices(self, job_id: str, chunk: int, data: bytes | None) -> None:
        """Store what was heard in a chunk. None: it was given up, unless it was heard before. A deleted job has none.

        No client is told: there is nothing to see yet.
        """
        async with self._db.transaction():
            await self._db.run(
                "INSERT INTO voice (job_id, chunk, data) SELECT id, :chunk, :data FROM job WHERE id = :id"
                " ON CONFLICT (job_id, chunk) DO UPDATE SET data = coalesce(excluded.data, data)",
                id=job_id, chunk=chunk, data=data,
            )  # fmt: skip

    async def unheard(self, job_id: str) -> list[int]:
        """Return the chunks with text that nobody has heard or given up, in order."""
        rows = await self._db.read(
            "SELECT \"index\" FROM chunk WHERE job_id = :id AND state = 'done'"
            ' AND EXISTS (SELECT 1 FROM segment WHERE segment.job_id = chunk.job_id AND segment.chunk = chunk."index")'
            ' AND NOT EXISTS (SELECT 1 FROM voice WHERE voice.job_id = chunk.job_id AND voice.chunk = chunk."index")'
            ' ORDER BY "index"',
            id=job_id,
        )
        return [row["index"] for row in rows]

    async def given_up(self, job_id: str) -> list[int]:
        """Return the chunks that could not be heard, in order."""
        sql = "SELECT chunk FROM voice WHERE job_id = :id AND data IS NULL ORDER BY chunk"
        return [row["chunk"] for row in await self._db.read(sql, id=job_id)]

    async def voices(self, job_id: str) -> list[tuple[int, bytes]]:
        """Return the chunks that were heard, in order, each with what was heard."""
        sql = "SELECT chunk, data FROM voice WHERE job_id = :id AND data IS NOT NULL ORDER BY chunk"
        return [(row["chunk"], row["data"]) for row in await self._db.read(sql, id=job_id)]

    async def has_voices(self, job_id: str) -> bool:
        """Return whether speakers can be told apart again without the recording."""
        sql = "SELECT 1 FROM voice WHERE job_id = :id AND data IS NOT NULL LIMIT 1"
        return bool(await self._db.read(sql, id=job_id))

    async def delete_voices(self, before: float) -> int:
        """Delete the voices of jobs that ended before this time (Unix seconds). Return of how many jobs.

        Their speakers, names and timelines stay. Each job is a transaction: thousands of them may be due at once.
        """
        ended = (
            "SELECT id FROM job WHERE status IN ('completed', 'failed', 'cancelled') AND finished_at < :before AND ("
            "EXISTS (SELECT 1 FROM voice WHERE job_id = job.id)"
            " OR EXISTS (SELECT 1 FROM speaker WHERE job_id = job.id AND centroid IS NOT NULL))"
        )
        count = 0
        for (job_id,) in await self._db.read(ended, before=before):
            async with self._db.transaction():
                if await self._db.run(f"{ended} AND id = :id", before=before, id=job_id):  # it was not retried since
                    await self._db.run("DELETE FROM voice WHERE job_id = :id", id=job_id)
                    await self._db.run("UPDATE speaker SET centroid = NULL WHERE job_id = :id", id=job_id)
                    count += 1
        return count

    # -- speakers ----------------------------------------------------------------------------------------------------

    async def speakers(self, job_id: str) -> list[Speaker]:
        """Return the speakers of a job, in their order, with those that were merged. `seconds`: as they were found."""
        sql = f"SELECT {row_mapping.names(_SPEAKER)} FROM speaker WHERE job_id = :id ORDER BY position, id"
        return [_speaker(row) for row in await self._db.read(sql, id=job_id)]

    async def directions(self, job_id: str) -> dict[str, bytes]:
        """Return the directions of the voices of a job, by IDs of speakers. Biometric: they stay in the service."""
        sql = "SELECT id, centroid FROM speaker WHERE job_id = :id AND centroid IS NOT NULL ORDER BY position, id"
        return {row["id"]: row["centroid"] for row in await self._db.read(sql, id=job_id)}

    async def timeline(self, job_id: str) -> Timeline:
        """Return who speaks when. Empty: nobody was told apart."""
        rows = await self._db.read("SELECT turns FROM speaker_timeline WHERE job_id = :id", id=job_id)
        return _turns.decode(rows[0]["turns"]) if rows else ()

    async def wanted(self, job_id: str) -> Wanted | None:
        """Return how many speakers were asked for when they were told apart last. None: they never were."""
        rows = await self._db.read("SELECT wanted FROM speaker_timeline WHERE job_id = :id", id=job_id)
        return _wanted.decode(rows[0]["wanted"]) if rows else None

    async def assign(
        self, job_id: str, found: Sequence[FoundSpeaker], turns: Sequence[SegmentTurns], wanted: Wanted
    ) -> Written:
        """Store the speakers that were told apart, in place of those that were known.

        IDs, names and merges stay with their voices. Speakers that people did nothing with are forgotten if nobody has
        their voice now. Without anything of people, equal input gives equal rows. Raises `NotFound`.
        """
        timeline = await self._timeline_of(job_id, turns)  # segments never change: no need to hold the lock
        first = {name: place for place, (_, name) in reversed([*enumerate(timeline)])}
        ordered = sorted(found, key=lambda each: first.get(each.name, len(timeline)))
        async with self._db.transaction():
            if not await self._db.run("SELECT 1 FROM kept WHERE id = :id", id=job_id):
                raise_not_found(job_id)
            known = await self._rows(job_id)
            before = await self._db.run("SELECT turns FROM speaker_timeline WHERE job_id = :id", id=job_id)
            old = _turns.decode(before[0]["turns"]) if before else ()
            end = max((start for start, _ in (*timeline, *old)), default=0.0) + LAST_TURN_S
            shared = shared_time(tuple(timeline), old, end)
            count = identified(ordered, known, await self._touched(job_id, known), shared)
            rows = count.rows
            if not any(row.speaker.name for row in rows):
                rows = named(rows, await self._rows_of_origin(job_id))
            await self._replace(job_id, rows)
            told = [(start, name and count.ids.get(name)) for start, name in timeline]
            await self._db.run(
                "INSERT INTO speaker_timeline (job_id, turns, wanted) VALUES (:id, :turns, :wanted)"
                " ON CONFLICT (job_id) DO UPDATE SET turns = excluded.turns, wanted = excluded.wanted",
                id=job_id, turns=row_mapping.json(told), wanted=row_mapping.json(wanted),
            )  # fmt: skip
            job = await self.count(job_id)
            change = SpeakersChanged(job_id, [row.speaker for row in rows], timeline_changed=True)
            news = [(CHANGE_KIND, _encode(change)), ("update", _encode(job))]
            return Written(job, await self._change_log.append(job_id, news))

    # -- inside a transaction ----------------------------------------------------------------------------------------

    async def known(self, job_id: str) -> list[Speaker]:
        """Return the speakers of a job, in their order."""
        return [row.speaker for row in await self._rows(job_id)]

    async def change(self, job_id: str, before: Sequence[Speaker], outcome: SpeakerOutcome) -> SpeakersEdited:
        """Write what an edit does with speakers. Its lines are written already."""
        was = {speaker.id: speaker for speaker in before}
        lines = await self._db.run(
            "SELECT DISTINCT speaker FROM line WHERE job_id = :id AND NOT deleted"
            " AND speaker IN (SELECT value FROM json_each(:unused))",
            id=job_id, unused=row_mapping.json(sorted(outcome.unused)),
        )  # fmt: skip
        now = without_unused(outcome.speakers, outcome.unused, {row["speaker"] for row in lines})
        if now == was:
            return SpeakersEdited((), None)
        await self._db.run_many(
            "DELETE FROM speaker WHERE job_id = ? AND id = ?", [(job_id, each) for each in was if each not in now]
        )
        changed = ", ".join(f'"{field}" = excluded."{field}"' for field in _SPEAKER)
        await self._db.run_many(
            f"{row_mapping.insert('speaker', _SPEAKER, 'job_id')} ON CONFLICT (job_id, id) DO UPDATE SET {changed}",
            [_cells(speaker) | {"job_id": job_id} for each, speaker in now.items() if was.get(each) != speaker],
        )
        return SpeakersEdited(tuple(speakers_back(was, now)), tuple(await self.known(job_id)))

    async def add_channels(self, job_id: str, channels: Iterable[str]) -> list[tuple[str, bytes]]:
        """Add the speakers of channels that are kept apart, with their first words. Return the changes to log.

        The segments with these speakers must be written already. Speakers that are known stay as they are.
        """
        rows = [(job_id, each, int(each[1:]) - 1, (int(each[1:]) - 1) % COLOURS) for each in sorted(set(channels))]
        before = await self.known(job_id)
        await self._db.run_many(  # a recording that is transcribed again has its people in the same channels
            "INSERT OR IGNORE INTO speaker (job_id, id, position, colour, found, name) VALUES (?1, ?2, ?3, ?4, 1,"
            " coalesce((SELECT speaker.name FROM job JOIN kept ON kept.id = job.of AND kept.channels"
            " JOIN speaker ON speaker.job_id = kept.id AND speaker.id = ?2 WHERE job.id = ?1), ''))",
            rows,
        )
        if (now := await self.known(job_id)) == before:
            return []
        await self._db.run(
            "INSERT OR IGNORE INTO speaker_timeline (job_id, turns, wanted) VALUES (:id, '[]', :wanted)",
            id=job_id, wanted=row_mapping.json(Wanted()),
        )  # fmt: skip
        await self.count(job_id)
        return [(CHANGE_KIND, _encode(SpeakersChanged(job_id, now, timeline_changed=False)))]

    async def recounted(self, job_id: str) -> list[tuple[str, bytes]]:
        """Count the speakers of a job again, and return the change to log if there is another number of them."""
        before = await self._db.run("SELECT speakers FROM job WHERE id = :id", id=job_id)
        job = await self.count(job_id)
        return [] if job.speakers == before[0]["speakers"] else [("update", _encode(job))]

    async def count(self, job_id: str) -> Job:
        """Write into a job how many speakers it has, if they were told apart, and return it. Raises `NotFound`."""
        rows = await self._db.run("SELECT turns FROM speaker_timeline WHERE job_id = :id", id=job_id)
        if rows:
            who = who_speaks(row.speaker for row in await self._rows(job_id))
            heard = {speaker for _, speaker in _turns.decode(rows[0]["turns"]) if speaker is not None}
            chosen = await self._db.run(
                "SELECT speaker FROM line WHERE job_id = :id AND speaker IS NOT NULL AND NOT deleted"
                " UNION SELECT segment.speaker FROM job CROSS JOIN segment ON segment.job_id = job.id"
                " WHERE job.id = :id AND job.channels AND segment.speaker IS NOT NULL",
                id=job_id,
            )
            people = {who.get(each, each) for each in heard.union(row["speaker"] for row in chosen)}
            await self._db.run("UPDATE job SET speakers = :count WHERE id = :id", id=job_id, count=len(people))
        found = await self._db.run(f"{JOBS} WHERE id = :id", id=job_id)
        return row_mapping.job(found[0]) if found else raise_not_found(job_id)

    async def _rows(self, job_id: str) -> list[SpeakerRow]:
        fields = row_mapping.names([*_SPEAKER, "centroid"])
        sql = f"SELECT {fields} FROM speaker WHERE job_id = :id ORDER BY position, id"
        return [SpeakerRow(_speaker(row), row["centroid"]) for row in await self._db.run(sql, id=job_id)]

    async def _rows_of_origin(self, job_id: str) -> list[SpeakerRow]:
        """Return the speakers of the job whose recording this one transcribes again. Merged ones are left out."""
        origin = await self._db.run(
            'SELECT kept.id FROM job JOIN kept ON kept.id = job."of" WHERE job.id = :id', id=job_id
        )
        rows = await self._rows(origin[0]["id"]) if origin else []
        return [row for row in rows if row.speaker.merged_into is None]

    async def _touched(self, job_id: str, known: Sequence[SpeakerRow]) -> set[str]:
        """Return the speakers that people did something with, or that taking an edit back would need."""
        touched = {row.speaker.merged_into for row in known} - {None}
        touched |= {
            speaker.id for speaker, _ in known if speaker.name or speaker.merged_into is not None or not speaker.found
        }
        for speaker, _ in known:
            if speaker.id not in touched and await self._db.run(
                "SELECT 1 FROM line WHERE job_id = :id AND speaker = :speaker"
                " UNION ALL SELECT 1 FROM edit WHERE job_id = :id"
                " AND (instr(operations, :quoted) OR instr(inverse, :quoted)) LIMIT 1",
                id=job_id, speaker=speaker.id, quoted=row_mapping.json(speaker.id),
            ):  # fmt: skip
                touched.add(speaker.id)
        return {each for each in touched if each is not None}

    async def _replace(self, job_id: str, rows: Sequence[SpeakerRow]) -> None:
        """Store these speakers of a job and no others."""
        await self._db.run("DELETE FROM speaker WHERE job_id = :id", id=job_id)
        await self._db.run_many(
            row_mapping.insert("speaker", [*_SPEAKER, "centroid"], "job_id"),
            [_cells(row.speaker) | {"job_id": job_id, "centroid": row.centroid} for row in rows],
        )

    # -- reads of what is committed ----------------------------------------------------------------------------------

    async def _timeline_of(self, job_id: str, turns: Sequence[SegmentTurns]) -> list[tuple[float, str | None]]:
        """Return who speaks when, by the names of found speakers.

        A segment begins in the middle of the silence before its first word, so that words that people write there are
        its own. Segments that nobody heard have no speaker.
        """
        known = {(each.chunk, each.index): each.turns for each in turns}
        entries: list[tuple[float, str | None]] = []
        said_until = 0.0
        sql = (
            'SELECT chunk, "index", start, "end", words FROM segment WHERE job_id = :id ORDER BY start, chunk, "index"'
        )
        for row in await self._db.read(sql, id=job_id):
            words = _words.decode(row["words"])
            for at, (start, speaker) in enumerate(_starts(row, words, known.get((row["chunk"], row["index"]), ()))):
                entries.append(((said_until + start) / 2 if not at and said_until < start else start, speaker))
            said_until = max(said_until, words[-1].end if words else row["end"])
        return [*_joined(sorted(entries, key=lambda entry: entry[0]))]


def _starts(
    row: sqlite3.Row, words: Sequence[_Times], turns: Sequence[tuple[int, str]]
) -> Iterator[tuple[float, str | None]]:
    """Yield when each speaker of a segment begins, in seconds."""
    yield words[0].start if words else row["start"], turns[0][1] if turns else None
    for word, speaker in turns[1:]:
        if word < len(words):
            yield words[word].start, speaker


def _joined(entries: Sequence[tuple[float, str | None]]) -> Iterator[tuple[float, str | None]]:
    """Yield the entries that tell of another speaker. Of several at one time the last one counts."""
    last: str | None = None
    for at, (start, speaker) in enumerate(entries):
        if at + 1 < len(entries) and entries[at + 1][0] == start:
            continue
        if speaker != last:
            yield start, speaker
            last = speaker


def _speaker(row: sqlite3.Row) -> Speaker:
    return Speaker(**{field: row[field] for field in _SPEAKER} | {"found": bool(row["found"])})


def _cells(speaker: Speaker) -> dict[str, Any]:
    return row_mapping.cells(_SPEAKER, speaker)
