"""Hold the settings in force: the configuration with the settings that were stored while the service ran."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from whisper_service.config import runtime
from whisper_service.config.runtime import Setting
from whisper_service.config.schema import Config, SettingSource

logger = logging.getLogger(__name__)


class ActiveSettings:
    """The settings in force. The service stores them."""

    def __init__(self, base: Config, sources: Mapping[str, SettingSource], stored: Mapping[str, Any]) -> None:
        """Merge the configuration `base`, the `sources` of its values, and what was `stored` before."""
        self._base = base
        self._sources = sources
        self._stored = dict(stored)
        self._subscribers: list[Callable[[Config], None]] = []
        self.config, refused = runtime.merge(base, sources, stored)
        for key in refused:
            logger.warning("the stored setting %s is no longer valid", key, extra={"action": "setting_refused"})

    def describe(self) -> list[Setting]:
        """Return every setting."""
        return runtime.describe(self.config, self._sources, self._stored)

    def check(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Return what to store after these changes. Raises `InvalidRequest`."""
        return runtime.check(self._base, self._sources, self._stored, changes)

    def replace_stored(self, stored: Mapping[str, Any]) -> None:
        """Put stored settings in force, and call the subscribers."""
        self._stored = dict(stored)
        self.config, _ = runtime.merge(self._base, self._sources, stored)
        for subscriber in self._subscribers:
            subscriber(self.config)

    def subscribe(self, subscriber: Callable[[Config], None]) -> None:
        """Call `subscriber` with the configuration after every change."""
        self._subscribers.append(subscriber)
