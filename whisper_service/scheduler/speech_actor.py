"""A seat: one device with its speech actor, which model is loaded, and which batches the actor has.

Turns the steps of a plan into commands. Reads and writes nothing in the store, and decides nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from whisper_service.config import schema
from whisper_service.core.domain import SAMPLE_RATE, Problem
from whisper_service.core.fallback import Fallback, Rung
from whisper_service.scheduler.batches import lead_after
from whisper_service.scheduler.deadlines import Deadlines
from whisper_service.scheduler.speech_device import SpeechDevice
from whisper_service.scheduler.speeds import SeatSpeed
from whisper_service.scheduler.views import ChunkKey, GiveBatch, LateBatch, SeatView
from whisper_service.supervision.messages.base import Cancel, Fault
from whisper_service.supervision.messages.speech import BatchDone, ChunkInput, Load, Loaded, ModelProgress, Transcribe
from whisper_service.supervision.supervisor import Supervisor

EXPRESS_SLOTS: Final = 1
"""Batches beside the slots. While no call waits, an express slot costs one thread and nothing else."""


LATE_FACTOR: Final = 3.0
"""A batch is late after so many times the seconds that its sound explains. In a simulation with one batch of 500 that
took 20 times as long, a second try then kept the last batch of a recording below 3 times its time."""
LATE_S: Final = 2.0
"""Seconds that are never late: a lone chunk takes longer than its share of a full batch."""


class SpeechActor:
    """The speech actor of one seat, and its work.

    `device`: the one of this seat, None for the setting. `far`: it is on a machine of a cluster, now on this one, now
    on that. `others_can`: whether another seat can work with a model.
    """

    def __init__(
        self,
        actor: Supervisor,
        speech: schema.SpeechSettings,
        limits: schema.SupervisionSettings,
        *,
        device: str | None = None,
        far: bool = False,
        others_can: Callable[[SpeechActor, str | None], bool] = lambda seat, model: False,
    ) -> None:
        self.actor = actor
        self.far = far
        self.leaving = False  # it gets no more work, and its machine is given back when its batches have ended
        self.device = SpeechDevice(
            actor, speech, device, far=far, others_can=lambda: others_can(self, self.loading or self.model)
        )
        self.speed = SeatSpeed()
        self.deadlines = Deadlines(limits.batch_timeout_s, limits.batch_timeout_factor)
        self.loaded: Loaded | None = None
        self.loading: str | None = None
        self.arriving: ModelProgress | None = None  # how much of that model has come to the machine of the seat
        self.problem: Problem | None = None  # why the last model could not be loaded
        self.announced: Fault | None = None  # why the actor is about to exit, by one batch; the others are not to blame
        self.announced_to: set[str] = set()  # jobs that have a note about `announced`
        self._blocked: dict[str | None, tuple[Problem, float]] = {}  # models that cannot be loaded: why, until when
        self._express_slots = EXPRESS_SLOTS
        self._speech = speech
        self._limits = limits
        # when the loaded model last had work, and when it was loaded
        self._used_at = self._loaded_at = time.monotonic()
        self._batches: dict[int, GiveBatch] = {}
        self._late_at: dict[int, float] = {}  # when each batch is late, unless it was given to another seat since
        self._call_lead = self._urgent_chunks = 0  # as in `SeatView`

    @property
    def model(self) -> str | None:
        """The loaded model."""
        return self.loaded.model if self.loaded else None

    @property
    def rung(self) -> Rung:
        """The present way to work."""
        return self.device.rung

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """Why the work is done otherwise than configured."""
        return self.device.warnings(self.loaded)

    @property
    def halt(self) -> Problem | None:
        """Why there is no actor: it died too often, or waits for a machine. None: it works, or is about to."""
        return self.actor.problem if self.actor.broken else self.actor.obstacle

    @property
    def trouble(self) -> Problem | None:
        """Why this seat does not work, or not as configured. None: nothing is wrong."""
        own = self.device.unusable or self.halt or self.problem
        return own or next(iter(self.warnings), None)

    def view(
        self, now: float | None = None, unanswered: Callable[[ChunkKey, int], bool] = lambda chunk, batch: True
    ) -> SeatView:
        """Return the seat as the planner sees it.

        `now`: finds late batches, None: not wanted. `unanswered`: whether a chunk still waits for its batch.
        """
        in_slots = [batch for batch in self._batches.values() if not batch.express]
        return SeatView(
            name=self.actor.name,
            ready=bool(self.actor.ready_generation) and not self.device.out and not self.leaving,
            loading=self.loading is not None,
            model=self.model,
            next_model=self.loading,
            blocked=frozenset(model for model in self._blocked if model is not None and self.is_blocked(model)),
            slots=self.rung.slots,
            batches=len(in_slots),
            urgent=sum(batch.urgent for batch in in_slots),
            call_lead=self._call_lead,
            urgent_chunks=self._urgent_chunks,
            express_slots=self._express_slots,
            express_batches=len(self._batches) - len(in_slots),
            suspect=any(batch.suspect for batch in self._batches.values()),
            batch_size=self.rung.batch,
            load_s=self.loaded.seconds if self.loaded else 0.0,
            loaded_at=self._loaded_at,
            used_at=self._used_at,
            unload_after_s=self._speech.unload_after_s,
            late=() if now is None else tuple(self._late(now, unanswered)),
        )

    def _late(self, now: float, unanswered: Callable[[ChunkKey, int], bool]) -> Iterator[LateBatch]:
        for number, at in self._late_at.items():
            if at <= now:
                chunks = tuple(filter(partial(_holds, unanswered, number), self._batches[number].chunks))
                if chunks:
                    yield LateBatch(number, chunks)

    def late_at(self, now: float) -> float | None:
        """Return when the next batch is late, after `now`. None: no batch can be."""
        return min((at for at in self._late_at.values() if at > now), default=None)

    def mark_tried_again(self, number: int) -> None:
        """Record that a late batch was given to another seat: once is enough."""
        self._late_at.pop(number, None)

    # -- what cannot be done ------------------------------------------------------------------------------------------

    def block(self, model: str, problem: Problem) -> None:
        """Let the jobs of a model wait that cannot be loaded on any rung. It is tried again after `probe_s` seconds."""
        self._blocked[model] = (problem, time.monotonic() + self._limits.probe_s)

    def is_blocked(self, model: str | None) -> bool:
        """Return whether the jobs of this model wait for its next try."""
        return model in self._blocked and self._blocked[model][1] > time.monotonic()

    def obstacle(self, model: str | None) -> Problem | None:
        """Return what keeps jobs of this model from going on, for now or until a person acts. None: nothing."""
        if self.halt is not None:
            return self.halt
        return self._blocked[model][0] if model in self._blocked else None

    @property
    def probe_at(self) -> float | None:
        """When the next blocked model is tried again. None: no model is blocked."""
        return min((at for _, at in self._blocked.values() if at > time.monotonic()), default=None)

    def reset(self, *, device: bool) -> None:
        """Try again what failed, because a person says that the cause is gone. With `device`, also the GPU."""
        self._blocked.clear()
        self.problem = None
        if self.actor.broken:
            self.actor.reset()
        if device and self.device.unusable is not None:
            self.device.return_to_service()
            self.loaded = None

    # -- models -------------------------------------------------------------------------------------------------------

    def load(self, model: str, path: Path, known: Fallback | None, chunks_on_gpu: int | None = None) -> None:
        """Replace the loaded model.

        `known`: the stored fallback of the model on the device. `chunks_on_gpu`: how many fit beside it; None: unknown.
        """
        self.loaded, self.loading, self.arriving = None, model, None
        self.device.prepare(known, chunks_on_gpu)
        self._express_slots = EXPRESS_SLOTS if self.device.fallback is None else 0  # it takes memory of its own
        rung = self.rung
        command = Load(
            model=model,
            path=str(path),
            device=rung.device,
            compute_type=rung.compute_type,
            slots=rung.slots,
            threads=self._speech.threads,
            express=self._express_slots,
        )
        self.actor.send(
            command, generation=self.actor.ready_generation, within_s=self._limits.load_timeout_s, key="load"
        )

    @property
    def idle_until(self) -> float | None:
        """When the loaded model is unloaded if it gets no work until then. None: never."""
        if self.loaded is None or self._batches or not self._speech.unload_after_s:
            return None
        return self._used_at + self._speech.unload_after_s

    def unload(self) -> None:
        """Free the memory of the loaded model: the actor ends, and a new one starts when there is work."""
        self.actor.go_idle()
        self.loaded = self.loading = self.arriving = None
        self._batches.clear()  # only jobs that are paused or have ended still had some
        self._late_at.clear()

    def step_down(self, problem: Problem, now: float) -> bool:
        """Work on the next lighter rung. False: there is none, or the actor was idle: its work was not too much."""
        busy = self.loading is not None or bool(self._batches)
        return busy and self.device.step_down(problem, now, loading=self.loading is not None)

    def step_up(self, now: float) -> bool:
        """Work one rung higher after a long stretch of success. False: nothing changed."""
        before = self.rung
        changed = self.device.step_up(now)
        if _of_model(self.rung) != _of_model(before):
            self.loaded = None  # the model is loaded again when the present batches have ended
        return changed

    def leave_device(self, problem: Problem) -> bool:
        """Work without the GPU, because it cannot be used: on the CPU, or not at all. False: neither is possible."""
        left = self.device.leave(problem)
        if left:
            self.loaded = self.loading = self.arriving = None
        return left

    # -- batches ------------------------------------------------------------------------------------------------------

    def give(
        self, number: int, batch: GiveBatch, inputs: Sequence[ChunkInput], *, preset: str, prompt: str | None
    ) -> None:
        """Send a batch, with a deadline that grows with its sound."""
        self._batches[number] = batch
        self._call_lead = lead_after(self._call_lead, batch, self.rung.batch)
        self._urgent_chunks = self._urgent_chunks + len(batch.chunks) if batch.urgent else 0
        audio_s = sum(chunk.span.samples * max(1, chunk.channels) for chunk in inputs) / SAMPLE_RATE
        command = Transcribe(
            batch=number,
            chunks=tuple(inputs),
            preset=preset,
            prompt=prompt,
            urgent=batch.urgent,
            express=batch.express,
        )
        expected_s = self.deadlines.expected_s(self.model or "", self.rung, audio_s)
        if expected_s and not batch.suspect and not batch.instead_of:
            self._late_at[number] = time.monotonic() + LATE_S + LATE_FACTOR * expected_s
        within_s = self.deadlines.limit_s(self.model or "", self.rung, audio_s)
        self.actor.send(command, generation=self.actor.ready_generation, within_s=within_s, key=number)

    @property
    def batches(self) -> Collection[int]:
        """The batches that the actor has."""
        return self._batches.keys()

    def cancel(self, job_id: str) -> None:
        """Let the actor skip the chunks of a job that it has not begun."""
        if any(job == job_id for batch in self._batches.values() for job, _ in batch.chunks):
            self.actor.send(Cancel(job_id=job_id), generation=self.actor.ready_generation)

    # -- reports ------------------------------------------------------------------------------------------------------

    def on_ready(self) -> None:
        """Record that an actor takes commands. The death of the one before has been handled: events come in order."""
        self.announced = None

    def on_model_progress(self, report: ModelProgress) -> None:
        """Record that more of a model has come to the machine of the seat. The time to load begins anew."""
        if report.model == self.loading:
            self.arriving = report
            generation = self.actor.ready_generation
            self.actor.set_deadline("load", self._limits.load_timeout_s, generation=generation)

    def on_loaded(self, report: Loaded) -> None:
        """Record that the model is loaded."""
        self.actor.clear_deadline("load")
        self.actor.mark_useful(generation=self.actor.ready_generation)
        self._used_at = self._loaded_at = time.monotonic()
        self.loaded, self.loading, self.arriving, self.problem = report, None, None, None
        self._blocked.pop(report.model, None)
        self.deadlines.add_first(report.model, self.rung, report.window_s)
        self.speed.start(report.window_s)

    def on_load_failed(self, problem: Problem | None) -> None:
        """Record that the model could not be loaded. Without a problem, it is tried on another rung."""
        self.actor.clear_deadline("load")
        self.loading, self.arriving, self.problem = None, None, problem

    def on_batch_done(self, report: BatchDone) -> tuple[ChunkKey, ...]:
        """Record that a batch is complete, and return its chunks."""
        self.actor.mark_useful(generation=self.actor.ready_generation)
        self.deadlines.add(self.model or "", self.rung, report.seconds, report.audio_s)
        if (batch := self._batches.get(report.batch)) is not None:
            self.speed.add(report.seconds, report.audio_s, chunks=len(batch.chunks), full=self.rung.batch)
        return self.end_batch(report.batch)

    def end_batch(self, number: int) -> tuple[ChunkKey, ...]:
        """Record that the actor does not have a batch any more, and return its chunks."""
        self._used_at = time.monotonic()
        self.actor.clear_deadline(number)
        self._late_at.pop(number, None)
        batch = self._batches.pop(number, None)
        return batch.chunks if batch else ()

    def on_died(self) -> dict[int, tuple[ChunkKey, ...]]:
        """Record the death of the actor, and return the chunks of every batch that it had."""
        self.loaded = self.loading = self.arriving = None
        self._late_at.clear()
        batches, self._batches = self._batches, {}
        return {number: batch.chunks for number, batch in batches.items()}


def _holds(unanswered: Callable[[ChunkKey, int], bool], batch: int, chunk: ChunkKey) -> bool:
    return unanswered(chunk, batch)


def _of_model(rung: Rung) -> tuple[str, str, int]:
    """Return what a loaded model is bound to."""
    return rung.device, rung.compute_type, rung.slots
