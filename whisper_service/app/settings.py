"""Show and change settings while the service runs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from whisper_service.config.active import ActiveSettings
from whisper_service.config.runtime import Setting
from whisper_service.scheduler.mailbox import Mailbox
from whisper_service.storage.change_feed import ChangeFeed
from whisper_service.storage.store import Store


class SettingsService:
    """The settings of a running service."""

    def __init__(self, active: ActiveSettings, mailbox: Mailbox, store: Store, feed: ChangeFeed) -> None:
        self._active = active
        self._mailbox = mailbox
        self._store = store
        self._feed = feed

    def list(self) -> list[Setting]:
        """Return every setting, where its value comes from, and whether it can be changed here."""
        return self._active.describe()

    async def change(self, changes: Mapping[str, Any]) -> None:
        """Change settings, all or none. None takes a change back. Raises `InvalidRequest`."""
        await self._mailbox.ask(partial(self._change, changes))

    async def _change(self, changes: Mapping[str, Any]) -> None:
        stored = self._active.check(changes)
        self._feed.publish([await self._store.service_state.set_settings(stored)])
        self._active.replace_stored(stored)
