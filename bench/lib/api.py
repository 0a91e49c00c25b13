"""The API of a service as a client sees it."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import httpx

TERMINAL = ("completed", "failed", "cancelled")


class Event(NamedTuple):
    """A server-sent event. `at` is `time.monotonic()` when it was complete here."""

    kind: str
    data: Any
    id: int | None
    at: float


async def loaded(client: httpx.AsyncClient, *, within_s: float = 120.0) -> None:
    """Wait until the service is warm: its model is in memory and a media actor is ready."""
    states: dict[str, str] = {}
    with anyio.move_on_after(within_s):
        while True:
            system = await get(client, "/api/system")
            states = {actor["name"]: actor["state"] for actor in system["actors"]}
            if system["model"] is not None and states["media-1"] == "ready":
                return
            await anyio.sleep(0.1)
    problems = (await get(client, "/api/system"))["actors"]
    raise SystemExit(
        f"The service was not warm after {within_s:.0f} s: {states}, {[actor['problem'] for actor in problems]}"
    )


async def get(client: httpx.AsyncClient, path: str) -> Any:
    """Return the JSON behind a path."""
    response = await client.get(path)
    response.raise_for_status()
    return response.json()


async def upload(client: httpx.AsyncClient, path: Path, **options: str | None) -> dict[str, Any]:
    """Send a file as users do, as a form. Return the job of the answer 202."""
    fields = {name: value for name, value in options.items() if value}
    with path.open("rb") as file:
        response = await client.post("/api/jobs", files={"file": (path.name, file)}, data=fields)
    response.raise_for_status()
    job: dict[str, Any] = response.json()
    return job


async def follow(client: httpx.AsyncClient, job_id: str, last_id: int | None = None) -> AsyncGenerator[Event, None]:
    """Yield the events of a job as they come, up to `end` or to the end of the connection."""
    async with aclosing(events(client, f"/api/jobs/{job_id}/events", last_id)) as come:
        async for event in come:
            yield event


async def events(client: httpx.AsyncClient, path: str, last_id: int | None = None) -> AsyncGenerator[Event, None]:
    """Yield the events of a stream as they come, up to the end of the connection."""
    headers = {} if last_id is None else {"Last-Event-ID": str(last_id)}
    async with client.stream("GET", path, headers=headers, timeout=httpx.Timeout(60, connect=10)) as response:
        response.raise_for_status()
        fields: dict[str, str] = {}
        async for line in response.aiter_lines():
            if line.startswith(":"):
                continue
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
                continue
            if "data" in fields:
                data = fields["data"]
                number = int(fields["id"]) if "id" in fields else None
                kind = fields.get("event", "message")
                yield Event(kind, data if data == "done" else json.loads(data), number, time.monotonic())
            fields = {}


async def finished(client: httpx.AsyncClient, job_id: str) -> dict[str, Any]:
    """Wait for the `end` event and return the job. Stops the program unless it completed."""
    async for _ in follow(client, job_id):
        pass
    job: dict[str, Any] = await get(client, f"/api/jobs/{job_id}")
    if job["status"] != "completed":
        raise SystemExit(f"The job ended as {job['status']}: {job['error'] or job['message']}")
    return job


async def actors(client: httpx.AsyncClient) -> dict[str, int]:
    """Return the process ids of the living actors by name."""
    system = await get(client, "/api/system")
    return {actor["name"]: actor["pid"] for actor in system["actors"] if actor["pid"]}
