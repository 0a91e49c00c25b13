"""Settings as people see and change them while the service runs: each value, where it comes from, and what a change does.

Pure. What is set here lies in the database, above the configuration file and below the environment and the command line: who
wrote a value there wants it to stay, so it cannot be changed here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, Final

import msgspec

from whisper_service.config.schema import Config, Secret, SettingSource, keys
from whisper_service.core.domain import Value
from whisper_service.core.errors import InvalidConfig, InvalidRequest
from whisper_service.core.model_names import is_name


class Effect(StrEnum):
    """When a change of a setting shows."""

    NOW = "now"
    RESTART = "restart"


NOW: Final = frozenset(
    {
        *("speech.preset", "server.max_upload_bytes", "server.max_uploads", "api.reuse_results", "log.level"),
        *("storage.min_free_bytes", "storage.undo_s", "storage.keep_uploads_s"),
        *("models.endpoints", "models.proxy", "models.token", "models.offline"),
        *("models.connect_timeout_s", "models.read_timeout_s"),
        *(key for key, _ in keys() if key.startswith("captions.")),
    }
)
RESTART: Final = frozenset(
    {
        *(
            "speech.model",
            "speech.device",
            "speech.compute_type",
            "speech.batch_size",
            "speech.slots",
            "speech.threads",
        ),
        *("speech.preload", "speech.unload_after_s", "speech.cpu_fallback", "media.workers", "media.max_duration_s"),
        *("storage.keep_media_days", "storage.keep_jobs_days", "storage.max_media_bytes", "storage.keep_changes"),
    }
)
"""What may be changed. All else - addresses, paths, who may come in, where messages go - is for the operator alone."""
FIXED_BY: Final = frozenset({SettingSource.ENVIRONMENT, SettingSource.COMMAND_LINE})


class Setting(Value, frozen=True):
    """One setting. `value` and `default` of a secret are never told, `given` says whether there is one."""

    key: str
    value: Any
    default: Any
    source: SettingSource
    changeable: bool
    effect: Effect | None  # of a change; None: cannot be changed here
    secret: bool
    given: bool


def describe(config: Config, sources: Mapping[str, SettingSource], stored: Mapping[str, Any]) -> list[Setting]:
    """Every setting, in the order of the file. `config` has the values in force or, for those that wait for it, after a restart."""
    values, secret = dict(_values(config)), set(_secrets())
    return [
        Setting(
            key=key,
            value=None if key in secret else msgspec.to_builtins(values[key], enc_hook=str),
            default=None if key in secret else msgspec.to_builtins(default, enc_hook=str),
            source=source_of(key, sources, stored),
            changeable=is_open(key, sources),
            effect=effect_of(key) if is_open(key, sources) else None,
            secret=key in secret,
            given=values[key] != default,
        )
        for key, default in keys()
    ]


def source_of(key: str, sources: Mapping[str, SettingSource], stored: Mapping[str, Any]) -> SettingSource:
    """Where the value in force comes from."""
    configured = sources.get(key, SettingSource.DEFAULT)
    return SettingSource.STORED if key in stored and configured not in FIXED_BY else configured


def effect_of(key: str) -> Effect | None:
    """When a change shows; None for what cannot be changed."""
    return Effect.NOW if key in NOW else Effect.RESTART if key in RESTART else None


def is_open(key: str, sources: Mapping[str, SettingSource]) -> bool:
    """Whether the value may be changed while the service runs."""
    return effect_of(key) is not None and sources.get(key) not in FIXED_BY


def effective(
    base: Config, sources: Mapping[str, SettingSource], stored: Mapping[str, Any]
) -> tuple[Config, list[str]]:
    """The configuration with what was set here, and the keys of what this version does not take any more."""
    config, refused = base, []
    for key, value in stored.items():
        try:
            config = _with(config, key, value) if is_open(key, sources) else config
        except InvalidConfig:
            refused.append(key)
    return config, refused


def check(
    base: Config, sources: Mapping[str, SettingSource], stored: Mapping[str, Any], changes: Mapping[str, Any]
) -> dict[str, Any]:
    """What is stored after these changes; None takes a value back. Raises `InvalidRequest` naming the key; then none is made."""
    known = dict(keys())
    after = dict(stored)
    for key, value in changes.items():
        if key not in known:
            raise InvalidRequest(
                f"There is no setting {key[:80]!r}.", hint="GET /api/settings lists them.", field=key[:80]
            )
        if effect_of(key) is None:
            hint = "Set it in config.toml, the environment or on the command line, and start again."
            raise InvalidRequest(f"The setting {key} cannot be changed while the service runs.", hint=hint, field=key)
        if not is_open(key, sources):
            place = "the environment" if sources[key] is SettingSource.ENVIRONMENT else "the command line"
            raise InvalidRequest(
                f"The setting {key} is fixed by {place}.", hint="Remove it there and start again.", field=key
            )
        if value is None:
            after.pop(key, None)
            continue
        if key == "speech.model" and isinstance(value, str) and not is_name(value):
            hint = "Send the name of a model; only the configuration may give a directory."
            raise InvalidRequest("The setting speech.model is not the name of a model.", hint=hint, field=key)
        try:
            _with(base, key, value)
        except InvalidConfig as error:
            raise InvalidRequest(error.message, hint="config.toml says what it can be.", field=key) from error
        after[key] = value
    return after


def _with(config: Config, key: str, value: Any) -> Config:
    """The configuration with one value replaced, after a look whether it may be so."""
    name, _, leaf = key.rpartition(".")
    section = getattr(config, name)
    try:
        changed = msgspec.convert(msgspec.to_builtins(section) | {leaf: value}, type(section))
    except msgspec.ValidationError as error:
        raise InvalidConfig(
            f"The setting {key} is not valid: {str(error).partition(' - at ')[0]}.", field=key
        ) from error
    return msgspec.structs.replace(config, **{name: changed})


def _values(config: Config) -> Iterator[tuple[str, Any]]:
    for name, value in msgspec.structs.asdict(config).items():
        if isinstance(value, msgspec.Struct):
            yield from ((f"{name}.{key}", inner) for key, inner in msgspec.structs.asdict(value).items())
        else:
            yield name, value


def secrets_of(config: Config) -> list[str]:
    """Every secret value there is."""
    values = dict(_values(config))
    return [values[key] for key in _secrets() if values[key]]


def _secrets() -> Iterator[str]:
    for name, section in msgspec.structs.asdict(Config()).items():
        if isinstance(section, msgspec.Struct):
            yield from (f"{name}.{field.name}" for field in msgspec.structs.fields(section) if field.type == Secret)
