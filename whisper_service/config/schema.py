"""Define every setting: default, bounds, description, and when a change takes effect. The only place with defaults.

`config.toml` beside the package holds these defaults and descriptions for users. A test compares the two.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_args

import msgspec

from whisper_service.core.domain import Preset, Script
from whisper_service.export.captions.style import Style


class SettingSource(StrEnum):
    """Where the value of a setting comes from. Each wins over those before it."""

    DEFAULT = "default"
    FILE = "file"
    STORED = "stored"  # set while the service ran; in its database
    ENVIRONMENT = "environment"
    COMMAND_LINE = "command_line"


class Effect(StrEnum):
    """When a change of a setting takes effect."""

    NOW = "now"
    RESTART = "restart"


def setting(description: str = "", effect: Effect | None = None, **bounds: Any) -> msgspec.Meta:
    """Describe a setting. Without `effect` only the operator may change it: addresses, paths, access, receivers."""
    return msgspec.Meta(description=description, extra={"effect": effect} if effect else None, **bounds)


NOW, RESTART = Effect.NOW, Effect.RESTART
Secret = Annotated[str, msgspec.Meta(extra={"secret": True})]
"""Never shown, logged or sent to a client."""
Positive = Annotated[int, msgspec.Meta(ge=1)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]
SecondsOrZero = Annotated[float, msgspec.Meta(ge=0)]
Days = Annotated[float, msgspec.Meta(ge=0)]
Strings = tuple[str, ...]
Url = Annotated[str, msgspec.Meta(pattern=r"^https?://")]
UrlPath = Annotated[str, msgspec.Meta(pattern=r"^(/[A-Za-z0-9._~-]+)*$")]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of config.toml."""

    def __repr__(self) -> str:
        """Return the values without secrets, because logs and tracebacks show this text."""
        shown = (
            f"{field.name}={'***' if value and _extra(field.type).get('secret') else repr(value)}"
            for field, value in zip(msgspec.structs.fields(self), msgspec.structs.astuple(self), strict=True)
        )
        return f"{type(self).__name__}({', '.join(shown)})"


class ServerSettings(Section, frozen=True):
    """Where the service listens, and its limits."""

    host: str = "127.0.0.1"
    port: Annotated[int, setting("0: any free port", ge=0, le=65535)] = 8000
    heartbeat_s: Annotated[Seconds, setting("comments on idle event streams, so that proxies keep them open")] = 15.0
    max_upload_bytes: Annotated[Positive, setting("20 GiB", NOW)] = 20 * 1024**3
    max_uploads: Annotated[Positive, setting("at the same time; more are told to try again", NOW)] = 32
    root_path: Annotated[UrlPath, setting('path at which a proxy shows the service, like "/transcribe"')] = ""


class PageSettings(Section, frozen=True):
    """How the page presents the service."""

    title: Annotated[
        str, setting("name in the header, the tab and the author of documents", NOW, min_length=1, max_length=60)
    ] = "whisper_service"


class SecuritySettings(Section, frozen=True):
    """Who may use the service. Without a token only this machine may, unless `open` is set."""

    token: Annotated[Secret, setting("at least 16 characters; programs send it as `Authorization: Bearer TOKEN`")] = ""
    token_file: Annotated[str, setting("or a file with tokens, one a line; relative to this file")] = ""
    open: Annotated[bool, setting("let other machines in without a token")] = False
    allowed_hosts: Annotated[
        Strings, setting('more names of this service, like "a.example.org", "*.example.org", "*"')
    ] = ()
    trusted_proxies: Annotated[
        Strings, setting("addresses and networks whose X-Forwarded-For and X-Forwarded-Proto are believed")
    ] = ()


class ApiSettings(Section, frozen=True):
    """How the interfaces of other programs (OpenAI, Whisper ASR, whisper.cpp) answer."""

    reuse_results: Annotated[bool, setting("answer from a finished job of the same recording and options", NOW)] = True


