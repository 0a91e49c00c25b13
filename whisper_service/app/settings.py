"""Show and change settings while the service runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from whisper_service.app.wiring import Parts
from whisper_service.config.active import Setting


class SettingsService:
    """The settings of a running service."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def list(self) -> list[Setting]:
        """Return every setting, where its value comes from, and whether it can be changed here."""
        return self._parts.active.describe()

    async def change(self, changes: Mapping[str, Any]) -> None:
        """Change settings, all or none. None takes a change back. Raises `InvalidRequest`."""
        await self._parts.context.mailbox.ask(self._change, changes)

    async def _change(self, changes: Mapping[str, Any]) -> None:
        stored = self._parts.active.check(changes)
        self._parts.feed.publish([await self._parts.store.service_state.set_settings(stored)])
        self._parts.active.replace_stored(stored)
