"""Small facts that are kept across restarts: changed settings, fallbacks of models on devices, and states of models."""

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
    """The tables `setting`, `standing` and `model`."""

    def __init__(self, connections: Connections, log: ChangeLog) -> None:
        self._db = connections
        self._log = log

    async def settings(self) -> dict[str, Any]:
        """Return the settings that were changed while the service ran."""
        rows = await self._db.read("SELECT key, value FROM setting")
        return {row["key"]: msgspec.json.decode(row["value"]) for row in rows}

    async def set_settings(self, values: Mapping[str, Any]) -> Change:
        """Replace all stored settings. The change names the keys only, because some values are secret."""
        async with self._db.transaction():
            await self._db.run("DELETE FROM setting")
            rows = [(key, msgspec.json.encode(value).decode()) for key, value in values.items()]
            await self._db.run_many("INSERT INTO setting VALUES (?, ?)", rows)
            return (await self._log.append("", [("settings", msgspec.json.encode({"keys": sorted(values)}))]))[0]

    async def fallback(self, device: str, model: str) -> Fallback | None:
        """Return the fallback that a model works with on a device. None: no fallback was needed."""
        sql = "SELECT standing FROM standing WHERE device = :device AND model = :model"
        found = await self._db.read(sql, device=device, model=model)
        return msgspec.json.decode(found[0]["standing"], type=Fallback) if found else None

    async def set_fallback(self, device: str, model: str, fallback: Fallback | None) -> None:
        """Store the fallback of a model on a device. None: delete it."""
        async with self._db.transaction():
            if fallback is None:
                sql = "DELETE FROM standing WHERE device = :device AND model = :model"
                await self._db.run(sql, device=device, model=model)
            else:
                sql = "INSERT OR REPLACE INTO standing VALUES (:device, :model, :standing)"
                await self._db.run(sql, device=device, model=model, standing=row_mapping.json(fallback))

    async def models(self) -> list[row_mapping.ModelRow]:
        """Return the stored states of models, by name."""
        rows = await self._db.read(f"SELECT {row_mapping.names(row_mapping.MODEL)} FROM model ORDER BY name")
        return [row_mapping.model(row) for row in rows]

    async def log_model(
        self, name: str, payload: bytes, row: row_mapping.ModelRow | None = None, *, forget: bool = False
    ) -> Change:
        """Log the present state of a model in place of its older changes.

        `row` replaces the stored state; `forget` deletes it; with neither it stays.
        """
        async with self._db.transaction():
            if row is not None:
                await self._db.run(
                    f"{row_mapping.insert('model', row_mapping.MODEL)} ON CONFLICT (name)"
                    " DO UPDATE SET state = excluded.state, asked = excluded.asked, problem = excluded.problem",
                    **row_mapping.cells(row_mapping.MODEL, row),
                )
            elif forget:
                await self._db.run("DELETE FROM model WHERE name = :name", name=name)
            subject = f"model:{name}"
            await self._log.delete(subject)
            return (await self._log.append(subject, [("model", payload)]))[0]
