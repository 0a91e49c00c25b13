"""What clients may ask of models. Every change runs on the scheduler's loop (`scheduler.model_actions`)."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from anyio import to_thread

from whisper_service.app.made_networks import make_networks
from whisper_service.app.wiring import Parts
from whisper_service.config.schema import Config
from whisper_service.core.domain import Value
from whisper_service.core.errors import InvalidRequest
from whisper_service.core.model_names import is_name
from whisper_service.core.text import quoted
from whisper_service.models import hubs, importing
from whisper_service.models.catalog import AUTO, Catalog
from whisper_service.models.hubs import HubInfo
from whisper_service.models.importing import ImportLimits
from whisper_service.models.inventory import ModelInfo
from whisper_service.models.speaker_networks import SPEAKERS, has_checkpoints
from whisper_service.scheduler import model_actions
from whisper_service.storage.uploads import UploadLimits, Uploads
from whisper_service.supervision.messages.download import EndpointState


class ModelsInfo(Value, frozen=True):
    """Every model that is known or on this machine, the best first, and where models are downloaded from."""

    models: list[ModelInfo]
    hub: HubInfo


class HubTest(Value, frozen=True):
    """How each endpoint answered. `proxy` is the one in the settings, without name and password."""

    repo: str
    endpoints: list[EndpointState]
    proxy: str | None = None


@contextmanager
def import_folder(catalog: Catalog, name: str) -> Iterator[Path]:
    """Create a folder for an import, on the file system of the models, and delete it after the block.

    Raises `InvalidRequest` for an impossible name, and `Conflict` if there is a model with this name.
    """
    if not is_name(name) or name == AUTO:
        raise InvalidRequest(
            f"{quoted(name)} cannot be the name of a model.",
            hint="Use letters, digits, dots and dashes, or owner/name.",
            field="name",
        )
    model_actions.refuse_if_here(catalog, catalog.managed(name))
    scratch = catalog.scratch()
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def import_limits(config: Config) -> ImportLimits:
    """Return the limits of an import."""
    return ImportLimits(config.models.max_import_bytes, config.storage.min_free_bytes)


class ModelService:
    """The models of a running service."""

    def __init__(self, parts: Parts) -> None:
        self._active = parts.active
        self._context = parts.context
        self._catalog = parts.context.models.catalog
        self._logs = parts.data.logs

    async def list(self) -> ModelsInfo:
        """Return all models and the hubs."""
        return ModelsInfo(await self._context.models.list(), hubs.info_of(self._context.downloads.hub))

    async def installed(self) -> tuple[str, ...]:
        """Return the names of the models on this machine."""
        return tuple(await to_thread.run_sync(self._catalog.installed))

    async def show(self, name: str) -> ModelInfo:
        """Return one model. Raises `InvalidRequest` for an impossible name."""
        return await self._context.models.show(self._catalog.managed(name))

    async def resolve(self, wanted: str) -> str:
        """Return the name of the model that would do the work. Raises `InvalidRequest` and `ModelUnavailable`.

        The model of a call is chosen when it arrives: later, "auto" may mean another model, with another text.
        """
        device = self._context.fleet.main.device.name_or_cpu
        return await to_thread.run_sync(partial(self._catalog.resolve, wanted, device=device))

    async def download(self, name: str) -> ModelInfo:
        """Download a model that is not here yet. Raises `InvalidRequest` and `ModelUnavailable`."""
        return await self._context.ask(model_actions.download, name)

    async def cancel(self, name: str) -> ModelInfo:
        """Stop a download. Raises `Conflict` if there is none."""
        return await self._context.ask(model_actions.cancel, name)

    async def remove(self, name: str) -> None:
        """Delete a model from this machine. Raises `ModelInUse`, `Conflict` and `NotFound`."""
        await self._context.ask(model_actions.remove, name)

    async def unload(self, name: str) -> ModelInfo:
        """Free the memory of the loaded model. Raises `ModelInUse` and `Conflict`."""
        return await self._context.ask(model_actions.unload, name)

    async def import_archive(self, name: str, data: AsyncIterator[bytes], *, expected: int | None = None) -> ModelInfo:
        """Make a model of the bytes of an archive.

        Raises `BadArchive`, `ModelBroken`, `Conflict`, `InvalidRequest`, `TooLarge` and `DiskFull`.
        """
        limits = import_limits(self._active.config)
        with import_folder(self._catalog, name) as scratch:
            uploads = Uploads(scratch, UploadLimits(limits.bytes, limits.spare))
            async with uploads.receive("archive", expected=expected) as receiver:
                async for block in data:
                    await receiver.write(block)
                received = await receiver.finish()
            if name == SPEAKERS and await to_thread.run_sync(has_checkpoints, received.path):
                made, target, config = scratch / "made", scratch / "model", self._active.config
                await make_networks(received.path, made, logs=self._logs, limits=config.supervision)
                await to_thread.run_sync(partial(importing.from_folder, pair=True), made, [scratch], target, limits)
            else:
                build = partial(importing.from_archive, pair=name == SPEAKERS)
                await to_thread.run_sync(build, received.path, scratch / "model", limits)
            return await self._adopt(scratch / "model", name)

    async def import_folder(self, name: str, path: str) -> ModelInfo:
        """Make a model of a folder of this machine. Raises what `import_archive` raises, and `ImportRefused`."""
        with import_folder(self._catalog, name) as scratch:
            target, config = scratch / "model", self._active.config
            allowed = [Path(folder) for folder in config.models.import_dirs]
            build = partial(importing.from_folder, pair=name == SPEAKERS)
            await to_thread.run_sync(build, Path(path), allowed, target, import_limits(config))
            return await self._adopt(target, name)

    async def test(
        self,
        model: str | None = None,
        *,
        endpoints: tuple[str, ...] = (),
        proxy: str | None = None,
        token: str | None = None,
    ) -> HubTest:
        """Ask each endpoint whether this model could be downloaded. The settings say what is not given."""
        hub = self._context.downloads.hub
        repo = self._catalog.repo_of(model) if model else None
        command = hubs.asking_for(hub, repo, endpoints, proxy, token)
        test = await self._context.mailbox.ask(self._context.hub_tests.start, command)
        await test.done.wait()
        return HubTest(command.repo, list(test.results), hubs.info_of(hub).proxy)

    async def _adopt(self, folder: Path, name: str) -> ModelInfo:
        return await self._context.ask(model_actions.adopt, folder, self._catalog.managed(name))
