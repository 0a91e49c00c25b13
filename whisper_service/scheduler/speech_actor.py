"""The speech actor as the service loop sees it: which model is loaded, which rows are in its hands.

Turns plans into commands. It neither reads nor writes the store, and it decides nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from whisper_service.config import schema
from whisper_service.core import fallback
from whisper_service.core.domain import SAMPLE_RATE, Problem
from whisper_service.core.fallback import Fallback, Rung
from whisper_service.scheduler import planner
from whisper_service.scheduler.deadlines import Deadlines
from whisper_service.scheduler.ledger import ChunkKey
from whisper_service.supervision.faults import FaultKind
from whisper_service.supervision.protocol import BatchDone, Cancel, ChunkInput, Fault, Load, Loaded, Transcribe
from whisper_service.supervision.supervisor import Supervisor

EXPRESS: Final = 1
"""Batches beside the slots. It costs the thread of a slot and nothing else while nobody waits."""
BATCH: Final = 8
"""Rows of a batch on a CPU, and on a GPU whose memory nobody knows."""
BATCH_ON_GPU: Final = 32
SLOTS_ON_GPU: Final = 4
"""On an H100, 32 rows instead of 8 make 1.2 to 1.6 times as many windows a second, four slots instead of two 1.5 to 1.8 times."""


@dataclass(frozen=True)
class Batch:
    """Rows in work."""

    rows: tuple[ChunkKey, ...]
    suspect: bool  # must be alone: it may be what kills actors
    urgent: bool = False  # somebody waits for it
    express: bool = False  # beside the slots


class SpeechActor:
    """One speech actor and what it is doing."""

    def __init__(
        self,
        actor: Supervisor,
        speech: schema.SpeechSettings,
        limits: schema.SupervisionSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.actor = actor
        self.loaded: Loaded | None = None
        self.loading: str | None = None
        self.problem: Problem | None = None  # why the last model did not load
        self.announced_to: set[str] = set()  # jobs with a note about `announced`
        self.announced: Fault | None = None  # why it is about to exit, as one batch told: its others are not to blame
        self.fallback: Fallback | None = (
            None  # of the model on the device, if memory did not suffice for what is wanted
        )
        self.unusable: Problem | None = None  # why the device that is wanted cannot be used at all
        self.generation = 0  # of the child that takes commands, as far as the loop has heard; 0: none
        self._blocked: dict[str | None, tuple[Problem, float]] = {}  # models that cannot be loaded: why, and until when
        self._express = EXPRESS
        self._rungs_of_model: tuple[Rung, ...] = ()  # for the model that was loaded last
        self._rows: int | None = None  # that fit on the GPU beside that model
        self._speech = speech
        self._limits = limits
        self.deadlines = Deadlines(limits.batch_timeout_s, limits.batch_timeout_factor)
        self._clock = clock
        self._used_at = clock()  # when the loaded model last had work
        self._loaded_at = self._used_at
        self._batches: dict[int, Batch] = {}
        self._last_batch = 0

    def block(self, model: str, problem: Problem) -> None:
        """This model cannot be loaded, in no way: its jobs wait, and it is tried again after a while."""
        self._blocked[model] = (problem, self._clock() + self._limits.probe_s)

    def is_blocked(self, model: str | None) -> bool:
        """Whether nothing is to be done with this model now."""
        return model in self._blocked and self._blocked[model][1] > self._clock()

    def obstacle(self, model: str | None) -> Problem | None:
        """What keeps every job, or those with this model, from going on until somebody puts it right."""
        if self.actor.broken:
            return self.actor.problem
        return self._blocked[model][0] if model in self._blocked else None

    @property
    def probe_at(self) -> float | None:
        """When a model that could not be loaded is tried again; None: there is none that waits for that."""
        return min((at for _, at in self._blocked.values() if at > self._clock()), default=None)

    def reset(self, *, device: bool) -> None:
        """Somebody says that the cause is gone: try again what could not be, with `device` also the GPU."""
        self._blocked.clear()
        self.problem = None
        if self.actor.broken:
            self.actor.reset()
        if device and self.unusable is not None:
            self.unusable, self.loaded = None, None

    @property
    def model(self) -> str | None:
        """The model that is loaded."""
        return self.loaded.model if self.loaded else None

    @property
    def wanted(self) -> str | None:
        """The device that is wanted. Only the child can see whether there is a GPU: None until it has said so."""
        if self._speech.device != "auto":
            return self._speech.device
        if not self.actor.facts:
            return None
        return "cuda" if self.actor.facts.get("cuda_devices", 0) else "cpu"

    @property
    def device(self) -> str | None:
        """The device to choose a model for."""
        return "cpu" if self.unusable is not None else self.wanted

    @property
    def free_vram(self) -> int | None:
        """Bytes that were free on the GPU that is wanted before anything was loaded; None: there is none, or nobody says."""
        kind, _, number = (self.device or "cpu").partition(":")
        free: list[int | None] = self.actor.facts.get("vram_free", []) if kind == "cuda" else []
        return free[int(number or 0)] if int(number or 0) < len(free) else None

    @property
    def wanted_type(self) -> str:
        """What the model is to compute in on a GPU, as far as memory goes."""
        wanted = self._speech.compute_type
        return fallback.BEST["cuda"] if wanted in ("auto", "default") else wanted

    @property
    def rung(self) -> Rung:
        """How the work is done."""
        if self.fallback is not None:
            return self.fallback.rung
        return (
            self._rungs_of_model[0]
            if self._rungs_of_model
            else self._rung(self.device or "cpu", self._speech.compute_type)
        )

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """Why the work is not done as it is wanted, though it is done."""
        lighter = self.fallback.problem if self.fallback is not None else None
        found = [self.unusable, self._unseen(), lighter, self.converted]
        return tuple(problem for problem in found if problem is not None)

    @property
    def converted(self) -> Problem | None:
        """The loaded model computes in another type than the settings want, because the device cannot do that one."""
        wanted, loaded = self._speech.compute_type, self.loaded
        if loaded is None or wanted in ("auto", "default") or loaded.compute_type in ("", wanted):
            return None
        if self.rung.compute_type != wanted or loaded.compute_type.startswith(
            f"{wanted}_"
        ):  # a lower rung says so itself
            return None
        return Problem(
            code="compute_type_unsupported",
            message=f"This device ({loaded.device}) cannot compute in {wanted}; {loaded.compute_type} is used instead.",
            hint="Set speech.compute_type to auto, or to one that GET /api/system lists for the device.",
            params={"wanted": wanted, "used": loaded.compute_type, "device": loaded.device},
        )

    def view(self) -> planner.SpeechView:
        """This actor as the planner sees it."""
        return planner.SpeechView(
            ready=bool(self.generation),
            loading=self.loading is not None,
            model=self.model,
            slots=self.rung.slots,
            batches=sum(not batch.express for batch in self._batches.values()),
            urgent=sum(batch.urgent and not batch.express for batch in self._batches.values()),
            express=self._express,
            express_batches=sum(batch.express for batch in self._batches.values()),
            suspect=any(batch.suspect for batch in self._batches.values()),
            batch_size=self.rung.batch,
            load_s=self.loaded.seconds if self.loaded else 0.0,
            loaded_at=self._loaded_at,
            used_at=self._used_at,
            unload_after_s=self._speech.unload_after_s,
        )

    @property
    def idle_until(self) -> float | None:
        """When the loaded model is to go if it gets no work until then; None: never."""
        if self.loaded is None or self._batches or not self._speech.unload_after_s:
            return None
        return self._used_at + self._speech.unload_after_s

    def unload(self) -> None:
        """Give all memory of the loaded model back: the process ends, and a new one starts when there is work."""
        self.actor.go_idle()
        self.generation, self.loaded, self.loading = 0, None, None
        self._batches.clear()  # of jobs that are paused or over: nobody will hear of them any more

    def on_ready(self, generation: int) -> None:
        """A child takes commands. Reports and deaths come in order, so what an earlier one had is taken back by now."""
        self.generation, self.announced = generation, None

    def load(self, model: str, path: Path, known: Fallback | None, rows: int | None = None) -> None:
        """Replace the loaded model, with what is known of where it stands on the device, and of the `rows` a GPU has room for."""
        self.loaded, self.loading, self._rows = None, model, rows
        self._rungs_of_model = self._rungs()
        self.fallback = known if known is not None and known.rung in self._rungs_of_model else None
        self._express = EXPRESS if self.fallback is None else 0  # it takes memory of its own
        rung = self.rung
        command = Load(
            model=model,
            path=str(path),
            device=rung.device,
            compute_type=rung.compute_type,
            slots=rung.slots,
            threads=self._speech.threads,
            express=self._express,
        )
        self.actor.send(command, generation=self.generation, within_s=self._limits.load_timeout_s, key="load")

    def on_loaded(self, report: Loaded) -> None:
        """The model is there."""
        self.actor.clear_deadline("load")
        self.actor.mark_useful(generation=self.generation)
        self._used_at = self._loaded_at = self._clock()
        self.loaded, self.loading, self.problem = report, None, None
        self._blocked.pop(report.model, None)
        self.deadlines.begin(report.model, self.rung, report.window_s)

    def on_load_failed(self, problem: Problem | None) -> None:
        """It is not; without a problem it is tried in another way."""
        self.actor.clear_deadline("load")
        self.loading, self.problem = None, problem

    def give(
        self,
        number: int,
        keys: tuple[ChunkKey, ...],
        rows: Sequence[ChunkInput],
        *,
        preset: str,
        prompt: str | None,
        suspect: bool,
        urgent: bool = False,
        express: bool = False,
    ) -> None:
        """Hand a batch over, with a deadline that grows with the audio in it. Numbers are never used twice."""
        self._batches[number] = Batch(keys, suspect, urgent, express)
        audio_s = sum(row.span.samples for row in rows) / SAMPLE_RATE
        self.actor.send(
            Transcribe(batch=number, chunks=tuple(rows), preset=preset, prompt=prompt, urgent=urgent, express=express),
            generation=self.generation,
            within_s=self.deadlines.limit_s(self.model or "", self.rung, audio_s),
            key=number,
        )

    def next_batch(self) -> int:
        """Return the number of the next batch. Numbers are never used twice."""
        self._last_batch += 1
        return self._last_batch

    def holds(self, number: int) -> bool:
        """Whether this batch is in the hands of the actor."""
        return number in self._batches

    def on_batch_done(self, report: BatchDone) -> tuple[ChunkKey, ...]:
        """A batch is complete; returns its rows."""
        self.actor.mark_useful(generation=self.generation)
        self.deadlines.measured(self.model or "", self.rung, report.seconds, report.audio_s)
        return self._take(report.batch)

    def on_batch_failed(self, number: int) -> tuple[ChunkKey, ...]:
        """A batch failed; returns its rows."""
        return self._take(number)

    def on_died(self) -> dict[int, tuple[ChunkKey, ...]]:
        """The child is gone; returns every batch that was in its hands."""
        self.generation = 0
        self.loaded = self.loading = None
        batches, self._batches = self._batches, {}
        return {number: batch.rows for number, batch in batches.items()}

    def fall(self, problem: Problem, now: float) -> Rung | None:
        """Memory ran out, or the device reported an error: the rung to go on with; None if there is nothing lighter."""
        if self.loading is None and not self._batches:  # it was idle: nothing that it did was too much
            return None
        lower = fallback.next_lighter(self._rungs_of_model, self.rung, loading=self.loading is not None)
        if lower is not None:
            self.fallback = fallback.step_down(self.fallback, lower, problem, now, self._speech.climb_after_s)
        return lower

    def climb(self, now: float) -> bool:
        """After a success: work as one rung higher if it has gone well for long enough; True if anything changed."""
        before = self.fallback
        if before is None:
            return False
        rung = self.rung
        self.fallback = fallback.step_up(before, self._rungs_of_model, now)
        if _weights(self.rung) != _weights(rung):
            self.loaded = None  # it is loaded anew once the present batches have ended
        return self.fallback != before

    def leave_device(self, problem: Problem) -> bool:
        """The device cannot be used at all; False if there is no other."""
        if (self.wanted or "cpu") == "cpu" or self.unusable is not None or not self._speech.cpu_fallback:
            return False
        self.unusable, self.fallback = problem, None
        self.loaded = self.loading = None
        self._rungs_of_model = self._rungs()
        return True

    def cancel(self, job_id: str) -> None:
        """Rows of this job that are not begun need not be."""
        if any(job == job_id for batch in self._batches.values() for job, _ in batch.rows):
            self.actor.send(Cancel(job_id=job_id), generation=self.generation)

    def _unseen(self) -> Problem | None:
        """There is a driver, and yet no GPU: with `auto` the CPU would do the work, and nobody would know why."""
        driver, devices = self.actor.facts.get("cuda_driver"), self.actor.facts.get("cuda_devices", 0)
        if self._speech.device != "auto" or driver is None or devices:
            return None
        return Problem(
            code=FaultKind.DEVICE_UNUSABLE.value,
            message=f"There is a driver for CUDA {driver[0]}.{driver[1]}, but no GPU that can be used; the CPU does the work.",
            hint='Update the driver and look at what `nvidia-smi` lists; or set speech.device = "cpu" to be told no more.',
        )

    def _rungs(self) -> tuple[Rung, ...]:
        wanted = self._rung(self.device or "cpu", "auto" if self.unusable else self._speech.compute_type)
        cpu = self._rung("cpu", "auto") if self._speech.cpu_fallback else None
        return fallback.rungs(wanted, cpu, self.actor.facts.get("compute_types", {}))

    def _rung(self, device: str, compute_type: str) -> Rung:
        return Rung(device, compute_type, self._batch(device), self._slots(device))

    def _batch(self, device: str) -> int:
        """Rows of a batch. On a GPU a step of the decoder costs the same for one row as for many: as many as memory has room for,
        a power of two, so that what was learnt of a lighter rung holds when a little more or less is free."""
        if self._speech.batch_size:
            return self._speech.batch_size
        if device == "cpu" or self._rows is None:
            return BATCH
        fit = min(BATCH_ON_GPU, self._rows // self._slots(device))
        return 1 << max(0, fit.bit_length() - 1)

    def _slots(self, device: str) -> int:
        """Batches at once. On a CPU one per core, each with one thread: threads of one batch would wait for each other."""
        if self._speech.slots:
            return self._speech.slots
        if device != "cpu":
            return SLOTS_ON_GPU
        return max(1, self._speech.threads or int(self.actor.facts.get("cpus", 1)))

    def _take(self, number: int) -> tuple[ChunkKey, ...]:
        self._used_at = self._clock()
        self.actor.clear_deadline(number)
        batch = self._batches.pop(number, None)
        return batch.rows if batch else ()


def _weights(rung: Rung) -> tuple[str, str, int]:
    """What a loaded model is bound to."""
    return rung.device, rung.compute_type, rung.slots
