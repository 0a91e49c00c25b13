"""The models of a data directory that no running service has. Does in this process what `cli.remote_models` asks for.

A download runs in the actor of the service, under its supervisor.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Any

import anyio

from whisper_service.app.made_networks import make_networks
from whisper_service.app.models import HubTest, ModelsInfo, import_folder, import_limits
from whisper_service.app.wiring import DOWNLOAD
from whisper_service.config.active import ActiveSettings
from whisper_service.config.schema import Config, SettingSource
from whisper_service.core.domain import Problem
from whisper_service.core.errors import Conflict, ServiceError
from whisper_service.core.text import reason
from whisper_service.host import machine
from whisper_service.models import bundled, hubs, importing
from whisper_service.models import files as model_files
from whisper_service.models.catalog import Catalog
from whisper_service.models.inventory import Inventory, ModelInfo, Situation
from whisper_service.models.speaker_networks import SPEAKERS, has_checkpoints, verify_networks
from whisper_service.scheduler.model_downloads import STALL_S, TRIES
from whisper_service.storage.data_dir import DataDir
from whisper_service.storage.store import Store
from whisper_service.supervision.conversation import Conversation, conversation
from whisper_service.supervision.messages.base import Fault
from whisper_service.supervision.messages.download import (
    ConnectionTested,
    Download,
    Downloaded,
    DownloadProgress,
    EndpointState,
    TestConnection,
)
from whisper_service.supervision.protocol import Command


def active_config(config: Config, sources: Mapping[str, SettingSource]) -> Config:
    """Return the configuration with the settings that were changed while a service ran.

    The data directory must be held.
    """
    path = DataDir(config.data_dir).database

    async def stored() -> dict[str, Any]:
        async with Store.open(path) as store:
            return await store.service_state.settings()

    return ActiveSettings(config, sources, anyio.run(stored)).config if path.exists() else config


class LocalModels:
    """The models of a data directory, which must be held, except for `list` and `verify`."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._data = DataDir(config.data_dir)
        self._catalog = Catalog(self._data.models, default=config.speech.model)
        self._inventory = Inventory(self._catalog, machine.inspect())
        self._hub = hubs.resolve(config.models, os.environ)

    def list(self) -> ModelsInfo:
        """Return all models and the hubs."""
        return ModelsInfo(self._inventory.all(Situation()), hubs.info_of(self._hub))

    def show(self, name: str) -> ModelInfo:
        """Return one model."""
        return self._inventory.one(self._catalog.managed(name), Situation())

    def download(self, wanted: str, show: Callable[[ModelInfo], None]) -> ModelInfo:
        """Download a model and `show` every change of its state. Raises `InvalidRequest` and `ModelUnavailable`."""
        name = self._catalog.managed(wanted)
        if self._catalog.has(name):
            return self.show(name)
        if (source := self._catalog.source_of(name)) is None:
            raise self._catalog.unavailable(name)
        target, spare_bytes = str(self._catalog.target_of(name)), self._config.storage.min_free_bytes
        command = Download(name, source.repo, target, self._hub, spare_bytes, source.files)
        return anyio.run(self._download, command, show)

    def test(self, model: str | None, endpoints: tuple[str, ...], proxy: str | None) -> HubTest:
        """Ask each endpoint whether this model could be downloaded. Raises what `download` raises."""
        repo = self._catalog.repo_of(model) if model else None
        command = hubs.asking_for(self._hub, repo, endpoints, proxy)
        return HubTest(command.repo, list(anyio.run(self._test, command)), hubs.info_of(self._hub).proxy)

    def unload(self, wanted: str) -> ModelInfo:
        """Raise `Conflict`: only a running service has a model in memory."""
        raise Conflict(
            f"The model {self._catalog.name_of(wanted)} is not loaded: no service runs in this data directory.",
            hint="Name the data directory of a running service with --data-dir.",
        )

    def cancel(self, wanted: str) -> None:
        """Do nothing: the actor ended with the command."""

    def remove(self, wanted: str) -> None:
        """Delete a model from this machine. Raises `Conflict` and `NotFound`."""
        self._catalog.remove(self._catalog.managed(wanted))

    def import_model(self, source: Path, name: str) -> ModelInfo:
        """Make a model of a folder or an archive. Raises what `ModelService.import_archive` raises."""
        limits = import_limits(self._config)
        with import_folder(self._catalog, name) as scratch:
            fresh = scratch / "model"
            if source.is_dir():
                importing.from_folder(source, [source], fresh, limits, pair=name == SPEAKERS)
            elif name == SPEAKERS and has_checkpoints(source):
                made = scratch / "made"
                make = partial(make_networks, logs=self._data.logs, limits=self._config.supervision)
                anyio.run(make, source, made)
                importing.from_folder(made, [scratch], fresh, limits, pair=True)
            else:
                importing.from_archive(source, fresh, limits, pair=name == SPEAKERS)
            fresh.rename(self._catalog.target_of(self._catalog.managed(name)))
        return self.show(name)

    def verify(self, names: Sequence[str]) -> Iterator[tuple[str, str, Problem | None]]:
        """Yield each model with a result in words, and its problem. None: the model is complete."""
        for name in [self._catalog.managed(name) for name in names] or self._on_this_machine():
            entry = self._catalog.entry(name)
            packed = entry.builtin and entry.path is None
            note = "built in, is unpacked with the first job; " if packed else ""
            try:
                if packed:
                    checked = bundled.check(name, bundled.BUNDLED[name])
                elif entry.path is None:
                    raise self._catalog.unavailable(name)
                elif name == SPEAKERS:
                    checked = verify_networks(entry.path)
                else:
                    checked = model_files.verify(entry.path)
            except (ServiceError, OSError) as error:
                unreadable = Problem("model_broken", f"The model cannot be read: {reason(error)}.")
                problem = error.problem if isinstance(error, ServiceError) else unreadable
                yield name, problem.message, problem
            else:
                known = f"hashes of {', '.join(checked)} are right" if checked else "complete; its hashes are unknown"
                yield name, note + known, None

    def _on_this_machine(self) -> Sequence[str]:
        """Return the names of all models on this machine, and that of the networks for speakers."""
        pair = [SPEAKERS] if self._catalog.entry(SPEAKERS).path is not None else []
        return [*self._catalog.installed(), *pair]

    async def _download(self, command: Download, show: Callable[[ModelInfo], None]) -> ModelInfo:
        problems: dict[str, Problem] = {}
        async with self._conversation("download", command, STALL_S) as actor:
            while not isinstance(answer := await actor.report(), Downloaded):
                if isinstance(answer, Fault | Problem):
                    problems[command.model] = answer.problem if isinstance(answer, Fault) else answer
                    break
                if isinstance(answer, DownloadProgress):
                    show(self._inventory.one(command.model, Situation(transfers={command.model: answer.transfer})))
        return self._inventory.one(command.model, Situation(problems=problems))

    async def _test(self, command: TestConnection) -> tuple[EndpointState, ...]:
        async with self._conversation("connection", command, STALL_S * len(command.hub.endpoints)) as actor:
            while not isinstance(answer := await actor.report(), ConnectionTested):
                if isinstance(answer, Problem):
                    return tuple(EndpointState(endpoint, answer) for endpoint in command.hub.endpoints)
        return answer.results

    def _conversation(self, name: str, command: Command, within_s: float) -> AbstractAsyncContextManager[Conversation]:
        """Return a conversation with an actor that downloads models or tests connections."""
        limits = self._config.supervision
        return conversation(
            name, DOWNLOAD, command, logs=self._data.logs, limits=limits, within_s=within_s, tries=TRIES
        )
