"""The webhook deliveries. They are kept until they are delivered or given up, and shown until their job is deleted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from whisper_service.core.domain import Delivery, DeliveryState
from whisper_service.storage import row_mapping
from whisper_service.storage.connections import Connections

_DELIVERIES: Final = f"SELECT {row_mapping.names(row_mapping.DELIVERY)} FROM delivery"


class WebhookQueue:
    """The tables `delivery` and `webhook`."""

    def __init__(self, connections: Connections) -> None:
        self._db = connections

    async def position(self) -> int:
        """Return the `seq` up to which the change log was searched for jobs that ended."""
        return int((await self._db.read("SELECT seq FROM webhook"))[0]["seq"])

    async def skip_to(self, seq: int) -> None:
        """Make no deliveries for the changes up to `seq`."""
        if seq > await self.position():
            await self.add((), seq)

    async def add(self, deliveries: Sequence[Delivery], seq: int) -> None:
        """Add deliveries, and store `seq` as the new position. A delivery whose id is there already stays as it is."""
        async with self._db.transaction():
            await self._db.run_many(
                f"{row_mapping.insert('delivery', row_mapping.DELIVERY)} ON CONFLICT DO NOTHING",
                [row_mapping.cells(row_mapping.DELIVERY, delivery) for delivery in deliveries],
            )
            await self._db.run("UPDATE webhook SET seq = max(seq, :seq)", seq=seq)

    async def waiting(self, limit: int) -> list[Delivery]:
        """Return waiting deliveries, those that are due first."""
        sql = f"{_DELIVERIES} WHERE state = 'waiting' ORDER BY due_at, id LIMIT :limit"
        return [row_mapping.delivery(row) for row in await self._db.read(sql, limit=limit)]

    async def newest(self, limit: int) -> list[Delivery]:
        """Return the newest deliveries in any state."""
        sql = f"{_DELIVERIES} ORDER BY created_at DESC, id DESC LIMIT :limit"
        return [row_mapping.delivery(row) for row in await self._db.read(sql, limit=limit)]

    async def record_attempt(self, id: str, state: DeliveryState, attempts: int, due_at: float, detail: str) -> None:
        """Store the result of an attempt. An ended delivery loses its body, and its row once its job is deleted."""
        async with self._db.transaction():
            await self._db.run(
                "UPDATE delivery SET state = :state, attempts = :attempts, due_at = :due_at, detail = :detail,"
                " body = iif(:state = 'waiting', body, x'') WHERE id = :id",
                id=id, state=state, attempts=attempts, due_at=due_at, detail=detail,
            )  # fmt: skip
            await self._db.run("DELETE FROM delivery WHERE state <> 'waiting' AND job_id NOT IN (SELECT id FROM job)")
