"""Settings: the only place with defaults. config.toml -> environment -> command line, unknown keys refused by name.

`config.toml` beside the package is these defaults written out with comments; a test compares the two.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from whisper_service.core.domain import Preset
from whisper_service.core.errors import InvalidConfig
from whisper_service.export.captions import Style

ENV_PREFIX: Final = "WHISPER_SERVICE_"
CONFIG_VARIABLE: Final = "WHISPER_SERVICE_CONFIG"  # names the file itself
NO_SETTINGS: Final = frozenset({CONFIG_VARIABLE, "WHISPER_SERVICE_UI"})
"""Variables that are called like settings and are none; the second is for the build of the page."""
Positive = Annotated[int, msgspec.Meta(ge=1)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]
Secret = Annotated[str, msgspec.Meta(extra={"secret": True})]
"""Never shown, logged or sent to a client."""


class Source(StrEnum):
    """Where the value of a setting comes from; each wins over those before it."""

    DEFAULT = "default"
    FILE = "file"
    STORED = "stored"  # set while the service ran; in its database
    ENVIRONMENT = "environment"
    COMMAND_LINE = "command_line"


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of config.toml."""

    def __repr__(self) -> str:
        """Without what is secret, for this ends in logs and tracebacks."""
        shown = (
            f"{field.name}={'***' if field.type == Secret and value else repr(value)}"
            for field, value in zip(msgspec.structs.fields(self), msgspec.structs.astuple(self), strict=True)
        )
        return f"{type(self).__name__}({', '.join(shown)})"


class Server(Section, frozen=True):
    """Where the service listens and how it speaks."""

    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8000  # 0: any free port
    heartbeat_s: Seconds = 15.0  # a comment on idle event streams keeps proxies from closing them
    max_upload_bytes: Positive = 20 * 1024**3
    max_uploads: Positive = 32  # at the same time; more are asked to come back
    root_path: Annotated[str, msgspec.Meta(pattern=r"^(/[A-Za-z0-9._~-]+)*$")] = ""  # where a proxy shows the service


class Security(Section, frozen=True):
    """Who may come in. Without a token only this machine may, unless `open` says otherwise."""

    token: Secret = ""  # asked of everybody: `Authorization: Bearer TOKEN`, or a login in the browser
    token_file: str = ""  # a file with tokens, one a line; relative to the configuration
    open: bool = False  # listen for other machines without asking for a token
    allowed_hosts: tuple[str, ...] = ()  # more names to be called by; *.example.org, or * for any
    trusted_proxies: tuple[str, ...] = ()  # addresses and networks whose X-Forwarded-For and -Proto are believed


class Api(Section, frozen=True):
    """How other programs' interfaces (OpenAI, Whisper ASR, whisper.cpp) answer."""

    reuse_results: bool = True  # the same recording with the same options is answered from the finished job


class Webhooks(Section, frozen=True):
    """Other programs that are told when a job ends. Without a secret none is."""

    secret: Secret = ""  # whsec_ and 24 bytes or more in base64: every message is signed with it
    url: str = ""  # is told of every job; a job may name another
    allowed_networks: tuple[str, ...] = ()  # beside the public internet: 127.0.0.1, 192.168.1.0/24
    timeout_s: Seconds = 10.0


class Links(Section, frozen=True):
    """Recordings that the service gets itself, from an address that it is given."""

    enabled: bool = True
    allowed_networks: tuple[str, ...] = ()  # beside the public internet: 192.168.1.0/24
    at_once: Positive = 2
    timeout_s: Seconds = 30.0  # to connect, and without a single byte


