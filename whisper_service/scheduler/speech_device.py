"""Choose the device of the speech actor, and the rung of the fallback on which it works. No I/O."""

from __future__ import annotations

from typing import Final

from whisper_service.config import schema
from whisper_service.core import fallback
from whisper_service.core.domain import Problem
from whisper_service.core.fallback import Fallback, Rung
from whisper_service.supervision.faults import FaultKind
from whisper_service.supervision.protocol import Loaded
from whisper_service.supervision.supervisor import Supervisor

BATCH: Final = 8
"""Chunks of a batch on a CPU, and on a GPU whose memory is unknown."""
BATCH_ON_GPU: Final = 32
SLOTS_ON_GPU: Final = 4
"""On an H100, batches of 32 chunks instead of 8 finish 1.2 to 1.6 times as many chunks a second, and four slots instead
of two 1.5 to 1.8 times."""


class SpeechDevice:
    """The device that the settings ask for, or the CPU when that one cannot be used."""

    def __init__(self, actor: Supervisor, settings: schema.SpeechSettings) -> None:
        self.fallback: Fallback | None = None  # of the loaded model; None: memory was enough so far
        self.unusable: Problem | None = None  # why the wanted device cannot be used
        self._actor = actor
        self._settings = settings
        self._rungs: tuple[Rung, ...] = ()  # for the model that was loaded last
        self._chunks_on_gpu: int | None = None  # how many fit beside that model; None: unknown

    @property
    def wanted(self) -> str | None:
        """The device that the settings ask for. With "auto", None until the actor has reported what there is."""
        if self._settings.device != "auto":
            return self._settings.device
        if not self._actor.facts:
            return None
        return "cuda" if self._actor.facts.get("cuda_devices", 0) else "cpu"

    @property
    def name(self) -> str | None:
        """The device in use. None: not known yet."""
        return "cpu" if self.unusable is not None else self.wanted

    @property
    def name_or_cpu(self) -> str:
        """The device in use, "cpu" while it is not known yet."""
        return self.name or "cpu"

    @property
    def free_vram(self) -> int | None:
        """The bytes that were free on the GPU in use before a model was loaded. None: no GPU, or unknown."""
        kind, _, number = self.name_or_cpu.partition(":")
        free: list[int | None] = self._actor.facts.get("vram_free", []) if kind == "cuda" else []
        return free[int(number or 0)] if int(number or 0) < len(free) else None

    @property
    def gpu_compute_type(self) -> str:
        """The compute type of a model on a GPU, for the estimate of its memory."""
        wanted = self._settings.compute_type
        return fallback.BEST["cuda"] if wanted in ("auto", "default") else wanted

    @property
    def rung(self) -> Rung:
        """The present way to work."""
        if self.fallback is not None:
            return self.fallback.rung
        return self._rungs[0] if self._rungs else self._rung(self.name_or_cpu, self._settings.compute_type)

    def warnings(self, loaded: Loaded | None) -> tuple[Problem, ...]:
        """Return why the work is done otherwise than configured."""
        lighter = self.fallback.problem if self.fallback is not None else None
        found = (self.unusable, self._gpu_missing(), lighter, self.converted(loaded))
        return tuple(problem for problem in found if problem is not None)

    def converted(self, loaded: Loaded | None) -> Problem | None:
        """Return a problem if the loaded model computes in another type than configured. None: it does not."""
        wanted = self._settings.compute_type
        if loaded is None or wanted in ("auto", "default") or loaded.compute_type in ("", wanted):
            return None
        if self.rung.compute_type != wanted or loaded.compute_type.startswith(f"{wanted}_"):
            return None  # the fallback has its own warning
        return Problem(
            code="compute_type_unsupported",
            message=f"This device ({loaded.device}) cannot compute in {wanted}; {loaded.compute_type} is used instead.",
            hint="Set speech.compute_type to auto, or to one that GET /api/system lists for the device.",
            params={"wanted": wanted, "used": loaded.compute_type, "device": loaded.device},
        )

    def prepare(self, known: Fallback | None, chunks_on_gpu: int | None) -> None:
        """Choose the rung for the next model: its `known` fallback, if that is still one of the rungs."""
        self._chunks_on_gpu = chunks_on_gpu
        self._rungs = self._all_rungs()
        self.fallback = known if known is not None and known.rung in self._rungs else None

    def step_down(self, problem: Problem, now: float, *, loading: bool) -> bool:
        """Work on the next lighter rung, after memory ran out or the GPU failed. False: there is none."""
        lighter = fallback.next_lighter(self._rungs, self.rung, loading=loading)
        if lighter is not None:
            self.fallback = fallback.step_down(self.fallback, lighter, problem, now, self._settings.climb_after_s)
        return lighter is not None

    def step_up(self, now: float) -> bool:
        """Work one rung higher after a long stretch of success. False: nothing changed."""
        before = self.fallback
        if before is not None:
            self.fallback = fallback.step_up(before, self._rungs, now)
        return self.fallback != before

    def leave(self, problem: Problem) -> bool:
        """Use the CPU from now on. False: it is in use already, or must not be used."""
        if (self.wanted or "cpu") == "cpu" or self.unusable is not None or not self._settings.cpu_fallback:
            return False
        self.unusable, self.fallback = problem, None
        self._rungs = self._all_rungs()
        return True

    def _gpu_missing(self) -> Problem | None:
        """Return a problem if there is a driver but no GPU: with "auto" the CPU would silently do the work."""
        driver, devices = self._actor.facts.get("cuda_driver"), self._actor.facts.get("cuda_devices", 0)
        if self._settings.device != "auto" or driver is None or devices:
            return None
        version = f"{driver[0]}.{driver[1]}"
        return Problem(
            code=FaultKind.DEVICE_UNUSABLE.value,
            message=f"There is a driver for CUDA {version}, but no GPU that can be used; the CPU does the work.",
            hint="Update the driver and check that `nvidia-smi` lists the GPU. To do without it, set "
            'speech.device = "cpu".',
        )

    def _all_rungs(self) -> tuple[Rung, ...]:
        wanted = self._rung(self.name_or_cpu, "auto" if self.unusable else self._settings.compute_type)
        cpu = self._rung("cpu", "auto") if self._settings.cpu_fallback else None
        return fallback.rungs(wanted, cpu, self._actor.facts.get("compute_types", {}))

    def _rung(self, device: str, compute_type: str) -> Rung:
        return Rung(device, compute_type, self._batch(device), self._slots(device))

    def _batch(self, device: str) -> int:
        """Return the chunks of a batch.

        A step of the decoder on a GPU costs the same for one chunk as for many: a batch has as many as fit into memory.
        The number is a power of two, so that a stored rung still exists when a little more or less memory is free.
        """
        if self._settings.batch_size:
            return self._settings.batch_size
        if device == "cpu" or self._chunks_on_gpu is None:
            return BATCH
        fitting = min(BATCH_ON_GPU, self._chunks_on_gpu // self._slots(device))
        return 1 << max(0, fitting.bit_length() - 1)

    def _slots(self, device: str) -> int:
        """Return the number of batches at a time.

        On a CPU one per core, each with one thread: several threads of one batch would wait for each other.
        """
        if self._settings.slots:
            return self._settings.slots
        if device != "cpu":
            return SLOTS_ON_GPU
        return max(1, self._settings.threads or int(self._actor.facts.get("cpus", 1)))
