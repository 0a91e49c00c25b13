"""The state of every model, as users see it. Each change is written to the store with its event, then published."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import msgspec
from anyio import to_thread

from whisper_service.core.domain import Problem
from whisper_service.core.errors import ModelTooBig
from whisper_service.models.catalog import Catalog, RepoSource
from whisper_service.models.inventory import Inventory, ModelInfo, Situation
from whisper_service.scheduler.fleet import Fleet
from whisper_service.scheduler.speech_device import SpeechDevice
from whisper_service.storage.change_feed import ChangeFeed
from whisper_service.storage.row_mapping import ModelRow
from whisper_service.storage.store import Store
from whisper_service.supervision.messages.download import Transfer

SHARE_OF_GPU: Final = 0.8
"""Share of the GPU's free memory for model and batches. Screens and other programs need the rest."""


@dataclass
class WantedModel:
    """A model that is being downloaded, or waits for its turn."""

    source: RepoSource
    asked: bool  # by a user, not only by jobs
    transfer: Transfer = field(default_factory=Transfer)
    deaths: int = 0  # of the actor, without one more byte
    message: str = ""  # of the jobs that wait for the model
    message_bytes: int = -1  # how much had arrived when the message was written


class ModelStates:
    """What is known of the models while the service runs.

    Changed on the scheduler's loop. `list` and `show` may be called anywhere.
    """

    def __init__(self, store: Store, feed: ChangeFeed, inventory: Inventory, fleet: Fleet) -> None:
        self.inventory = inventory
        self.problems: dict[str, Problem] = {}  # why a model could not be downloaded or loaded
        self.wanted: dict[str, WantedModel] = {}  # in turn; the first one is downloaded
        self._store = store
        self._feed = feed
        self._fleet = fleet

    @property
    def catalog(self) -> Catalog:
        """The names and folders of models."""
        return self.inventory.catalog

    async def list(self) -> list[ModelInfo]:
        """Return every model that is known or on this machine."""
        return await to_thread.run_sync(self.inventory.all, self._situation())

    async def show(self, name: str) -> ModelInfo:
        """Return one model."""
        return await to_thread.run_sync(self.inventory.one, name, self._situation())

    async def announce(self, name: str, row: ModelRow | None) -> None:
        """Store `row` for the next start (None: nothing), and publish the state of the model."""
        info = msgspec.json.encode(await self.show(name), enc_hook=str)
        self._feed.publish([await self._store.service_state.log_model(name, info, row, forget=row is None)])

    async def announce_loaded(self, name: str) -> None:
        """Publish that a model was loaded or unloaded; keep the problem that is known of it."""
        problem = self.problems.get(name)
        await self.announce(name, ModelRow(name, "broken", problem=problem) if problem else None)

    async def blame(self, name: str, problem: Problem, state: str) -> None:
        """Store and publish what is wrong with a model, until it is downloaded or loaded."""
        self.problems[name] = problem
        await self.announce(name, ModelRow(name, state, problem=problem))

    async def clear(self, name: str) -> None:
        """Clear the problem of a model, and publish its state unless its download does so."""
        self.problems.pop(name, None)
        if name not in self.wanted:
            await self.announce(name, None)

    async def chunks_on_gpu(self, name: str, device: SpeechDevice) -> int | None:
        """Return how many chunks fit on this GPU beside this model. None: no GPU, or its memory is unknown."""
        if device.free_vram is None:
            return None
        usable = int(SHARE_OF_GPU * device.free_vram)
        return await to_thread.run_sync(self.inventory.chunks_on_gpu, name, usable, device.gpu_compute_type)

    def check_size(self, name: str, device: SpeechDevice, far_bytes: int | None = None) -> None:
        """Raise `ModelTooBig` for a model whose weights alone exceed the memory of its machine.

        `far_bytes`: the memory of the other machine where the device is, 0: unknown. None: it is on this machine.
        """
        have, where = self.inventory.machine.memory_bytes, "this machine"
        if far_bytes is not None:
            have, where = far_bytes, "that machine of the cluster"
        if device.name_or_cpu.startswith("cuda"):
            if far_bytes is None:
                return  # the GPU has memory of its own, and where it does not suffice, the CPU may
            have, where = device.vram_bytes, "the graphics card of that machine of the cluster"
        if (needed := self.inventory.too_big(name, have)) is not None:
            needs = f"The model {name} needs at least {needed / 1e9:.1f} GB of memory"
            raise ModelTooBig(f"{needs}; {where} has {have / 1e9:.1f} GB.", needed=needed, have=have)

    def _situation(self) -> Situation:
        device = self._fleet.main.device
        return Situation(
            loaded=self._fleet.models,
            device=device.name_or_cpu,
            vram_bytes=device.vram_bytes,
            transfers={name: wanted.transfer for name, wanted in self.wanted.items()},
            problems=dict(self.problems),
        )
