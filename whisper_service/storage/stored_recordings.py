"""Which recordings are in object storage, and under which url. Triggers (schema/0027) note what no job has any more."""

from __future__ import annotations

from typing import Final

from whisper_service.core.domain import Value
from whisper_service.storage import row_mapping
from whisper_service.storage.connections import Connections

_MOVABLE: Final = (
    "stored_as IS NULL AND NOT media_removed AND sha256 <> '' AND status IN ('completed', 'failed', 'cancelled')"
    " AND (live IS NULL OR json_extract(live, '$.ended') IS NOT NULL)"
)
"""Recordings on this machine that are complete and whose job has ended."""
_OBJECT: Final = "SELECT o.url, o.bytes, o.sha256 FROM stored_object AS o"


class StoredRecording(Value, frozen=True):
    """A recording as an object."""

    url: str
    bytes: int
    sha256: str


class LocalRecording(Value, frozen=True):
    """A recording on this machine that may be moved."""

    job_id: str
    bytes: int
    sha256: str


class RecordingCount(Value, frozen=True):
    """How many recordings are in object storage, with how many bytes, and how many wait to be moved there."""

    stored: int
    stored_bytes: int
    waiting: int


class StoredRecordings:
    """The table `stored_object`, and who has which of its rows."""

    def __init__(self, connections: Connections) -> None:
        self._db = connections

    async def of(self, job_id: str) -> StoredRecording | None:
        """Return the object of a job, also of one in the trash. None: its recording is not in object storage."""
        found = await self._db.read(f"{_OBJECT} JOIN job ON stored_as = o.url WHERE job.id = :id", id=job_id)
        return StoredRecording(*found[0]) if found else None

    async def job_ids(self) -> set[str]:
        """Return the jobs whose recording is in object storage, with those in the trash."""
        return {row["id"] for row in await self._db.read("SELECT id FROM job WHERE stored_as IS NOT NULL")}

    async def to_move(self, limit: int, *, but: frozenset[str] = frozenset()) -> list[LocalRecording]:
        """Return the oldest recordings that may be moved. `but`: jobs that are left out."""
        rows = await self._db.read(
            f"SELECT id, bytes, sha256 FROM job INDEXED BY job_to_move WHERE {_MOVABLE} AND deleted_at IS NULL"
            " AND id NOT IN (SELECT value FROM json_each(:but)) ORDER BY id LIMIT :limit",
            but=row_mapping.json(sorted(but)), limit=limit,
        )  # fmt: skip
        return [LocalRecording(*row) for row in rows]

    async def begin(self, url: str, recording: LocalRecording) -> None:
        """Note that bytes are on their way to `url`, before the first one goes."""
        async with self._db.transaction():
            await self._db.run(
                "INSERT INTO stored_object VALUES (:url, :bytes, :sha256, 'moving')",
                url=url, bytes=recording.bytes, sha256=recording.sha256,
            )  # fmt: skip

    async def commit(self, url: str, job_id: str) -> bool:
        """Make an object the recording of a job. False: the job does not want it any more, and the object is unwanted.

        From then on the file on this machine may go.
        """
        async with self._db.transaction():
            found = await self._db.run(
                f"UPDATE job SET stored_as = :url WHERE id = :id AND {_MOVABLE}"
                " AND sha256 = (SELECT sha256 FROM stored_object WHERE url = :url AND state = 'moving') RETURNING 1",
                url=url, id=job_id,
            )  # fmt: skip
            state = "stored" if found else "unwanted"
            await self._db.run("UPDATE stored_object SET state = :state WHERE url = :url", state=state, url=url)
        return bool(found)

    async def adopt(self, job_id: str) -> bool:
        """Give a job the object of another one with an equal recording. False: there is none.

        So recordings that are there are not sent again.
        """
        equal = (
            "SELECT other.stored_as FROM job AS other JOIN stored_object ON url = other.stored_as"
            " WHERE other.sha256 = job.sha256 AND state = 'stored'"
        )
        sql = f"UPDATE job SET stored_as = ({equal}) WHERE id = :id AND {_MOVABLE} AND EXISTS ({equal}) RETURNING 1"
        async with self._db.transaction():
            return bool(await self._db.run(sql, id=job_id))

    async def give_up(self, url: str) -> None:
        """Note that what was on its way to `url` is not wanted there."""
        sql = "UPDATE stored_object SET state = 'unwanted' WHERE url = :url AND state = 'moving'"
        async with self._db.transaction():
            await self._db.run(sql, url=url)

    async def recover(self) -> None:
        """Note at a start that nothing is on its way: what the last service left there is deleted, and sent anew."""
        async with self._db.transaction():
            await self._db.run("UPDATE stored_object SET state = 'unwanted' WHERE state = 'moving'")

    async def unwanted(self) -> list[str]:
        """Return the urls of the objects that are to be deleted."""
        return [row["url"] for row in await self._db.read("SELECT url FROM stored_object WHERE state = 'unwanted'")]

    async def forget(self, url: str) -> None:
        """Note that an unwanted object is deleted."""
        async with self._db.transaction():
            await self._db.run("DELETE FROM stored_object WHERE url = :url AND state = 'unwanted'", url=url)

    async def count(self) -> RecordingCount:
        """Return how many recordings are where. Jobs that share an object count once."""
        sql = f"""SELECT count(*), coalesce(sum(bytes), 0),
            (SELECT count(*) FROM job INDEXED BY job_to_move WHERE {_MOVABLE} AND deleted_at IS NULL)
            FROM stored_object WHERE state = 'stored'"""
        return RecordingCount(*(await self._db.read(sql))[0])
