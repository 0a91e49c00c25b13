"""Choose the device of a seat, and the rung of the fallback on which it works. No I/O."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from whisper_service.config import schema
from whisper_service.core import fallback
from whisper_service.core.domain import Problem
from whisper_service.core.fallback import Fallback, Rung
from whisper_service.supervision.faults import FaultKind
from whisper_service.supervision.messages.speech import Loaded
from whisper_service.supervision.supervisor import Supervisor

BATCH: Final = 8
"""Chunks of a batch on a CPU, and on a GPU whose memory is unknown."""
BATCH_ON_GPU: Final = 32
SLOTS_ON_GPU: Final = 4
"""On an H100, batches of 32 chunks instead of 8 finish 1.2 to 1.6 times as many chunks a second, and four slots instead
of two 1.5 to 1.8 times."""


class SpeechDevice:
    """The device that the settings ask for, or the CPU when that one cannot be used.

    `device`: the one of this seat, None for the setting. `far`: it may be another card each time. `others_can`: whether
    another seat can do the work. Then a device that cannot be used goes out of service, and the CPU does not take its
    place.
    """

    def __init__(
        self,
        actor: Supervisor,
        settings: schema.SpeechSettings,
        device: str | None = None,
        *,
        far: bool = False,
        others_can: Callable[[], bool] = lambda: False,
    ) -> None:
        self.out = False  # out of service: the other seats do the work
        self.fallback: Fallback | None = None  # of the loaded model; None: memory was enough so far
        self.unusable: Problem | None = None  # why the wanted device cannot be used
        self._actor = actor
        self._settings = settings
        self._device = device or settings.device
        self._far = far
        self._others_can = others_can
        self._rungs: tuple[Rung, ...] = ()  # for the model that was loaded last
        self._chunks_on_gpu: int | None = None  # how many fit beside that model; None: unknown

    @property
    def wanted(self) -> str | None:
        """The device that the settings ask for. With "auto", None until the actor has reported what there is."""
        if self._device != "auto":
            return self._device
        if not self._actor.facts:
            return None
        cards = self._actor.facts.get("cuda_devices", 0)
        return ("cuda:0" if cards > 1 else "cuda") if cards else "cpu"

    @property
    def name(self) -> str | None:
        """The device in use. None: not known yet."""
        return "cpu" if self.unusable is not None and not self.out else self.wanted

    @property
    def name_or_cpu(self) -> str:
        """The device in use, "cpu" while it is not known yet."""
        return self.name or "cpu"

    @property
    def free_vram(self) -> int | None:
        """The bytes that were free on the GPU in use before a model was loaded. None: no GPU, or unknown."""
        return self._of_card("vram_free")

    @property
    def vram_bytes(self) -> int:
        """The bytes of the GPU in use, free or not. 0: no GPU, or unknown."""
        return self._of_card("vram_total") or 0

    @property
    def fallback_key(self) -> str:
        """The name under which the fallback of a model is stored: cards of one size share what one of them learnt."""
        total = self.vram_bytes if self._far or ":" in self.name_or_cpu else 0
        return f"cuda/{total}" if total else self.name_or_cpu

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
        if known is not None and known.rung.kind == self._rungs[0].kind:  # another card of this kind may have found it
            known = replace(known, rung=replace(known.rung, device=self.name_or_cpu))
        self.fallback = known if known is not None and known.rung in self._rungs else None

    def step_down(self, problem: Problem, now: float, *, loading: bool) -> bool:
        """Work on the next lighter rung, after memory ran out or the GPU failed. False: there is none."""
        self._rungs = self._all_rungs()  # whether the CPU is one of them depends on the other seats
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
        """Use the CPU from now on, or nothing if other seats can do the work. False: neither is possible."""
        if (self.wanted or "cpu") == "cpu" or self.unusable is not None:
            return False
        self.out = self._others_can()
        if not self.out and not self._settings.cpu_fallback:
            return False
        self.unusable, self.fallback = problem, None
        self._rungs = self._all_rungs()
        return True

    def return_to_service(self) -> None:
        """Try the wanted device again."""
        self.unusable, self.out = None, False

    def _of_card(self, fact: str) -> int | None:
        """Return what the actor told of the GPU in use. None: no GPU, or unknown."""
        kind, _, number = self.name_or_cpu.partition(":")
        values: list[int | None] = self._actor.facts.get(fact, []) if kind == "cuda" else []
        return values[int(number or 0)] if int(number or 0) < len(values) else None

    def _gpu_missing(self) -> Problem | None:
        """Return a problem if there is a driver but no GPU: with "auto" the CPU would silently do the work."""
        driver, devices = self._actor.facts.get("cuda_driver"), self._actor.facts.get("cuda_devices", 0)
        if self._device != "auto" or driver is None or devices:
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
        cpu = self._rung("cpu", "auto") if self._settings.cpu_fallback and not self._others_can() else None
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

        On a CPU one per core, each with one thread: several threads of one batch would wait for each other. Beside GPUs
        the CPU leaves them a core each.
        """
        if self._settings.slots:
            return self._settings.slots
        if device != "cpu":
            return SLOTS_ON_GPU
        cards = sum(name != "cpu" for name in self._settings.devices) if len(self._settings.devices) > 1 else 0
        return max(1, (self._settings.threads or int(self._actor.facts.get("cpus", 1))) - cards)
