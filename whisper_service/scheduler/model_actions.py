"""What clients ask of models: download, cancel, remove, unload, import. Each function runs on the scheduler's loop."""

from __future__ import annotations

from pathlib import Path

from anyio import to_thread

from whisper_service.core.errors import Conflict, ModelInUse
from whisper_service.models.catalog import Catalog
from whisper_service.models.inventory import ModelInfo
from whisper_service.models.speaker_networks import SPEAKERS
from whisper_service.scheduler.aborts import fail_all
from whisper_service.scheduler.context import Context
from whisper_service.scheduler.model_downloads import CANCELLED
from whisper_service.scheduler.speech_actor import SpeechActor


async def download(context: Context, wanted: str) -> ModelInfo:
    """Download a model that is not here yet. Raises `InvalidRequest` and `ModelUnavailable`."""
    name = _name(context, wanted)
    if not context.models.catalog.has(name):
        await context.downloads.start(name, asked=True)
    return await context.models.show(name)


async def cancel(context: Context, wanted: str) -> ModelInfo:
    """Stop a download. Jobs that wait for the model fail and can be retried. Raises `Conflict` if there is none."""
    name = _name(context, wanted)
    if not await context.downloads.cancel(name):
        raise Conflict(f"The model {name} is not being downloaded.", hint="GET /api/models lists the downloads.")
    await fail_all(context, name, CANCELLED)
    return await context.models.show(name)


async def remove(context: Context, wanted: str) -> None:
    """Delete a model, or what was downloaded of it. Raises `ModelInUse`, `Conflict` and `NotFound`."""
    name = _name(context, wanted)
    _refuse_if_in_use(context, name)
    for seat in context.fleet.having(name):
        await unload_idle(context, seat)
    await context.downloads.cancel(name)
    if name == SPEAKERS:
        context.speakers.rest()  # it holds the networks in memory
    await to_thread.run_sync(context.models.catalog.remove, name)
    await context.models.clear(name)


async def unload(context: Context, wanted: str) -> ModelInfo:
    """Free the memory of the loaded model. Raises `ModelInUse`, and `Conflict` for a model that is not loaded."""
    name = _name(context, wanted)
    if name not in context.fleet.models:
        hint = "GET /api/models, or `models list`, says which model is loaded."
        raise Conflict(f"The model {name} is not loaded.", hint=hint)
    _refuse_if_in_use(context, name)
    for seat in context.fleet.having(name):
        await unload_idle(context, seat)
    return await context.models.show(name)


async def unload_idle(context: Context, seat: SpeechActor) -> None:
    """Free the memory of the loaded model of a seat. No job uses it."""
    name = seat.model
    seat.unload()
    if name is not None:
        await context.models.announce_loaded(name)


async def adopt(context: Context, folder: Path, name: str) -> ModelInfo:
    """Move an imported folder to its place under this name. Raises `Conflict` if the name is taken."""
    await to_thread.run_sync(_place, context.models.catalog, folder, name)
    await context.models.clear(name)
    return await context.models.show(name)


def refuse_if_here(catalog: Catalog, name: str) -> None:
    """Raise `Conflict` if there is a model with this name."""
    if catalog.has(name):
        hint = "Remove it first, or import this one under another name."
        raise Conflict(f"There is a model {name} already.", hint=hint)


def _name(context: Context, wanted: str) -> str:
    return context.models.catalog.managed(wanted, device=context.fleet.main.device.name_or_cpu)


def _refuse_if_in_use(context: Context, name: str) -> None:
    runs = context.runs_of_model(name)
    if name == SPEAKERS:
        runs = [run for run in context.ledger.runs.values() if run.speakers is not None and run.speakers.left]
    jobs = [run.job.id for run in runs]
    if jobs:
        raise ModelInUse(f"The model {name} is used by {len(jobs)} jobs in work.", jobs=jobs[:20])


def _place(catalog: Catalog, folder: Path, name: str) -> None:
    target = catalog.target_of(name)
    if target.is_dir() and not any(target.iterdir()):
        target.rmdir()
    else:
        refuse_if_here(catalog, name)
    folder.rename(target)
