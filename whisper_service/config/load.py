"""Read the configuration: defaults, then file, environment, command line. Each wins over those before it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from whisper_service.config.schema import Config, SettingSource, setting_fields
from whisper_service.core.errors import InvalidConfig

ENV_PREFIX: Final = "WHISPER_SERVICE_"
CONFIG_VARIABLE: Final = "WHISPER_SERVICE_CONFIG"  # the path of the file
NO_SETTINGS: Final = frozenset({CONFIG_VARIABLE, "WHISPER_SERVICE_UI"})
"""Variables with the prefix that are no settings. The second one is for the build of the web page."""


def load(
    file: Path | None = None, environ: Mapping[str, str] | None = None, overrides: Mapping[str, Any] | None = None
) -> Config:
    """Return the configuration. `overrides` are the dotted keys and values of the command line (`"server.port"`).

    Without `file`, `config.toml` in the working directory is read if it exists. Raises `InvalidConfig`, naming the key.
    """
    environ = os.environ if environ is None else environ
    file = _file(file, environ)
    base = file.resolve().parent if file else Path.cwd()
    tree = _read(file) if file else {}
    lists = {key for key, field in setting_fields().items() if isinstance(field.default, tuple)}
    for name, text in environ.items():
        if name.startswith(ENV_PREFIX) and name not in NO_SETTINGS:
            path = name.removeprefix(ENV_PREFIX).lower().split("__")
            _put(tree, path, _items(text) if ".".join(path) in lists else text)
    for key, value in (overrides or {}).items():
        if value is not None:
            _put(tree, key.split("."), value)
    try:
        config = msgspec.convert(tree, Config, strict=False, dec_hook=_path)
    except msgspec.ValidationError as error:
        raise InvalidConfig(
            f"The configuration is not valid: {error}.",
            hint=f"Correct {file or 'the environment or the command line'}. config.toml lists every key.",
        ) from error
    if config.security.token_file:
        tokens = str((base / Path(config.security.token_file).expanduser()).resolve())
        config = msgspec.structs.replace(config, security=msgspec.structs.replace(config.security, token_file=tokens))
    return msgspec.structs.replace(config, data_dir=(base / config.data_dir.expanduser()).resolve())


def find_sources(
    file: Path | None = None, environ: Mapping[str, str] | None = None, overrides: Mapping[str, Any] | None = None
) -> dict[str, SettingSource]:
    """Return where each setting that is not a default comes from. The arguments are those of `load`."""
    environ = os.environ if environ is None else environ
    file = _file(file, environ)
    found: dict[str, SettingSource] = {}
    for name, value in (_read(file) if file else {}).items():
        names = [f"{name}.{key}" for key in value] if isinstance(value, dict) else [name]
        found |= dict.fromkeys(names, SettingSource.FILE)
    for name in environ:
        if name.startswith(ENV_PREFIX) and name not in NO_SETTINGS:
            found[".".join(name.removeprefix(ENV_PREFIX).lower().split("__"))] = SettingSource.ENVIRONMENT
    return found | {key: SettingSource.COMMAND_LINE for key, value in (overrides or {}).items() if value is not None}


def resource(name: str) -> Path:
    """Return the path of `static` or `config.toml`: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / name
    return inside if inside.exists() else package.parent / name


def _file(file: Path | None, environ: Mapping[str, str]) -> Path | None:
    """Return the file that is named, else `config.toml` in the working directory if it exists."""
    if file is None and CONFIG_VARIABLE in environ:
        return Path(environ[CONFIG_VARIABLE])
    if file is None and (default := Path.cwd() / "config.toml").is_file():
        return default
    return file


def _read(file: Path) -> dict[str, Any]:
    try:
        tree: dict[str, Any] = msgspec.toml.decode(file.read_bytes())
    except OSError as error:
        raise InvalidConfig(
            f"{file} cannot be read: {error.strerror}.", hint="Check the path given with --config."
        ) from error
    except msgspec.DecodeError as error:
        raise InvalidConfig(f"{file} is not valid TOML: {error}.", hint="Correct that line and start again.") from error
    return tree


def _items(text: str) -> list[str]:
    """Return the items of a list that a variable holds, like `a, b`."""
    return [item for part in text.split(",") if (item := part.strip())]


def _put(tree: dict[str, Any], path: list[str], value: Any) -> None:
    """Set a key of the nested tables. The decoder refuses keys that do not exist."""
    *sections, leaf = path
    for section in sections:
        inner = tree.setdefault(section, {})
        tree = inner if isinstance(inner, dict) else {}
    tree[leaf] = value


def _path(kind: type, value: Any) -> Any:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise TypeError("A path is written as text")
