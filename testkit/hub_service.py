"""A service whose models come from a hub on a real port, and what its clients see."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import msgspec

from testkit.fake_hub import REPO, FakeHub, wire_model
from testkit.scripted_actors import script
from testkit.service import Running, running
from testkit.weights import weights
from whisper_service.core.domain import Change, Job, Status
from whisper_service.models.inventory import ModelInfo, ModelState

FILES = wire_model(1) | {"model.bin": weights(2_000_000)}
SIZE = len(FILES["model.bin"])
TOKEN = "hf_TokenThatNobodyMaySee"
PASSWORD = "PasswordThatNobodyMaySee"
PATH = REPO.replace("/", "--")


@asynccontextmanager
async def running_with_hubs(
    root: Path, *endpoints: str, speech: dict[str, Any] | None = None, **models: Any
) -> AsyncIterator[Running]:
    """A service whose models come from these endpoints. `models` are settings of that section."""
    async with running(
        root,
        speech={"model": "auto", "preload": False} | (speech or {}),
        models={"endpoints": endpoints, "connect_timeout_s": 5.0, "read_timeout_s": 5.0} | models,
    ) as up:
        yield up


async def submit(web: Running, model: str = REPO, **play: Any) -> str:
    answer = await web.client.post(
        "/api/jobs", files={"file": ("talk.wav", script(**play))}, data={"model": model, "language": "en"}
    )
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


async def changes(web: Running, wanted: Callable[[Change], bool]) -> list[Change]:
    """Return everything that happens, up to the first change for which `wanted` is true."""
    cursor, seen = web.service.events.cursor(0), []
    with anyio.fail_after(60):
        while True:
            for change in await cursor.read():
                seen.append(change)
                if wanted(change):
                    return seen


async def model_once(web: Running, wanted: Callable[[ModelInfo], bool], name: str = REPO) -> ModelInfo:
    """Wait until the model is as wanted. Return it."""

    def fits(change: Change) -> bool:
        return change.job_id == f"model:{name}" and wanted(msgspec.json.decode(change.payload, type=ModelInfo))

    return msgspec.json.decode((await changes(web, fits))[-1].payload, type=ModelInfo)


async def job_once(web: Running, job_id: str, wanted: Callable[[Job], bool]) -> Job:
    """Wait until the job is as wanted. Return it."""

    def fits(change: Change) -> bool:
        return (
            change.job_id == job_id
            and change.kind == "update"
            and wanted(msgspec.json.decode(change.payload, type=Job))
        )

    return msgspec.json.decode((await changes(web, fits))[-1].payload, type=Job)


async def over(web: Running, job_id: str) -> Job:
    return await job_once(web, job_id, lambda job: job.status in (Status.COMPLETED, Status.FAILED, Status.CANCELLED))


def installed(info: ModelInfo) -> bool:
    return info.state is ModelState.INSTALLED


def half(info: ModelInfo) -> bool:
    return info.transfer is not None and info.transfer.bytes > SIZE // 3


def slow(hub: FakeHub, rate: int = SIZE // 2) -> None:
    hub.fault("/storage/", "slow", rate=rate, times=1)


async def actor_of(web: Running, name: str = "download") -> dict[str, Any]:
    system = (await web.client.get("/api/system")).json()
    return next(actor for actor in system["actors"] if actor["name"] == name)


async def gone(web: Running, name: str = "download") -> None:
    """Wait until the actor has ended."""
    with anyio.fail_after(30):
        while (await actor_of(web, name))["state"] != "idle":  # noqa: ASYNC110 - nobody tells the end of an idle actor
            await anyio.sleep(0.05)