class WebhookSettings(Section, frozen=True):
    """Messages to other programs when a job ends."""

    secret: Annotated[Secret, setting("whsec_ and base64; signs the messages; without it none are sent")] = ""
    url: Annotated[str, setting("gets a message about every job; a job may name another with the option webhook")] = ""
    allowed_networks: Annotated[Strings, setting('beside the public internet, like "127.0.0.1", "192.168.1.0/24"')] = ()
    timeout_s: Seconds = 10.0


class LinkSettings(Section, frozen=True):
    """Recordings that the service fetches from links."""

    enabled: bool = True
    allowed_networks: Annotated[Strings, setting('beside the public internet, like "192.168.1.0/24"')] = ()
    at_once: Annotated[Positive, setting("more wait for their turn")] = 2
    timeout_s: Annotated[Seconds, setting("to connect, and without a single byte")] = 30.0
    sites: Annotated[bool, setting("also from web pages, if yt-dlp is installed")] = True
    site_look_s: Annotated[Seconds, setting("until a web page has told where its recording is")] = 120.0
    site_max_bytes: Annotated[Positive, setting("4 GiB; larger recordings of web pages are refused")] = 4 * 1024**3
    site_max_duration_s: Annotated[Seconds, setting("longer recordings of web pages are refused")] = 12 * 3600.0


class LiveSettings(Section, frozen=True):
    """Recordings that are transcribed while they are made."""

    enabled: bool = True
    max_sessions: Annotated[Positive, setting("open at the same time; more are told to try again", NOW)] = 16
    max_hours: Annotated[Seconds, setting("a longer session is ended; its text and sound stay", NOW)] = 24.0
    silence_end_s: Annotated[Seconds, setting("a session that gets no sound for so long is ended", NOW)] = 900.0
    cadence_s: Annotated[Seconds, setting("drafts of what is said just now come so often at most", NOW)] = 1.0
    share: Annotated[float, setting("of the time of a core for drafts while other jobs wait", NOW, gt=0, le=1)] = 0.5


class StorageSettings(Section, frozen=True):
    """What is kept, and where."""

    media: Annotated[
        str,
        setting(
            'recordings of ended jobs move to object storage: "s3://bucket/prefix"; empty: they stay on the disk',
            pattern=r"^(s3://[A-Za-z0-9][A-Za-z0-9._-]{1,253}(/[A-Za-z0-9._~-]+)*/?)?$",
        ),
    ] = ""
    min_free_bytes: Annotated[Count, setting("uploads that would leave less are refused", NOW)] = 256 * 1024**2
    keep_changes: Annotated[Positive, setting("events that a returning client can still get", RESTART)] = 200_000
    keep_changes_s: Annotated[
        SecondsOrZero, setting("a client that was away so long gets every event, however many there are", RESTART)
    ] = 300.0
    undo_s: Annotated[SecondsOrZero, setting("how long a deleted job can be restored; 0: not at all", NOW)] = 600.0
    keep_uploads_s: Annotated[Seconds, setting("how long an upload that broke off can be continued", NOW)] = 86_400.0
    keep_media_days: Annotated[
        Days, setting("recordings are deleted so long after their job ended, their text stays; 0: never", RESTART)
    ] = 0.0
    keep_jobs_days: Annotated[
        Days, setting("jobs and their text are deleted so long after they ended; 0: never", RESTART)
    ] = 0.0
    keep_voices_days: Annotated[
        Days, setting("what tells speakers apart is deleted so long after a job ended; 0: with its text", RESTART)
    ] = 0.0
    max_media_bytes: Annotated[
        Count, setting("above this, the oldest recordings of finished jobs are deleted; 0: no limit", RESTART)
    ] = 0
    listening_copy: Annotated[
        bool, setting("keep a small copy of recordings that browsers cannot play: 21 MB an hour", NOW)
    ] = True


