"""What is remembered beside the jobs: settings made while it ran, where models stand on devices, what became of models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from whisper_service.core.domain import Change
from whisper_service.core.fallback import Fallback
from whisper_service.storage import row_mapping
from whisper_service.storage.change_log import ChangeLog
from whisper_service.storage.connections import Connections


class ServiceState:
    """See the module."""

    def __init__(self, session: Connections, log: ChangeLog) -> None:
        self._db = session
        self._log = log

    async def settings(self) -> dict[str, Any]:
        """What was set while the service ran."""
        return {
            row["key"]: msgspec.json.decode(row["value"])
            for row in await self._db.read("SELECT key, value FROM setting")
        }

    async def set_settings(self, values: Mapping[str, Any]) -> Change:
        """Keep these and no others; the change that says so tells no values, for some are secret."""
        async with self._db.transaction():
            await self._db.run("DELETE FROM setting")
            for key, value in values.items():
                await self._db.run(
                    "INSERT INTO setting VALUES (:key, :value)", key=key, value=msgspec.json.encode(value).decode()
                )
            return (await self._log.append("", [("settings", msgspec.json.encode({"keys": sorted(values)}))]))[0]

    async def standing(self, device: str, model: str) -> Fallback | None:
        """Where this model stands on this device; None: at the top."""
        found = await self._db.read(
            "SELECT standing FROM standing WHERE device = :device AND model = :model", device=device, model=model
        )
        return msgspec.json.decode(found[0]["standing"], type=Fallback) if found else None

    async def stand(self, device: str, model: str, standing: Fallback | None) -> None:
        """Remember where this model stands on this device; None: at the top again."""
        async with self._db.transaction():
            await self._db.run(
                "DELETE FROM standing WHERE device = :device AND model = :model", device=device, model=model
            )
            if standing is not None:
                await self._db.run(
                    "INSERT INTO standing VALUES (:device, :model, :standing)",
                    device=device,
                    model=model,
                    standing=row_mapping.json(standing),
                )

    async def models(self) -> list[row_mapping.ModelRow]:
        """What is remembered of models."""
        return [
            row_mapping.model(row)
            for row in await self._db.read("SELECT name, state, asked, problem FROM model ORDER BY name")
        ]

    async def tell_model(
        self, name: str, payload: bytes, row: row_mapping.ModelRow | None = None, *, forget: bool = False
    ) -> Change:
        """Log the present state of a model, in place of what was logged of it before; remember `row`, or `forget` the one there is."""
        async with self._db.transaction():
            if row is not None:
                await self._db.run(
                    "INSERT INTO model (name, state, asked, problem) VALUES (:name, :state, :asked, :problem) ON CONFLICT (name)"
                    " DO UPDATE SET state = excluded.state, asked = excluded.asked, problem = excluded.problem",
                    **row_mapping.cells(row_mapping.MODEL, row),
                )
            elif forget:
                await self._db.run("DELETE FROM model WHERE name = :name", name=name)
            subject = f"model:{name}"
            await self._log.forget(subject)
            return (await self._log.append(subject, [("model", payload)]))[0]
