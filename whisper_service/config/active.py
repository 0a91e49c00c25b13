"""The settings in force: what was configured, with what was set while the service ran. The service keeps and applies them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from whisper_service.config import runtime
from whisper_service.config.runtime import Setting
from whisper_service.config.schema import Config, SettingSource

logger = logging.getLogger(__name__)


class ActiveSettings:
    """`base` is what was configured; `sources` says where that is from."""

    def __init__(self, base: Config, sources: Mapping[str, SettingSource], stored: Mapping[str, Any]) -> None:
        self._base = base
        self._sources = sources
        self._stored = dict(stored)
        self._subscribers: list[Callable[[Config], None]] = []
        self.config, refused = runtime.merge(base, sources, stored)
        for key in refused:
            logger.warning(
                "the setting %s that was stored is not valid any more", key, extra={"action": "setting_refused"}
            )

    def describe(self) -> list[Setting]:
        """Every setting."""
        return runtime.describe(self.config, self._sources, self._stored)

    def check(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """What is to be stored after these changes. Raises `InvalidRequest`."""
        return runtime.check(self._base, self._sources, self._stored, changes)

    def take(self, stored: Mapping[str, Any]) -> None:
        """Put stored settings in force, and call the subscribers."""
        self._stored = dict(stored)
        self.config, _ = runtime.merge(self._base, self._sources, stored)
        for subscriber in self._subscribers:
            subscriber(self.config)

    def subscribe(self, subscriber: Callable[[Config], None]) -> None:
        """Call `subscriber` with the configuration after every change."""
        self._subscribers.append(subscriber)
