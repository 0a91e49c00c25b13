"""Webhooks on their way: made of the change log, kept until they are delivered or given up, and looked at for a while after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from whisper_service.core.domain import Delivery, DeliveryState
from whisper_service.storage import row_mapping
from whisper_service.storage.connections import Connections

_DELIVERIES: Final = f"SELECT {row_mapping.names(row_mapping.DELIVERY)} FROM delivery"


class WebhookQueue:
    """See the module."""

    def __init__(self, session: Connections) -> None:
        self._db = session

    async def since(self) -> int:
        """The seq up to which the log was looked through for ends of jobs."""
        return int((await self._db.read("SELECT seq FROM webhook"))[0]["seq"])

    async def seen(self, seq: int) -> None:
        """There is nothing to tell up to here."""
        if seq > await self.since():
            await self.add((), seq)

    async def add(self, made: Sequence[Delivery], seq: int) -> None:
        """Webhooks to send, and that the log was looked through up to `seq`. What is there by its id already stays as it is."""
        async with self._db.transaction():
            await self._db.many(
                f"INSERT INTO delivery ({row_mapping.names(row_mapping.DELIVERY)}) VALUES ({row_mapping.marks(row_mapping.DELIVERY)}) ON CONFLICT DO NOTHING",
                [row_mapping.cells(row_mapping.DELIVERY, delivery) for delivery in made],
            )
            await self._db.run("UPDATE webhook SET seq = max(seq, :seq)", seq=seq)

    async def next(self, limit: int) -> list[Delivery]:
        """Those that wait, the most urgent first."""
        sql = f"{_DELIVERIES} WHERE state = 'waiting' ORDER BY due_at, id LIMIT :limit"
        return [row_mapping.delivery(row) for row in await self._db.read(sql, limit=limit)]

    async def newest(self, limit: int) -> list[Delivery]:
        """The newest, whatever became of them."""
        sql = f"{_DELIVERIES} ORDER BY created_at DESC, id DESC LIMIT :limit"
        return [row_mapping.delivery(row) for row in await self._db.read(sql, limit=limit)]

    async def settle(self, id: str, state: DeliveryState, attempts: int, due_at: float, detail: str) -> None:
        """What a try came to. Once it is over, its body goes, and with its job its row."""
        async with self._db.transaction():
            await self._db.run(
                "UPDATE delivery SET state = :state, attempts = :attempts, due_at = :due_at, detail = :detail,"
                " body = iif(:state = 'waiting', body, x'') WHERE id = :id",
                id=id, state=state, attempts=attempts, due_at=due_at, detail=detail,
            )  # fmt: skip
            await self._db.run("DELETE FROM delivery WHERE state <> 'waiting' AND job_id NOT IN (SELECT id FROM job)")