class S3Settings(Section, frozen=True):
    """The object storage. An empty setting is read from AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID and others."""

    endpoint: Annotated[
        str, setting("http(s)://host:port of a server other than Amazon's", pattern=r"^(https?://[^\s]+)?$")
    ] = ""
    region: str = ""
    access_key_id: Annotated[Secret, setting("with secret_access_key; neither: as the environment says")] = ""
    secret_access_key: Secret = ""

    def __post_init__(self) -> None:
        """Check what one setting alone cannot tell. Raises `ValueError`."""
        if bool(self.access_key_id) != bool(self.secret_access_key):
            raise ValueError("access_key_id and secret_access_key come together: set both, or neither")


class SpeechSettings(Section, frozen=True):
    """The model and the device it runs on."""

    model: Annotated[str, setting("a name, or a directory with a CTranslate2 model; auto: the best here", RESTART)] = (
        "auto"
    )
    device: Annotated[
        str,
        setting(
            "auto: every GPU, else the CPU; a list: cpu, cuda:0, cuda:1; none: only a cluster",
            RESTART,
            pattern=r"^(auto|none|(cpu|cuda(:[0-9]+)?)( *, *(cpu|cuda(:[0-9]+)?))*)$",
        ),
    ] = "auto"
    compute_type: Annotated[str, setting("auto, int8, float32, float16, int8_float16 and others", RESTART)] = "auto"
    preset: Annotated[Preset, setting("fast, balanced, accurate: for jobs that name none", NOW)] = Preset.BALANCED
    script: Annotated[
        str,
        setting(
            "auto, simplified, traditional, recognized: Chinese of jobs that name none",
            NOW,
            pattern=r"^(auto|simplified|traditional|recognized)$",
        ),
    ] = "auto"
    speakers: Annotated[
        str,
        setting(
            "off, auto, or a number to 20: tell speakers apart in jobs that do not say",
            NOW,
            pattern=r"^(off|auto|[1-9]|1[0-9]|20)$",
        ),
    ] = "off"
    align_edits: Annotated[
        bool, setting("find out when words are said that people write, while nothing else is to be done", NOW)
    ] = True
    batch_size: Annotated[Count, setting("chunks recognised together; 0: 8 on a CPU, by memory on a GPU", RESTART)] = 0
    slots: Annotated[Count, setting("batches at the same time; 0: one per core on a CPU, 4 on a GPU", RESTART)] = 0
    threads: Annotated[Count, setting("cores to use; 0: all", RESTART)] = 0
    cpu_fallback: Annotated[bool, setting("use the CPU when the GPU lacks memory or cannot be used", RESTART)] = True
    climb_after_s: Annotated[Seconds, setting("of success, until what did not fit into memory is tried again")] = 1800.0
    preload: Annotated[bool, setting("load the model at start, not with the first job", RESTART)] = True
    unload_after_s: Annotated[
        SecondsOrZero, setting("idle time until the model is removed from memory; 0: never", RESTART)
    ] = 0.0

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices of this machine that are asked for, each once; or "auto" alone."""
        if self.device == "none":
            return ()
        names = [name.strip() for name in self.device.split(",")]
        if len(names) > 1:  # "cuda" means the first card
            names = [f"{name}:0" if name == "cuda" else name for name in names]
        return tuple(dict.fromkeys(names))

    @property
    def default_script(self) -> Script | None:
        """The option `script` of a job that has none. None: simplified Mandarin, Cantonese as the model writes it."""
        return None if self.script == "auto" else Script(self.script)


class ModelSettings(Section, frozen=True):
    """Where models come from. An empty setting is read from HF_ENDPOINT, HF_TOKEN, HTTPS_PROXY or HF_HUB_OFFLINE."""

    endpoints: Annotated[
        tuple[Url, ...], setting("hubs and mirrors, tried in order; none: https://huggingface.co", NOW)
    ] = ()
    proxy: Annotated[Secret, setting("http://host:port or http://name:password@host:port", NOW)] = ""
    token: Annotated[Secret, setting("for private models; sent to every one of the endpoints", NOW)] = ""
    offline: Annotated[bool, setting("send nothing to any hub", NOW)] = False
    connect_timeout_s: Annotated[Seconds, setting("", NOW)] = 10.0
    read_timeout_s: Annotated[Seconds, setting("without a single byte", NOW)] = 10.0
    import_dirs: Annotated[Strings, setting("folders from which models may be imported through the API")] = ()
    max_import_bytes: Annotated[Positive, setting("of an imported model, unpacked")] = 20 * 1024**3


class MediaSettings(Section, frozen=True):
    """How recordings are read."""

    workers: Annotated[
        Count, setting("files decoded at the same time; 0: half as many as cores, from 2 to 16", RESTART)
    ] = 0
    max_duration_s: Annotated[Seconds, setting("longer recordings are refused", RESTART)] = 100 * 3600.0
    max_expansion: Annotated[
        float, setting("files that unpack to so many times their size are refused, if longer than an hour", gt=0)
    ] = 2_000.0


class SupervisionSettings(Section, frozen=True):
    """How long an actor may take before it is replaced, and how often it is."""

    max_restarts: Annotated[
        Positive, setting("an actor that dies so often, without useful work in between, is stopped")
    ] = 8
    restart_window_s: Annotated[Seconds, setting("within this time")] = 120.0
    probe_s: Annotated[Seconds, setting("until it is tried again")] = 180.0
    ready_timeout_s: Seconds = 60.0
    load_timeout_s: Seconds = 600.0
    batch_timeout_s: Annotated[Seconds, setting("for any batch, and in addition")] = 120.0
    batch_timeout_factor: Annotated[Seconds, setting("times what its audio takes, as measured on this machine")] = 20.0
    decode_stall_s: Annotated[Seconds, setting("a decoder must report progress within this time")] = 120.0


class ClusterSettings(Section, frozen=True):
    """Machines of a cluster that do part of the work."""

    engine: Annotated[
        str, setting('"ray": use the machines of a Ray cluster; "": this machine alone', pattern="^(ray)?$")
    ] = ""
    address: Annotated[
        str,
        setting("host:port of its head; empty: the cluster that this machine is in", pattern=r"^([^\s/:]+:[0-9]+)?$"),
    ] = ""
    node_ip: Annotated[str, setting("address of this machine in the cluster, if it has several")] = ""
    max_seats: Annotated[Count, setting("speech actors on its machines at most; 0: as many as fit")] = 0
    cpus: Annotated[float, setting("cores that a speech actor there takes: a whole number, or less than 1", ge=0)] = 4.0
    gpus: Annotated[float, setting("GPUs that it takes: a whole number, a part of one, or 0", ge=0)] = 1.0
    media_workers: Annotated[Count, setting("recordings that its machines decode at the same time; 0: none")] = 0
    media_cpus: Annotated[float, setting("cores that each of them takes: a whole number, or less than 1", gt=0)] = 1.0
    autoscale: Annotated[
        bool, setting("as many speech actors as the queue is worth; asks the cluster's autoscaler for machines")
    ] = False
    target_s: Annotated[float, setting("within which all that waits is to be recognised, with autoscale", gt=0)] = 60.0
    lost_after_s: Annotated[  # the gateway tells of the machines every 2 to 4 s
        float, setting("without a word, until a machine counts as gone; at least 10", ge=10)
    ] = 15.0

    def __post_init__(self) -> None:
        """Check what one setting alone cannot tell. Raises `ValueError`."""
        for name, amount in (("cpus", self.cpus), ("gpus", self.gpus), ("media_cpus", self.media_cpus)):
            if amount > 1 and amount != int(amount):
                raise ValueError(f"{name} is {amount:g}, which is neither a whole number nor less than 1")
        if not self.cpus and not self.gpus:
            raise ValueError("a speech actor takes no cores and no GPUs: set cpus or gpus")


class WyomingSettings(Section, frozen=True):
    """The port for Home Assistant. The protocol has no token."""

    enabled: bool = False
    host: Annotated[str, setting("everybody who reaches this address may use it: there is no token")] = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 10300


class LogSettings(Section, frozen=True):
    """What is written to standard error."""

    level: Annotated[str, setting("debug, info, warning, error", NOW, pattern=r"^(debug|info|warning|error)$")] = "info"
    json: Annotated[bool, setting("one JSON object per line")] = False


class Config(Section, frozen=True):
    """All settings. A relative path is relative to the file, without a file to the working directory."""

    data_dir: Annotated[Path, setting("relative to this file")] = Path("data")
    server: ServerSettings = ServerSettings()
    page: PageSettings = PageSettings()
    security: SecuritySettings = SecuritySettings()
    api: ApiSettings = ApiSettings()
    captions: Annotated[Style, setting("how srt, vtt, ass and lrc look", NOW)] = Style()
    webhooks: WebhookSettings = WebhookSettings()
    links: LinkSettings = LinkSettings()
    live: LiveSettings = LiveSettings()
    storage: StorageSettings = StorageSettings()
    s3: S3Settings = S3Settings()
    speech: SpeechSettings = SpeechSettings()
    models: ModelSettings = ModelSettings()
    media: MediaSettings = MediaSettings()
    supervision: SupervisionSettings = SupervisionSettings()
    cluster: ClusterSettings = ClusterSettings()
    wyoming: WyomingSettings = WyomingSettings()
    log: LogSettings = LogSettings()

    def __post_init__(self) -> None:
        """Check what one section alone cannot tell. Raises `ValueError`."""
        if self.speech.device == "none" and not self.cluster.engine:
            raise ValueError("speech.device is none and cluster.engine is not set, so nothing could transcribe")


class Bounds(NamedTuple):
    """Which numbers a setting may be. None: there is no such bound."""

    minimum: float | None = None
    exclusive_minimum: float | None = None  # it must be greater
    maximum: float | None = None


class SettingField(NamedTuple):
    """What is known of a setting besides its value."""

    default: Any
    description: str
    effect: Effect | None  # of a change while the service runs; None: cannot be changed then
    secret: bool
    bounds: Bounds


@cache
def setting_fields() -> dict[str, SettingField]:
    """Return every setting by its dotted key, in the order of the file."""
    return dict(_fields(Config, "", None))


def _fields(section: type[msgspec.Struct], prefix: str, effect: Effect | None) -> Iterator[tuple[str, SettingField]]:
    """Yield the settings of a section. One that has no effect of its own has that of the section."""
    for field in msgspec.structs.fields(section):
        extra = _extra(field.type)
        own = extra.get("effect", effect)
        if isinstance(field.default, msgspec.Struct):
            yield from _fields(type(field.default), f"{prefix}{field.name}.", own)
        else:
            secret = extra.get("secret", False)
            description, bounds = extra.get("description", ""), _bounds(field.type)
            yield prefix + field.name, SettingField(field.default, description, own, secret, bounds)


def _extra(kind: Any) -> dict[str, Any]:
    """Return what the `Meta` of an annotated type says besides bounds."""
    found: dict[str, Any] = {}
    for meta in get_args(kind):
        if isinstance(meta, msgspec.Meta):
            found |= {"description": meta.description or "", **(meta.extra or {})}
    return found


def _bounds(kind: Any) -> Bounds:
    """Return the bounds that the `Meta` of an annotated type set."""
    metas = [meta for meta in get_args(kind) if isinstance(meta, msgspec.Meta)]
    set_by = ([bound for meta in metas if (bound := getattr(meta, name)) is not None] for name in ("ge", "gt", "le"))
    return Bounds(*(bounds[-1] if bounds else None for bounds in set_by))
