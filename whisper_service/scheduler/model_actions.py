"""The models of a running service: what users ask of them, and what everybody is told.

Every change of state goes through `announce`: what is to be remembered is written, the event with it, then it is published.
"""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path
from typing import Final

import msgspec
from anyio import to_thread

from whisper_service.core.domain import Problem
from whisper_service.core.errors import Conflict, ModelInUse, ModelTooBig, ServiceError
from whisper_service.models.catalog import Catalog
from whisper_service.models.hubs import Hub
from whisper_service.models.inventory import Inventory, ModelInfo, Situation
from whisper_service.scheduler.aborts import Aborts
from whisper_service.scheduler.ledger import Ledger
from whisper_service.scheduler.model_downloads import CANCELLED, ModelDownloads
from whisper_service.scheduler.speech_actor import SpeechActor
from whisper_service.storage.change_feed import ChangeFeed
from whisper_service.storage.row_mapping import ModelRow
from whisper_service.storage.store import Store
from whisper_service.supervision.protocol import Loaded
from whisper_service.supervision.supervisor import Supervisor

logger = logging.getLogger(__name__)


SHARE_OF_GPU: Final = 0.8
"""Of its free memory, for model and batches: screens and other programs want some too."""


class ModelActions:
    """See the module. Called on the service loop alone, except for `list`."""

    def __init__(
        self,
        store: Store,
        broadcast: ChangeFeed,
        inventory: Inventory,
        ledger: Ledger,
        recognizer: SpeechActor,
        endings: Aborts,
        actor: Supervisor,
        hub: Hub,
        *,
        spare_bytes: int,
    ) -> None:
        self.inventory = inventory
        self.downloads = ModelDownloads(actor, inventory.catalog, hub, self.announce, spare_bytes=spare_bytes)
        self._store = store
        self._broadcast = broadcast
        self._ledger = ledger
        self._recognizer = recognizer
        self._endings = endings

    @property
    def catalog(self) -> Catalog:
        return self.inventory.catalog

    async def restore(self) -> None:
        """Take up what the last service left: downloads go on, what was wrong is still known."""
        try:
            await self.downloads.restore(await self._store.remembered.models())
        except (sqlite3.Error, OSError, ServiceError):  # no room, say; whoever wants a model asks for it again
            logger.exception("the downloads could not be taken up", extra={"action": "restore_failed"})

    def situation(self) -> Situation:
        """What only the running service knows, now."""
        recognizer = self._recognizer
        return Situation(
            loaded=recognizer.model,
            device=recognizer.device or "cpu",
            vram_bytes=int(recognizer.actor.facts.get("vram_bytes", 0)),
            transfers=self.downloads.transfers,
            problems=dict(self.downloads.problems),
        )

    async def list(self) -> list[ModelInfo]:
        """Every model there is or could be."""
        return await to_thread.run_sync(self.inventory.all, self.situation())

    async def announce(self, name: str, row: ModelRow | None) -> None:
        """Remember `row` of the model, or nothing, and tell its state."""
        info = await self.show(name)
        change = await self._store.remembered.tell_model(
            name, msgspec.json.encode(info, enc_hook=str), row, forget=row is None
        )
        self._broadcast.publish([change])

    async def show(self, name: str) -> ModelInfo:
        """The present state of a model."""
        return await to_thread.run_sync(self.inventory.one, name, self.situation())

    # -- what users ask ----------------------------------------------------------------------------------------------

    async def download(self, wanted: str) -> ModelInfo:
        """Have a model fetched, unless it is here. Raises `InvalidRequest` and `ModelUnavailable`."""
        name = self._name(wanted)
        if not self.catalog.is_here(name):
            await self.downloads.want(name, asked=True)
        return await self.show(name)

    async def cancel(self, wanted: str) -> ModelInfo:
        """Stop a download; jobs that wait for it fail and can be retried. Raises `Conflict` if there is none."""
        name = self._name(wanted)
        if not await self.downloads.cancel(name):
            raise Conflict(f"The model {name} is not being downloaded.", hint="GET /api/models says what is.")
        await self._endings.fail_all(name, CANCELLED)
        return await self.show(name)

    async def remove(self, wanted: str) -> None:
        """Take a model off the disk, or what has come of it. Raises `ModelInUse`, `Conflict`, `NotFound`."""
        name = self._name(wanted)
        self._refuse_if_wanted(name)
        if self._recognizer.model == name or self._recognizer.loading == name:
            await self._unload()
        await self.downloads.cancel(name)
        await to_thread.run_sync(self.catalog.remove, name)
        await self.downloads.clear(name)

    async def unload(self, wanted: str) -> ModelInfo:
        """Give the memory of a loaded model back. Raises `ModelInUse`, and `Conflict` if it is not loaded."""
        name = self._name(wanted)
        if self._recognizer.model != name:
            raise Conflict(
                f"The model {name} is not loaded.", hint="GET /api/models, or `models list`, says which one is."
            )
        self._refuse_if_wanted(name)
        await self._unload()
        return await self.show(name)

    async def adopt(self, folder: Path, name: str) -> ModelInfo:
        """Put a complete folder in its place under this name. Raises `Conflict` if there is something already."""
        await to_thread.run_sync(self._place, folder, name)
        await self.downloads.clear(name)
        return await self.show(name)

    # -- what happens ------------------------------------------------------------------------------------------------

    async def on_loaded(self, report: Loaded) -> None:
        """A speech actor holds this model now."""
        await self.downloads.clear(report.model)

    async def on_load_failed(self, name: str | None, problem: Problem) -> None:
        """It could not be loaded: the model is to blame if its files are."""
        if name is not None and problem.code == "model_broken":
            await self.downloads.blame(name, problem, "broken")

    async def rest(self) -> None:
        """Nobody has wanted the loaded model for long: its memory goes back to the system."""
        if self._recognizer.model is not None:
            await self._unload()

    async def rows(self, name: str) -> int | None:
        """How many rows of batches the GPU has room for beside this model; None: there is none, or nobody says."""
        free = self._recognizer.free_vram
        if free is None:
            return None
        return await to_thread.run_sync(
            self.inventory.rows_on_gpu, name, int(SHARE_OF_GPU * free), self._recognizer.wanted_type
        )

    def check_size(self, name: str) -> None:
        """Raise `ModelTooBig` for a model whose weights alone are more than the memory of this machine."""
        if (self._recognizer.device or "cpu").startswith("cuda"):
            return  # its memory is another
        if (needed := self.inventory.too_big(name)) is not None:
            have = self.inventory.machine.memory_bytes
            raise ModelTooBig(
                f"The model {name} needs at least {needed / 1e9:.1f} GB of memory; this machine has {have / 1e9:.1f} GB.",
                needed=needed,
                have=have,
            )

    # -- small parts -------------------------------------------------------------------------------------------------

    def _name(self, wanted: str) -> str:
        return self.catalog.name_of(wanted, device=self._recognizer.device or "cpu")

    def _refuse_if_wanted(self, name: str) -> None:
        jobs = [run.job.id for run in self._ledger.runs.values() if run.job.model == name]
        if jobs:
            raise ModelInUse(f"The model {name} is needed by {len(jobs)} jobs in work.", jobs=jobs[:20])

    async def _unload(self) -> None:
        name = self._recognizer.model
        self._recognizer.unload()
        if name is not None:
            await self.announce_state(name)

    async def announce_state(self, name: str) -> None:
        """Tell the state of a model of which nothing is to be remembered but what is."""
        problem = self.downloads.problems.get(name)
        await self.announce(name, ModelRow(name, "broken", problem=problem) if problem else None)

    def _place(self, folder: Path, name: str) -> None:
        target = self.catalog.target_of(name)
        if self.catalog.is_here(name) and not (target.is_dir() and not any(target.iterdir())):
            raise Conflict(
                f"There is a model {name} already.", hint="Remove it first, or import this one under another name."
            )
        if target.is_dir():
            target.rmdir()
        folder.rename(target)
