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
from whisper_service.models.catalog import AUTO
from whisper_service.models.hubs import HubInfo
from whisper_service.models.importing import ImportLimits
from whisper_service.models.inventory import EndpointState, ModelInfo
from whisper_service.scheduler.hub_tests import HubTests
from whisper_service.scheduler.mailbox import Mailbox
from whisper_service.scheduler.model_actions import ModelActions
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
    """See the module."""

    def __init__(
        self,
        mailbox: Mailbox,
        shelf: ModelActions,
        connections: HubTests,
        *,
        import_dirs: tuple[str, ...],
        limits: ImportLimits,
    ) -> None:
        self._import_dirs = tuple(map(Path, import_dirs))
        self._limits = limits
        self._mailbox = mailbox
        self._shelf = shelf
        self._connections = connections

    async def list(self) -> ModelsInfo:
        """Everything."""
        return ModelsInfo(await self._shelf.list(), self._shelf.downloads.hub.info)

    async def show(self, name: str) -> ModelInfo:
        """One model. Raises `InvalidRequest` for what cannot be a name."""
        return await self._shelf.show(self._shelf.catalog.name_of(name))

    async def download(self, name: str) -> ModelInfo:
        """See `Shelf.download`."""
        return await self._mailbox.ask(partial(self._shelf.download, name))

    async def cancel(self, name: str) -> ModelInfo:
        """See `Shelf.cancel`."""
        return await self._mailbox.ask(partial(self._shelf.cancel, name))

    async def remove(self, name: str) -> None:
        """See `Shelf.remove`."""
        await self._mailbox.ask(partial(self._shelf.remove, name))

    async def unload(self, name: str) -> ModelInfo:
        """See `Shelf.unload`."""
        return await self._mailbox.ask(partial(self._shelf.unload, name))

    async def import_archive(self, name: str, data: AsyncIterator[bytes], *, expected: int | None = None) -> ModelInfo:
        """Take the bytes of an archive as a new model. Raises `BadArchive`, `ModelBroken`, `Conflict`, `TooLarge`, `DiskFull`."""
        with self._scratch(name) as scratch:
            intake = Uploads(scratch, max_bytes=self._limits.bytes, min_free=self._limits.spare)
            async with intake.receiver("archive", expected=expected) as receiver:
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
        if self._shelf.catalog.is_here(self._shelf.catalog.name_of(name)):
            raise Conflict(
                f"There is a model {name} already.", hint="Remove it first, or import this one under another name."
            )
        scratch = self._shelf.catalog.scratch()
        try:
            yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    async def _adopt(self, folder: Path, name: str) -> ModelInfo:
        canonical = self._shelf.catalog.name_of(name)
        return await self._mailbox.ask(partial(self._shelf.adopt, folder, canonical))

    async def test(
        self,
        model: str | None = None,
        *,
        endpoints: tuple[str, ...] = (),
        proxy: str | None = None,
        token: str | None = None,
    ) -> HubTest:
        """Whether this model could be fetched, from each endpoint, without fetching it. What is not given is as in the settings."""
        hub = self._shelf.downloads.hub
        repo = self._shelf.catalog.repo_of(model) if model else None
        command = hub.test(repo, endpoints=endpoints, proxy=proxy, token=token)
        test = await self._mailbox.ask(partial(self._connections.ask, command))
        await test.done.wait()
        return HubTest(command.repo, list(test.results), hub.info.proxy)
