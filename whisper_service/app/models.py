"""What anybody may ask about models: the facade over the shelf, for the web. Whatever changes something is done on the loop."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from anyio import to_thread

from whisper_service.core.domain import Value
from whisper_service.core.errors import Conflict, InvalidRequest
from whisper_service.core.model_names import is_name
from whisper_service.models import importing
from whisper_service.models.catalog import AUTO, Catalog
from whisper_service.models.hubs import HubInfo
from whisper_service.models.importing import ImportLimits
from whisper_service.models.inventory import EndpointState, ModelInfo
from whisper_service.scheduler import model_actions
from whisper_service.scheduler.context import Context
from whisper_service.storage.uploads import Uploads


class ModelsInfo(Value, frozen=True):
    """Every model there is or could be, the best first, and where those come from that are not here."""

    models: list[ModelInfo]
    hub: HubInfo


class HubTest(Value, frozen=True):
    """How each endpoint answered. `proxy` is the one that the settings name, without name and password."""

    repo: str
    endpoints: list[EndpointState]
    proxy: str | None = None


class ModelService:
    """The models of a running service. Every change runs on the scheduler's loop (`scheduler.model_actions`)."""

    def __init__(self, context: Context, *, import_dirs: tuple[str, ...], limits: ImportLimits) -> None:
        self._context = context
        self._import_dirs = tuple(map(Path, import_dirs))
        self._limits = limits

    @property
    def _catalog(self) -> Catalog:
        return self._context.models.catalog

    async def list(self) -> ModelsInfo:
        """Return all models and the hubs."""
        return ModelsInfo(await self._context.models.list(), self._context.downloads.hub.info)

    async def installed(self) -> tuple[str, ...]:
        """Return the names of the models on this machine."""
        return tuple(await to_thread.run_sync(self._catalog.installed))

    async def show(self, name: str) -> ModelInfo:
        """Return one model. Raises `InvalidRequest` for an impossible name."""
        return await self._context.models.show(self._catalog.name_of(name))

    async def resolve(self, wanted: str) -> str:
        """Return the name of the model that would do the work. Raises `InvalidRequest` and `ModelUnavailable`.

        A call is resolved when it arrives: "auto" may mean another model tomorrow, with another text.
        """
        device = self._context.speech.device or "cpu"
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
        """Take the bytes of an archive as a new model. Raises `BadArchive`, `ModelBroken`, `Conflict`, `TooLarge`, `DiskFull`."""
        with self._scratch(name) as scratch:
            intake = Uploads(scratch, max_bytes=self._limits.bytes, min_free=self._limits.spare)
            async with intake.receive("archive", expected=expected) as receiver:
                async for block in data:
                    await receiver.write(block)
                received = await receiver.finish()
            await to_thread.run_sync(importing.from_archive, received.path, scratch / "model", self._limits)
            return await self._adopt(scratch / "model", name)

    async def import_folder(self, name: str, path: str) -> ModelInfo:
        """Copy a folder of this machine as a new model. Raises the same, and `ImportRefused`."""
        with self._scratch(name) as scratch:
            await to_thread.run_sync(
                importing.from_folder, Path(path), self._import_dirs, scratch / "model", self._limits
            )
            return await self._adopt(scratch / "model", name)

    @contextmanager
    def _scratch(self, name: str) -> Iterator[Path]:
        """A folder for the time of an import, on the file system of the models. Refuses first what cannot end well."""
        if not is_name(name) or name == AUTO:
            raise InvalidRequest(
                f"{name[:80]!r} cannot be the name of a model.",
                hint="Letters, digits, dots and dashes, or owner/name.",
                field="name",
            )
        if self._catalog.has(self._catalog.name_of(name)):
            raise Conflict(
                f"There is a model {name} already.", hint="Remove it first, or import this one under another name."
            )
        scratch = self._catalog.scratch()
        try:
            yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    async def _adopt(self, folder: Path, name: str) -> ModelInfo:
        canonical = self._catalog.name_of(name)
        return await self._context.ask(model_actions.adopt, folder, canonical)

    async def test(
        self,
        model: str | None = None,
        *,
        endpoints: tuple[str, ...] = (),
        proxy: str | None = None,
        token: str | None = None,
    ) -> HubTest:
        """Whether this model could be fetched, from each endpoint, without fetching it. What is not given is as in the settings."""
        hub = self._context.downloads.hub
        repo = self._catalog.repo_of(model) if model else None
        command = hub.test(repo, endpoints=endpoints, proxy=proxy, token=token)
        test = await self._context.mailbox.ask(partial(self._context.hub_tests.ask, command))
        await test.done.wait()
        return HubTest(command.repo, list(test.results), hub.info.proxy)
