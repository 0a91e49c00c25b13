"""Server-sent events as a browser sees them."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any, NamedTuple

import httpx


class Event(NamedTuple):
    """A server-sent event as a browser dispatches it."""

    kind: str
    data: Any
    id: int | None


async def events(response: httpx.Response) -> AsyncGenerator[Event, None]:
    """Yield events as a browser does: fields up to a blank line, no comments, no event without data."""
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
    """Return all events of a stream that ends by itself."""
    async with client.stream("GET", path, **keywords) as response:
        assert response.status_code == 200, await response.aread()
        return [event async for event in events(response)]
