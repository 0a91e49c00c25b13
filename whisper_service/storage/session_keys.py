"""The keys with which clients began live sessions.

A request that is repeated, because its answer was lost, finds its job by the key.
"""

from __future__ import annotations

from typing import NamedTuple

from whisper_service.storage.connections import Connections


class SessionKey(NamedTuple):
    """A client's name for one request, and the hash of what the request asks for."""

    key: str
    request: str


class SessionKeys:
    """The table `session_key`. A key goes with its job."""

    def __init__(self, connections: Connections) -> None:
        self._db = connections

    async def add(self, key: SessionKey, job_id: str) -> None:
        """Note the job of a key. Belongs into the transaction that adds the job. A job in the trash loses the key."""
        sql = "INSERT OR REPLACE INTO session_key (key, job_id, request) VALUES (:key, :job_id, :request)"
        await self._db.run(sql, key=key.key, job_id=job_id, request=key.request)

    async def find(self, key: str) -> tuple[str, str] | None:
        """Return the job that was begun with a key, and the hash of its request. None: no job that is not deleted."""
        sql = "SELECT job_id, request FROM session_key JOIN kept ON kept.id = job_id WHERE key = :key"
        found = await self._db.read(sql, key=key)
        return (found[0]["job_id"], found[0]["request"]) if found else None
