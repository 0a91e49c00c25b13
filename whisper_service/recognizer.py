"""The speech actor as the service loop sees it: which model is loaded, which rows are in its hands.

Turns plans into commands. It neither reads nor writes the store, and it decides nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from whisper_service import config, planner
from whisper_service.domain import SAMPLE_RATE, Problem
from whisper_service.ledger import RowKey
from whisper_service.protocol import Cancel, Fault, Load, Loaded, Row, Transcribe
from whisper_service.supervisor import Supervisor

EXPRESS: Final = 1
"""Batches beside the slots. It costs the thread of a slot and nothing else while nobody waits."""


@dataclass(frozen=True)
class Batch:
    """Rows in work."""

    rows: tuple[RowKey, ...]
    suspect: bool  # must be alone: it may be what kills actors
    express: bool = False  # for a caller who waits, beside the slots


class Recognizer:
    """One speech actor and what it is doing."""

    def __init__(
        self,
        actor: Supervisor,
        speech: config.Speech,
        limits: config.Supervision,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.actor = actor
        self.loaded: Loaded | None = None
        self.loading: str | None = None
        self.problem: Problem | None = None  # why the last model did not load
        self.announced: Fault | None = None  # why it is about to exit, as one batch told: its others are not to blame
        self.generation = 0  # of the child that takes commands, as far as the loop has heard; 0: none
        self.batch_size = speech.batch_size
        self._speech = speech
        self._limits = limits
        self._clock = clock
        self._used_at = clock()  # when the loaded model last had work
        self._batches: dict[int, Batch] = {}

    @property
    def model(self) -> str | None:
        """The model that is loaded."""
        return self.loaded.model if self.loaded else None

    @property
    def device(self) -> str | None:
        """The device to load on. Only the child can see whether there is a GPU: None until it has said so."""
        if self._speech.device != "auto":
            return self._speech.device
        if not self.actor.facts:
            return None
        return "cuda" if self.actor.facts.get("cuda_devices", 0) else "cpu"

    @property
    def slots(self) -> int:
        """Batches at once. On a CPU one per core, each with one thread: threads of one batch would wait for each other."""
        if self._speech.slots:
            return self._speech.slots
        if (self.device or "").startswith("cuda"):
            return 2  # one is prepared while the other runs
        return max(1, self._speech.threads or int(self.actor.facts.get("cpus", 1)))

    def view(self) -> planner.Speech:
        """This actor as the planner sees it."""
        return planner.Speech(
            ready=bool(self.generation),
            loading=self.loading is not None,
            model=self.model,
            slots=self.slots,
            batches=sum(not batch.express for batch in self._batches.values()),
            express=EXPRESS,
            express_batches=sum(batch.express for batch in self._batches.values()),
            suspect=any(batch.suspect for batch in self._batches.values()),
            batch_size=self.batch_size,
            load_s=self.loaded.seconds if self.loaded else 0.0,
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
        self.actor.rest()
        self.generation, self.loaded, self.loading = 0, None, None

    def on_ready(self, generation: int) -> None:
        """A child takes commands. Reports and deaths come in order, so what an earlier one had is taken back by now."""
        self.generation, self.announced = generation, None

    def load(self, model: str, path: Path) -> None:
        """Replace the loaded model."""
        self.loaded, self.loading = None, model
        command = Load(
            model=model,
            path=str(path),
            device=self.device or "cpu",
            compute_type=self._speech.compute_type,
            slots=self.slots,
            threads=self._speech.threads,
            express=EXPRESS,
        )
        self.actor.send(command, generation=self.generation, within_s=self._limits.load_timeout_s, key="load")

    def on_loaded(self, report: Loaded) -> None:
        """The model is there."""
        self.actor.settle("load")
        self.actor.proven(generation=self.generation)
        self._used_at = self._clock()
        self.loaded, self.loading, self.problem = report, None, None

    def on_load_failed(self, problem: Problem) -> str | None:
        """It is not; returns which one."""
        self.actor.settle("load")
        model, self.loading, self.problem = self.loading, None, problem
        return model

    def give(
        self,
        number: int,
        keys: tuple[RowKey, ...],
        rows: Sequence[Row],
        *,
        preset: str,
        prompt: str | None,
        suspect: bool,
        express: bool = False,
    ) -> None:
        """Hand a batch over, with a deadline that grows with the audio in it. Numbers are never used twice."""
        self._batches[number] = Batch(keys, suspect, express)
        audio_s = sum(row.span.samples for row in rows) / SAMPLE_RATE
        self.actor.send(
            Transcribe(batch=number, rows=tuple(rows), preset=preset, prompt=prompt),
            generation=self.generation,
            within_s=self._limits.batch_timeout_s + audio_s * self._limits.batch_timeout_per_audio_s,
            key=number,
        )

    def on_batch_done(self, number: int) -> tuple[RowKey, ...]:
        """A batch is complete; returns its rows."""
        self.actor.proven(generation=self.generation)
        return self._take(number)

    def on_batch_failed(self, number: int) -> tuple[RowKey, ...]:
        """A batch failed; returns its rows."""
        return self._take(number)

    def on_died(self) -> dict[int, tuple[RowKey, ...]]:
        """The child is gone; returns every batch that was in its hands."""
        self.generation = 0
        self.loaded = self.loading = None
        batches, self._batches = self._batches, {}
        return {number: batch.rows for number, batch in batches.items()}

    def step_down(self) -> bool:
        """Memory ran out: the next batches are smaller. False if they cannot be."""
        before, self.batch_size = self.batch_size, max(1, self.batch_size // 2)
        return self.batch_size < before

    def cancel(self, job_id: str) -> None:
        """Rows of this job that are not begun need not be."""
        if any(job == job_id for batch in self._batches.values() for job, _ in batch.rows):
            self.actor.send(Cancel(job_id=job_id), generation=self.generation)

    def _take(self, number: int) -> tuple[RowKey, ...]:
        self._used_at = self._clock()
        self.actor.settle(number)
        batch = self._batches.pop(number, None)
        return batch.rows if batch else ()
