"""The models of a data directory that no service is at work in: the same as `remote.Remote`, done in this process.

A download still is a child's: the one that the service uses, under the same supervisor.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import anyio

from whisper_service.app.models import HubTest, ModelsInfo
from whisper_service.app.wiring import DOWNLOAD
from whisper_service.config.active import ActiveSettings
from whisper_service.config.schema import Config, SettingSource
from whisper_service.core.domain import Problem
from whisper_service.core.errors import Conflict, InvalidRequest, ServiceError
from whisper_service.core.model_names import is_name
from whisper_service.host import machine
from whisper_service.models import bundled, hubs, importing
from whisper_service.models import files as model_files
from whisper_service.models.catalog import AUTO, Catalog
from whisper_service.models.importing import ImportLimits
from whisper_service.models.inventory import EndpointState, Inventory, ModelInfo, Situation
from whisper_service.scheduler.model_downloads import STALL_S, TRIES, transfer_of
from whisper_service.storage.data_dir import DataDir
from whisper_service.storage.store import Store
from whisper_service.supervision.conversation import Conversation, conversation
from whisper_service.supervision.protocol import (
    Command,
    ConnectionTested,
    Download,
    Downloaded,
    DownloadProgress,
    Fault,
    TestConnection,
)


def in_force(config: Config, sources: Mapping[str, SettingSource]) -> Config:
    """The configuration with what was set while a service ran, the hubs above all. The data directory must be held."""
    path = DataDir(config.data_dir).database

    async def stored() -> dict[str, Any]:
        async with Store.open(path) as store:
            return await store.service_state.settings()

    return ActiveSettings(config, sources, anyio.run(stored)).config if path.exists() else config


class LocalModels:
    """See the module. The data directory must be held, except for `list` and `verify`."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._data = DataDir(config.data_dir)
        self._catalog = Catalog(self._data.models, default=config.speech.model)
        self._inventory = Inventory(self._catalog, machine.inspect())
        self._hub = hubs.resolve(config.models, os.environ)

    def list(self) -> ModelsInfo:
        """Every model there is or could be."""
        return ModelsInfo(self._inventory.all(Situation()), self._hub.info)

    def show(self, name: str) -> ModelInfo:
        """One model."""
        return self._inventory.one(self._catalog.name_of(name), Situation())

    def download(self, wanted: str, show: Callable[[ModelInfo], None]) -> ModelInfo:
        """Fetch a model; tells its state whenever that changes. Raises `InvalidRequest` and `ModelUnavailable`."""
        name = self._catalog.name_of(wanted)
        if self._catalog.has(name):
            return self.show(name)
        if (source := self._catalog.source_of(name)) is None:
            raise self._catalog.unavailable(name)
        command = self._hub.download(
            name, source.repo, self._catalog.target_of(name), spare_bytes=self._config.storage.min_free_bytes
        )
        return anyio.run(self._fetch, command, show)

    def test(self, model: str | None, endpoints: tuple[str, ...], proxy: str | None) -> HubTest:
        """Whether this model could be fetched, from each endpoint, without fetching it. Raises as `download`."""
        repo = self._catalog.repo_of(model) if model else None
        command = self._hub.test(repo, endpoints=endpoints, proxy=proxy)
        return HubTest(command.repo, list(anyio.run(self._try, command)), self._hub.info.proxy)

    def unload(self, wanted: str) -> ModelInfo:
        """Only a running service holds a model in memory. Raises `Conflict`."""
        raise Conflict(
            f"The model {self._catalog.name_of(wanted)} is not loaded: no service runs in this data directory.",
            hint="Name the data directory of a running service with --data-dir.",
        )

    def cancel(self, wanted: str) -> None:
        """Nothing is left to be stopped: the child went with the command."""

    def remove(self, wanted: str) -> None:
        """Take a model off the disk. Raises `Conflict` and `NotFound`."""
        self._catalog.remove(self._catalog.name_of(wanted))

    def take(self, source: Path, name: str) -> ModelInfo:
        """Make a model of a folder or an archive. Raises what `imports` raises, and `Conflict`."""
        if not is_name(name) or name == AUTO:
            raise InvalidRequest(f"{name!r} cannot be the name of a model.", hint="Choose another with --name.")
        name = self._catalog.name_of(name)
        if self._catalog.has(name):
            raise Conflict(
                f"There is a model {name} already.", hint="Remove it first, or choose another name with --name."
            )
        limits = ImportLimits(self._config.models.max_import_bytes, self._config.storage.min_free_bytes)
        scratch = self._catalog.scratch()
        try:
            fresh = scratch / "model"
            if source.is_dir():
                importing.from_folder(source, [source], fresh, limits)
            else:
                importing.from_archive(source, fresh, limits)
            fresh.rename(self._catalog.target_of(name))
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return self.show(name)

    def verify(self, names: Sequence[str]) -> Iterator[tuple[str, str, Problem | None]]:
        """Each model with a verdict in words, and what is wrong with it."""
        for name in [self._catalog.name_of(name) for name in names] or self._catalog.installed():
            entry = self._catalog.entry(name)
            packed = entry.builtin and entry.path is None
            note = "built in, to be put together with the first job; " if packed else ""
            try:
                if packed:
                    checked = bundled.check(name, bundled.BUNDLED[name])
                elif entry.path is None:
                    raise self._catalog.unavailable(name)
                else:
                    checked = model_files.verify(entry.path)
            except (ServiceError, OSError) as error:
                problem = (
                    error.problem
                    if isinstance(error, ServiceError)
                    else Problem("model_broken", f"It cannot be read: {error}.")
                )
                yield name, problem.message, problem
            else:
                known = (
                    f"hashes of {', '.join(checked)} are right"
                    if checked
                    else "complete; nobody wrote down what its hashes should be"
                )
                yield name, note + known, None

    async def _fetch(self, command: Download, show: Callable[[ModelInfo], None]) -> ModelInfo:
        problems: dict[str, Problem] = {}
        async with self._conversation("download", command, STALL_S) as actor:
            while not isinstance(answer := await actor.report(), Downloaded):
                if isinstance(answer, Fault | Problem):
                    problems[command.model] = answer.problem if isinstance(answer, Fault) else answer
                    break
                if isinstance(answer, DownloadProgress):
                    moved = {command.model: transfer_of(answer, None)}
                    show(self._inventory.one(command.model, Situation(transfers=moved)))
        return self._inventory.one(command.model, Situation(problems=problems))

    async def _try(self, command: TestConnection) -> tuple[EndpointState, ...]:
        async with self._conversation("connection", command, STALL_S * len(command.endpoints)) as actor:
            while not isinstance(answer := await actor.report(), ConnectionTested):
                if isinstance(answer, Problem):
                    return tuple(EndpointState(endpoint, answer) for endpoint in command.endpoints)
        return tuple(EndpointState(result.endpoint, result.problem) for result in answer.results)

    def _conversation(self, name: str, command: Command, within_s: float) -> AbstractAsyncContextManager[Conversation]:
        """Return a conversation with an actor that downloads models or tests connections."""
        timeout = self._config.supervision.ready_timeout_s
        return conversation(
            name, DOWNLOAD, command, logs=self._data.logs, ready_timeout_s=timeout, within_s=within_s, tries=TRIES
        )
