"""A service on a directory of its own, with actors that follow a script."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import msgspec

from testkit.scripted_actors import script
from whisper_service.app.service import Service
from whisper_service.config import schema
from whisper_service.core.domain import Change, Job, Options
from whisper_service.core.job_states import TERMINAL


def settings(data_dir: Path, **speech: Any) -> schema.Config:
    """A configuration for tests: any model directory will do for the fake actor."""
    model = data_dir.parent / "model"
    model.mkdir(exist_ok=True)
    for name in ("model.bin", "config.json", "tokenizer.json", "vocabulary.json"):
        (model / name).write_text("{}")
    storage = schema.StorageSettings(undo_s=0.0)  # deleted is gone
    return schema.Config(
        data_dir=data_dir, storage=storage, speech=schema.SpeechSettings(model=str(model), slots=2, **speech)
    )


@asynccontextmanager
async def running(
    data_dir: Path, *, speech: str = "speech", media: str = "media", **options: Any
) -> AsyncIterator[Service]:
    """A service whose actors come from `testkit.scripted_actors`."""
    entries = {"speech_entry": f"testkit.scripted_actors:{speech}", "media_entry": f"testkit.scripted_actors:{media}"}
    async with Service.open(settings(data_dir, **options), **entries) as service:
        yield service


async def send(
    service: Service, *, name: str = "talk.wav", options: Options | None = None, reuse: bool = False, **play: Any
) -> Job:
    """Submit a script as if it had been uploaded."""
    async with service.intake.receiver(name) as receiver:
        await receiver.write(script(name=name, **play))
        received = await receiver.finish()
    return await service.submit(received, options or Options(language="en"), reuse=reuse)


async def until(service: Service, job_id: str, wanted: Callable[[Job], bool], within_s: float = 60) -> Job:
    """The job once it is as wanted; hears of it through the broadcast."""
    cursor = service.broadcast.cursor(0, job_id)
    with anyio.fail_after(within_s):
        while True:
            for change in await cursor.read():
                if change.kind == "update" and wanted(job := msgspec.json.decode(change.payload, type=Job)):
                    return job


async def ended(service: Service, job_id: str, within_s: float = 60) -> Job:
    """The job in its terminal status."""
    return await until(service, job_id, lambda job: job.status in TERMINAL, within_s)


async def texts(service: Service, job_id: str) -> list[str]:
    """What was heard, in order."""
    return [segment.text for segment in (await service.transcript(job_id)).segments]


async def log_of(service: Service, job_id: str | None = None) -> list[Change]:
    """The change log."""
    return await service.store.log.changes(0, job_id=job_id, limit=100_000)
