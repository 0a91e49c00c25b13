"""A whole service in this process, whose actors follow a script: with HTTP (`running`) or without (`open_service`)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

import anyio
import httpx
import msgspec

from testkit.scripted_actors import script
from whisper_service.app.service import Service
from whisper_service.app.wiring import GATEWAY
from whisper_service.config.schema import Config
from whisper_service.core.domain import Change, Job, Options
from whisper_service.core.job_states import TERMINAL
from whisper_service.models.speaker_networks import PAIR, SPEAKERS
from whisper_service.storage.object_store import ObjectStore
from whisper_service.storage.store import Store
from whisper_service.web.server import serving

WAIT = 30.0
"""Seconds that a client waits for an answer."""


class Running(NamedTuple):
    """A service that serves, and a client for it."""

    service: Service
    client: httpx.AsyncClient
    url: str


def entries(speech: str = "speech", media: str = "media", speakers: str = "speakers") -> dict[str, Any]:
    """Return the arguments of `Service.open` for functions of `testkit.scripted_actors`, or for other entries."""
    named = {"speech_entry": speech, "media_entry": media, "speakers_entry": speakers}
    return {key: name if ":" in name else f"testkit.scripted_actors:{name}" for key, name in named.items()}


def placeholder_model(folder: Path) -> Path:
    """Make a folder with the files of a model and nothing in them. Only a scripted actor can load it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("model.bin", "config.json", "tokenizer.json", "vocabulary.json"):
        (folder / name).write_bytes(b"{}")
    return folder


def placeholder_networks(root: Path) -> Path:
    """Make the networks for speakers of the service in `root`, with nothing in them."""
    folder = root / "data" / "models" / SPEAKERS
    folder.mkdir(parents=True, exist_ok=True)
    for network in PAIR:
        (folder / network.file).write_bytes(b"no network")
    return folder


def configuration(root: Path, **sections: Mapping[str, Any]) -> Config:
    """Return settings for a service with its data in `root / "data"`.

    `sections` are settings by section: `server={"max_uploads": 1}`. Unless they say otherwise, the port is any free
    one, one media actor works, what is deleted is gone, the model is a placeholder, and no edited words are aligned.
    """
    kinds = get_type_hints(Config)
    given: dict[str, Mapping[str, Any]] = {
        "server": {"port": 0},
        "storage": {"min_free_bytes": 0, "undo_s": 0.0},
        "media": {"workers": 1},
        "speech": {"align_edits": False},
    }
    if "model" not in sections.get("speech", {}):
        given["speech"] = {"model": str(placeholder_model(root / "model")), **given["speech"]}
    for name, values in sections.items():
        given[name] = {**given.get(name, {}), **values}
    return Config(data_dir=root / "data", **{name: kinds[name](**values) for name, values in given.items()})


@asynccontextmanager
async def open_service(
    root: Path,
    *,
    speech_actor: str = "speech",
    media_actor: str = "media",
    speakers_actor: str = "speakers",
    gateway: str = GATEWAY,
    objects: ObjectStore | None = None,
    sources: Mapping[str, Any] | None = None,
    **sections: Mapping[str, Any],
) -> AsyncIterator[Service]:
    """A service without HTTP.

    The actors are functions of `testkit.scripted_actors`, `gateway` is an entry, `objects` the object storage;
    `sources` say who set a setting.
    """
    config, named = configuration(root, **sections), entries(speech_actor, media_actor, speakers_actor)
    async with Service.open(config, sources=sources, gateway_entry=gateway, objects=objects, **named) as service:
        yield service


@asynccontextmanager
async def running(root: Path, **options: Any) -> AsyncIterator[Running]:
    """A service on a real port, and a client for it. The options are those of `open_service`."""
    address = {name: value for name, value in options.get("server", {}).items() if name in ("host", "port")}
    async with (
        open_service(root, **options) as service,
        serving(service, **address) as url,
        httpx.AsyncClient(base_url=url, timeout=WAIT) as client,
    ):
        yield Running(service, client, url)


async def send(
    service: Service, *, name: str = "talk.wav", options: Options | None = None, reuse: bool = False, **play: Any
) -> Job:
    """Submit a script as if it had been uploaded."""
    async with service.uploads.receive(name) as receiver:
        await receiver.write(script(name=name, **play))
        received = await receiver.finish()
    return await service.jobs.submit(received, options or Options(language="en"), reuse=reuse)


async def until(service: Service, job_id: str, wanted: Callable[[Job], bool], within_s: float = 60) -> Job:
    """Wait until the job is as wanted, without polling. Return it."""
    cursor = service.events.cursor(0, job_id)
    with anyio.fail_after(within_s):
        while True:
            for change in await cursor.read():
                if change.kind == "update" and wanted(job := msgspec.json.decode(change.payload, type=Job)):
                    return job


async def ended(service: Service, job_id: str, within_s: float = 60) -> Job:
    """Wait until the job has ended. Return it."""
    return await until(service, job_id, lambda job: job.status in TERMINAL, within_s)


async def texts(service: Service, job_id: str) -> list[str]:
    """Return what was heard, in order."""
    return [segment.text for segment in (await service.jobs.transcript(job_id)).segments]


async def log_of(service: Service, job_id: str | None = None) -> list[Change]:
    """Return the change log, of one job or of all."""
    return await service.parts.store.change_log.changes(0, job_id=job_id, limit=100_000)


async def recorded(store: Store) -> list[tuple[int, str]]:
    """Return sequence number and kind of every change."""
    return [(change.seq, change.kind) for change in await store.change_log.changes(0, limit=100_000)]
