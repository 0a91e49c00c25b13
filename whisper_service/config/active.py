"""Hold the settings in force: the configuration with the settings that were stored while the service ran.

A changed setting is stored in the database. It wins over the configuration file, and loses against the environment and
the command line: a setting given there is meant to stay, so it cannot be changed here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any, Final

import msgspec

from whisper_service.config.schema import Config, Effect, SettingSource, setting_fields
from whisper_service.core.domain import Value
from whisper_service.core.errors import InvalidConfig, InvalidRequest
from whisper_service.core.model_names import is_name
from whisper_service.core.text import quoted

logger = logging.getLogger(__name__)

FIXED_BY: Final = frozenset({SettingSource.ENVIRONMENT, SettingSource.COMMAND_LINE})


class Setting(Value, frozen=True):
    """A setting as clients see it. The `value` and `default` of a secret are None."""

    key: str
    value: Any
    default: Any
    source: SettingSource
    changeable: bool
    effect: Effect | None  # of a change; None: cannot be changed here
    secret: bool
    given: bool  # the value is not the default
    minimum: float | None = None
    exclusive_minimum: float | None = None  # the value must be greater
    maximum: float | None = None


class ActiveSettings:
    """The settings in force. The service stores them."""

    def __init__(self, base: Config, sources: Mapping[str, SettingSource], stored: Mapping[str, Any]) -> None:
        """Merge the configuration `base`, the `sources` of its values, and what was `stored` before."""
        self._base = base
        self._sources = sources
        self._stored = dict(stored)
        self._subscribers: list[Callable[[Config], None]] = []
        self.config, refused = self._merge()
        for key in refused:
            logger.warning("the stored setting %s is no longer valid", key, extra={"action": "setting_refused"})

    def describe(self) -> list[Setting]:
        """Return every setting, in the order of the file, also with stored values that wait for a restart."""
        found = []
        for key, field in setting_fields().items():
            value, changeable = _value(self.config, key), self.is_changeable(key)
            found.append(
                Setting(
                    key=key,
                    value=None if field.secret else msgspec.to_builtins(value, enc_hook=str),
                    default=None if field.secret else msgspec.to_builtins(field.default, enc_hook=str),
                    source=self._source_of(key),
                    changeable=changeable,
                    effect=field.effect if changeable else None,
                    secret=field.secret,
                    given=value != field.default,
                    **field.bounds._asdict(),
                )
            )
        return found

    def is_changeable(self, key: str) -> bool:
        """Return whether a setting may be changed while the service runs."""
        field = setting_fields().get(key)
        return field is not None and field.effect is not None and self._sources.get(key) not in FIXED_BY

    def check(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Return what to store after these changes. The value None removes a stored one.

        Raises `InvalidRequest`, naming the key. Then none of the changes is made.
        """
        after = dict(self._stored)
        for key, value in changes.items():
            self._check_changeable(key)
            if value is None:
                after.pop(key, None)
                continue
            if key == "speech.model" and isinstance(value, str) and not is_name(value):
                hint = "Send the name of a model. Only the configuration may give a directory."
                raise InvalidRequest("The setting speech.model is not the name of a model.", hint=hint, field=key)
            try:
                _replace(self._base, key, value)
            except InvalidConfig as error:
                raise InvalidRequest(error.message, hint="config.toml says what it can be.", field=key) from error
            after[key] = value
        return after

    def replace_stored(self, stored: Mapping[str, Any]) -> None:
        """Put stored settings in force, and call the subscribers."""
        self._stored = dict(stored)
        self.config, _ = self._merge()
        for subscriber in self._subscribers:
            subscriber(self.config)

    def subscribe(self, subscriber: Callable[[Config], None]) -> None:
        """Call `subscriber` with the configuration after every change."""
        self._subscribers.append(subscriber)

    def _source_of(self, key: str) -> SettingSource:
        """Return where the value in force comes from."""
        configured = self._sources.get(key, SettingSource.DEFAULT)
        return SettingSource.STORED if key in self._stored and configured not in FIXED_BY else configured

    def _merge(self) -> tuple[Config, list[str]]:
        """Return the configuration with the stored settings, and the keys that this version does not accept."""
        config, refused = self._base, []
        for key, value in self._stored.items():
            try:
                config = _replace(config, key, value) if self.is_changeable(key) else config
            except InvalidConfig:
                refused.append(key)
        return config, refused

    def _check_changeable(self, key: str) -> None:
        """Raise `InvalidRequest` for a setting that does not exist or cannot be changed while the service runs."""
        field = setting_fields().get(key)
        if field is None:
            raise InvalidRequest(
                f"There is no setting {quoted(key)}.", hint="GET /api/settings lists them.", field=key[:80]
            )
        if field.effect is None:
            hint = "Set it in config.toml, the environment or on the command line, and start again."
            raise InvalidRequest(f"The setting {key} cannot be changed while the service runs.", hint=hint, field=key)
        if not self.is_changeable(key):
            place = "the environment" if self._sources[key] is SettingSource.ENVIRONMENT else "the command line"
            raise InvalidRequest(
                f"The setting {key} is fixed by {place}.", hint="Remove it there and start again.", field=key
            )


def _replace(config: Config, key: str, value: Any) -> Config:
    """Return the configuration with one value replaced. Raises `InvalidConfig`."""
    name, _, leaf = key.rpartition(".")
    section = getattr(config, name)
    try:
        changed = msgspec.convert(msgspec.to_builtins(section) | {leaf: value}, type(section))
    except msgspec.ValidationError as error:
        reason = str(error).partition(" - at ")[0]
        raise InvalidConfig(f"The setting {key} is not valid: {reason}.", field=key) from error
    try:
        return msgspec.structs.replace(config, **{name: changed})
    except ValueError as error:  # it does not fit to another section
        raise InvalidConfig(f"The setting {key} is not valid: {error}.", field=key) from error


def secrets_of(config: Config) -> list[str]:
    """Return every secret value in a configuration."""
    return [value for key, field in setting_fields().items() if field.secret and (value := _value(config, key))]


def _value(config: Config, key: str) -> Any:
    return attrgetter(key)(config)
