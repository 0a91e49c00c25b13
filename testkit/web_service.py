"""A whole service on a real port, with actors that follow a script: what the web tests talk to."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from whisper_service.app.service import Service
from whisper_service.config import schema
from whisper_service.storage.store import Store
from whisper_service.web.server import serving

WAIT = 30.0


class Running(NamedTuple):
    """A service and a client for it."""

    service: Service
    client: httpx.AsyncClient
    url: str


class Event(NamedTuple):
    """A server-sent event as a browser dispatches it."""

    kind: str
    data: Any
    id: int | None


def settings(
    root: Path,
    *,
    storage: dict[str, Any] | None = None,
    security: schema.SecuritySettings | None = None,
    webhooks: schema.WebhookSettings | None = None,
    links: schema.LinkSettings | None = None,
    **server: Any,
) -> schema.Config:
    """A configuration with a model that only the scripted actor can load."""
    model = root / "model"
    model.mkdir(parents=True, exist_ok=True)
    for name in ("model.bin", "config.json", "tokenizer.json", "vocabulary.json"):
        (model / name).write_bytes(b"{}")
    return schema.Config(
        data_dir=root / "data",
        server=schema.ServerSettings(port=0, **server),
        security=security or schema.SecuritySettings(),
        webhooks=webhooks or schema.WebhookSettings(),
        links=links or schema.LinkSettings(),
        storage=schema.StorageSettings(**({"min_free_bytes": 0, "undo_s": 0.0} | (storage or {}))),
        speech=schema.SpeechSettings(model=str(model)),
        media=schema.MediaSettings(workers=1),
    )


@asynccontextmanager
async def running(root: Path, **changes: Any) -> AsyncIterator[Running]:
    """Everything but the model."""
    entries = {"speech_entry": "testkit.scripted_actors:speech", "media_entry": "testkit.scripted_actors:media"}
    async with (
        Service.open(settings(root, **changes), **entries) as service,
        serving(service) as url,
        httpx.AsyncClient(base_url=url, timeout=WAIT) as client,
    ):
        yield Running(service, client, url)


async def events(response: httpx.Response) -> AsyncGenerator[Event, None]:
    """What a browser makes of the stream: fields up to a blank line, comments ignored, no event without data."""
    fields: dict[str, str] = {}
    last_id: int | None = None
    async for line in response.aiter_lines():
        if line.startswith(":"):
            continue
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
            continue
        if "id" in fields:
            last_id = int(fields["id"])
        if "data" in fields:
            data = fields["data"]
            yield Event(fields.get("event", "message"), data if data == "done" else json.loads(data), last_id)
        fields = {}


async def collect(client: httpx.AsyncClient, path: str, **keywords: Any) -> list[Event]:
    """A stream that ends by itself, to its end."""
    async with client.stream("GET", path, **keywords) as response:
        assert response.status_code == 200, await response.aread()
        return [event async for event in events(response)]


async def recorded(store: Store) -> list[tuple[int, str]]:
    """The whole change log: sequence and kind."""
    return [(change.seq, change.kind) for change in await store.log.changes(0, limit=100_000)]
