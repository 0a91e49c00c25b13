"""Settings: the only place with defaults. config.toml -> environment -> command line, unknown keys refused by name.

`config.toml` beside the package is these defaults written out with comments; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec

from whisper_service.core.domain import Preset
from whisper_service.export.captions import Style

Positive = Annotated[int, msgspec.Meta(ge=1)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]
Secret = Annotated[str, msgspec.Meta(extra={"secret": True})]
"""Never shown, logged or sent to a client."""


class SettingSource(StrEnum):
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


class ServerSettings(Section, frozen=True):
    """Where the service listens and how it speaks."""

    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8000  # 0: any free port
    heartbeat_s: Seconds = 15.0  # a comment on idle event streams keeps proxies from closing them
    max_upload_bytes: Positive = 20 * 1024**3
    max_uploads: Positive = 32  # at the same time; more are asked to come back
    root_path: Annotated[str, msgspec.Meta(pattern=r"^(/[A-Za-z0-9._~-]+)*$")] = ""  # where a proxy shows the service


class SecuritySettings(Section, frozen=True):
    """Who may come in. Without a token only this machine may, unless `open` says otherwise."""

    token: Secret = ""  # asked of everybody: `Authorization: Bearer TOKEN`, or a login in the browser
    token_file: str = ""  # a file with tokens, one a line; relative to the configuration
    open: bool = False  # listen for other machines without asking for a token
    allowed_hosts: tuple[str, ...] = ()  # more names to be called by; *.example.org, or * for any
    trusted_proxies: tuple[str, ...] = ()  # addresses and networks whose X-Forwarded-For and -Proto are believed


class ApiSettings(Section, frozen=True):
    """How other programs' interfaces (OpenAI, Whisper ASR, whisper.cpp) answer."""

    reuse_results: bool = True  # the same recording with the same options is answered from the finished job


class WebhookSettings(Section, frozen=True):
    """Other programs that are told when a job ends. Without a secret none is."""

    secret: Secret = ""  # whsec_ and 24 bytes or more in base64: every message is signed with it
    url: str = ""  # is told of every job; a job may name another
    allowed_networks: tuple[str, ...] = ()  # beside the public internet: 127.0.0.1, 192.168.1.0/24
    timeout_s: Seconds = 10.0


class LinkSettings(Section, frozen=True):
    """Recordings that the service gets itself, from an address that it is given."""

    enabled: bool = True
    allowed_networks: tuple[str, ...] = ()  # beside the public internet: 192.168.1.0/24
    at_once: Positive = 2
    timeout_s: Seconds = 30.0  # to connect, and without a single byte


class StorageSettings(Section, frozen=True):
    """What is kept on disk."""

    min_free_bytes: Annotated[int, msgspec.Meta(ge=0)] = 256 * 1024**2  # uploads that would leave less are refused
    keep_changes: Positive = 200_000  # rows of the change log that reconnecting clients may ask for
    undo_s: Annotated[float, msgspec.Meta(ge=0)] = 600.0  # how long a deleted job can be had back; 0: not at all
    keep_uploads_s: Seconds = 86_400.0  # uploads that broke off, after their last byte
    keep_media_days: NotNegative = 0.0  # recordings, after their job is over; 0: for ever
    keep_jobs_days: NotNegative = 0.0  # jobs with their text, after they are over; 0: for ever
    max_media_bytes: Annotated[int, msgspec.Meta(ge=0)] = 0  # all recordings together; 0: no limit


class SpeechSettings(Section, frozen=True):
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


class ModelSettings(Section, frozen=True):
    """Where models come from. What is empty here is as the environment says: HF_ENDPOINT, HF_TOKEN, HTTPS_PROXY, HF_HUB_OFFLINE."""

    endpoints: tuple[Annotated[str, msgspec.Meta(pattern=r"^https?://")], ...] = ()  # hubs and mirrors, tried in order
    proxy: Secret = ""  # http://name:password@host:port
    token: Secret = ""  # goes to every one of the endpoints
    offline: bool = False  # ask no hub for anything
    connect_timeout_s: Seconds = 10.0
    read_timeout_s: Seconds = 10.0  # without a single byte
    import_dirs: tuple[str, ...] = ()  # folders of this machine that models may be imported from through the API
    max_import_bytes: Positive = 20 * 1024**3  # of a model that is imported, unpacked


class MediaSettings(Section, frozen=True):
    """How recordings are read."""

    workers: Positive = 2  # files decoded at the same time
    max_duration_s: Seconds = 100 * 3600.0
    max_expansion: Annotated[float, msgspec.Meta(gt=0)] = (
        2_000.0  # of a file while it is decoded; an hour is always allowed
    )


class SupervisionSettings(Section, frozen=True):
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


class WyomingSettings(Section, frozen=True):
    """The port for Home Assistant. The protocol has no key: bind it to what may speak without one."""

    enabled: bool = False
    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 10300


class LogSettings(Section, frozen=True):
    """What is written to standard error."""

    level: Annotated[str, msgspec.Meta(pattern=r"^(debug|info|warning|error)$")] = "info"
    json: bool = False


class Config(Section, frozen=True):
    """Everything that can be set. Relative paths are relative to the file, without one to the working directory."""

    data_dir: Path = Path("data")
    server: ServerSettings = ServerSettings()
    security: SecuritySettings = SecuritySettings()
    api: ApiSettings = ApiSettings()
    captions: Style = Style()
    webhooks: WebhookSettings = WebhookSettings()
    links: LinkSettings = LinkSettings()
    storage: StorageSettings = StorageSettings()
    speech: SpeechSettings = SpeechSettings()
    models: ModelSettings = ModelSettings()
    media: MediaSettings = MediaSettings()
    supervision: SupervisionSettings = SupervisionSettings()
    wyoming: WyomingSettings = WyomingSettings()
    log: LogSettings = LogSettings()


def keys() -> Iterable[tuple[str, Any]]:
    """Every dotted key with its default, in the order of the file."""
    for name, value in msgspec.structs.asdict(Config()).items():
        if isinstance(value, msgspec.Struct):
            yield from ((f"{name}.{key}", inner) for key, inner in msgspec.structs.asdict(value).items())
        else:
            yield name, value