class Storage(Section, frozen=True):
    """What is kept on disk."""

    min_free_bytes: Annotated[int, msgspec.Meta(ge=0)] = 256 * 1024**2  # uploads that would leave less are refused
    keep_changes: Positive = 200_000  # rows of the change log that reconnecting clients may ask for
    undo_s: Annotated[float, msgspec.Meta(ge=0)] = 600.0  # how long a deleted job can be had back; 0: not at all
    keep_uploads_s: Seconds = 86_400.0  # uploads that broke off, after their last byte
    keep_media_days: NotNegative = 0.0  # recordings, after their job is over; 0: for ever
    keep_jobs_days: NotNegative = 0.0  # jobs with their text, after they are over; 0: for ever
    max_media_bytes: Annotated[int, msgspec.Meta(ge=0)] = 0  # all recordings together; 0: no limit


class Speech(Section, frozen=True):
    """The model and the device it runs on."""

    model: str = "auto"  # a name, or a directory with a CTranslate2 model; auto: the best one on disk
    device: Annotated[str, msgspec.Meta(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    compute_type: str = "auto"
    preset: Preset = Preset.BALANCED  # for jobs that do not name one
    batch_size: Annotated[int, msgspec.Meta(ge=0)] = (
        0  # chunks a slot works on together; 0: 8 on a CPU, by its memory on a GPU
    )
    slots: Annotated[int, msgspec.Meta(ge=0)] = 0  # batches at once; 0: one per core on a CPU, 4 on a GPU
    threads: Annotated[int, msgspec.Meta(ge=0)] = 0  # cores to use; 0: all
    cpu_fallback: bool = True  # go on with the CPU when the GPU has not enough memory or cannot be used
    climb_after_s: Seconds = 1800.0  # of success, until what memory once did not suffice for is tried again
    preload: bool = True  # load the model at start instead of with the first job
    unload_after_s: Annotated[float, msgspec.Meta(ge=0)] = (
        0.0  # idle time after which the model gives its memory back; 0: never
    )


class Models(Section, frozen=True):
    """Where models come from. What is empty here is as the environment says: HF_ENDPOINT, HF_TOKEN, HTTPS_PROXY, HF_HUB_OFFLINE."""

    endpoints: tuple[Annotated[str, msgspec.Meta(pattern=r"^https?://")], ...] = ()  # hubs and mirrors, tried in order
    proxy: Secret = ""  # http://name:password@host:port
    token: Secret = ""  # goes to every one of the endpoints
    offline: bool = False  # ask no hub for anything
    connect_timeout_s: Seconds = 10.0
    read_timeout_s: Seconds = 10.0  # without a single byte
    import_dirs: tuple[str, ...] = ()  # folders of this machine that models may be imported from through the API
    max_import_bytes: Positive = 20 * 1024**3  # of a model that is imported, unpacked


class Media(Section, frozen=True):
    """How recordings are read."""

    workers: Positive = 2  # files decoded at the same time
    max_duration_s: Seconds = 100 * 3600.0
    max_expansion: Annotated[float, msgspec.Meta(gt=0)] = (
        2_000.0  # of a file while it is decoded; an hour is always allowed
    )


class Supervision(Section, frozen=True):
    """How long a child may take before it is replaced, and how often that is done."""

    max_restarts: Positive = 8  # deaths of a child, with nothing useful between, after which no more are started
    restart_window_s: Seconds = 120.0  # within this time
    probe_s: Seconds = 180.0  # until one is tried again then
    ready_timeout_s: Seconds = 60.0
    load_timeout_s: Seconds = 600.0
    batch_timeout_s: Seconds = 120.0  # for any batch, and besides
    batch_timeout_factor: Seconds = (
        20.0  # so many times as long as its audio took so far, on this machine with this model
    )
    decode_stall_s: Seconds = 120.0  # a decode must report progress within this


class Wyoming(Section, frozen=True):
    """The port for Home Assistant. The protocol has no key: bind it to what may speak without one."""

    enabled: bool = False
    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 10300


class Log(Section, frozen=True):
    """What is written to standard error."""

    level: Annotated[str, msgspec.Meta(pattern=r"^(debug|info|warning|error)$")] = "info"
    json: bool = False


class Config(Section, frozen=True):
    """Everything that can be set. Relative paths are relative to the file, without one to the working directory."""

    data_dir: Path = Path("data")
    server: Server = Server()
    security: Security = Security()
    api: Api = Api()
    captions: Style = Style()
    webhooks: Webhooks = Webhooks()
    links: Links = Links()
    storage: Storage = Storage()
    speech: Speech = Speech()
    models: Models = Models()
    media: Media = Media()
    supervision: Supervision = Supervision()
    wyoming: Wyoming = Wyoming()
    log: Log = Log()


def load(
    file: Path | None = None, environ: Mapping[str, str] | None = None, overrides: Mapping[str, Any] | None = None
) -> Config:
    """The settings in force; `overrides` maps dotted keys (`"server.port"`) to values that win over everything.

    Without `file`, `config.toml` in the working directory is used if there is one. Raises `InvalidConfig` naming the key.
    """
    environ = os.environ if environ is None else environ
    file = _file(file, environ)
    base = file.resolve().parent if file else Path.cwd()
    tree = _read(file) if file else {}
    lists = {key for key, default in keys() if isinstance(default, tuple)}
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
            hint=f"Look at {file or 'the environment and the command line'}; config.toml lists every key.",
        ) from error
    if config.security.token_file:
        tokens = str((base / Path(config.security.token_file).expanduser()).resolve())
        config = msgspec.structs.replace(config, security=msgspec.structs.replace(config.security, token_file=tokens))
    return msgspec.structs.replace(config, data_dir=(base / config.data_dir.expanduser()).resolve())


def sources(
    file: Path | None = None, environ: Mapping[str, str] | None = None, overrides: Mapping[str, Any] | None = None
) -> dict[str, Source]:
    """Where each setting that is not a default comes from; the arguments are those of `load`."""
    environ = os.environ if environ is None else environ
    file = _file(file, environ)
    found: dict[str, Source] = {}
    for name, value in (_read(file) if file else {}).items():
        found |= {f"{name}.{key}": Source.FILE for key in value} if isinstance(value, dict) else {name: Source.FILE}
    for name in environ:
        if name.startswith(ENV_PREFIX) and name not in NO_SETTINGS:
            found[".".join(name.removeprefix(ENV_PREFIX).lower().split("__"))] = Source.ENVIRONMENT
    return found | {key: Source.COMMAND_LINE for key, value in (overrides or {}).items() if value is not None}


def keys() -> Iterable[tuple[str, Any]]:
    """Every dotted key with its default, in the order of the file."""
    for name, value in msgspec.structs.asdict(Config()).items():
        if isinstance(value, msgspec.Struct):
            yield from ((f"{name}.{key}", inner) for key, inner in msgspec.structs.asdict(value).items())
        else:
            yield name, value


def resource(name: str) -> Path:
    """A file that ships with the service (`static`, `config.toml`): inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / name
    return inside if inside.exists() else package.parent / name


def _file(file: Path | None, environ: Mapping[str, str]) -> Path | None:
    """The configuration file: the one that is named, else `config.toml` in the working directory if there is one."""
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
        raise InvalidConfig(f"{file} is not valid TOML: {error}.", hint="Mend that line and start again.") from error
    return tree


def _items(text: str) -> list[str]:
    """`a, b` -> the two, as a list is written in a variable."""
    return [item for part in text.split(",") if (item := part.strip())]


def _put(tree: dict[str, Any], path: list[str], value: Any) -> None:
    """Set one key of the nested tables; whether there is such a key is for the decoder to say."""
    *sections, leaf = path
    for section in sections:
        inner = tree.setdefault(section, {})
        tree = inner if isinstance(inner, dict) else {}
    tree[leaf] = value


def _path(kind: type, value: Any) -> Any:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise TypeError(f"{value!r} is no {kind.__name__}")
