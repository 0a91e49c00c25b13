"""What the children report, and what that means for the jobs: each report ends in the ledger.

What failed is for `failures`.
"""

from __future__ import annotations

import logging
from typing import Final, assert_never

from whisper_service.core.domain import Problem
from whisper_service.scheduler.aborts import Aborts
from whisper_service.scheduler.execute import Executor
from whisper_service.scheduler.hub_tests import HubTests
from whisper_service.scheduler.ledger import Ledger
from whisper_service.scheduler.media_actors import MediaActors
from whisper_service.scheduler.model_actions import ModelActions
from whisper_service.scheduler.recovery import Recovery
from whisper_service.scheduler.run import Run
from whisper_service.scheduler.speech_actor import SpeechActor
from whisper_service.supervision.faults import FaultKind
from whisper_service.supervision.protocol import (
    BatchDone,
    ChunkDone,
    ChunkFound,
    ConnectionTested,
    Decoded,
    DecodeProgress,
    Downloaded,
    DownloadProgress,
    Fault,
    Loaded,
    MediaInfo,
    Ready,
)
from whisper_service.supervision.supervisor import Died, Reported

logger = logging.getLogger(__name__)

UNANSWERED: Final = Problem(
    code=FaultKind.UNKNOWN.value,
    message="The speech engine said nothing about this part of the recording.",
    hint="Retry the job; if it happens again, report it.",
)
"""Why a chunk is struck whose batch ended without it: given again for ever, it would keep the engine busy for ever."""


class Reports:
    """See the module. Called on the service loop alone."""

    def __init__(
        self,
        ledger: Ledger,
        recognizer: SpeechActor,
        decoders: MediaActors,
        endings: Aborts,
        steps: Executor,
        shelf: ModelActions,
        connections: HubTests,
        *,
        preload: bool,
    ) -> None:
        self._ledger = ledger
        self._recognizer = recognizer
        self._decoders = decoders
        self._steps = steps
        self._endings = endings
        self._shelf = shelf
        self._downloads = shelf.downloads
        self._connections = connections
        self._failures = Recovery(ledger, recognizer, endings)
        self._preload = preload

    async def reported(self, event: Reported) -> None:
        """A living child says something."""
        report, name = event.report, event.actor
        if not isinstance(report, Ready) and event.generation != self._generation_of(name):
            return  # of a child whose death has been dealt with
        match report:
            case Ready():
                await self._ready(name, event.generation)
            case Loaded():
                self._recognizer.on_loaded(report)
                facts = {"action": "model_loaded", "model": report.model, "seconds": round(report.seconds, 2)}
                logger.info("%s is loaded on %s (%s)", report.model, report.device, report.compute_type, extra=facts)
                await self._shelf.on_loaded(report)
                if (note := self._recognizer.converted) is not None:
                    for waiting in [run for run in self._ledger.runs.values() if run.job.model == report.model]:
                        if note.code not in {told.code for told in waiting.job.history}:
                            await self._ledger.remember(waiting, note)
            case ChunkDone():
                await self._ledger.chunk_done(report)
            case BatchDone():
                await self._ledger.strike({report.batch: self._recognizer.on_batch_done(report)}, UNANSWERED)
                await self._failures.recovered()
            case MediaInfo():
                if run := self._run_at(name, report.job_id):
                    run.duration_s = report.duration_s
                    await self._ledger.note(run, duration_s=report.duration_s)
            case ChunkFound():
                self._decoders.alive(name, report.job_id)
                if run := self._run_at(name, report.job_id):
                    await self._ledger.chunk_found(run, report.span)
            case DecodeProgress():
                self._decoders.alive(name, report.job_id)
                if run := self._run_at(name, report.job_id):
                    run.decoded_s = max(run.decoded_s, report.position_s)
                    if not run.waiting and not run.in_flight:  # silence: nothing else would move the bar
                        await self._ledger.note_progress(run)
            case Decoded():
                run = self._run_at(name, report.job_id)
                self._decoders.release(name, report.job_id)
                if run is not None:
                    await self._ledger.decoded(run, report.duration_s, report.warning)
            case Fault():
                await self._fault(name, event.generation, report)
            case DownloadProgress():
                await self._downloads.on_progress(report)
            case Downloaded():
                await self._downloads.on_downloaded(report)
            case ConnectionTested():
                self._connections.on_tested(report)
            case _:
                assert_never(report)

    async def _ready(self, name: str, generation: int) -> None:
        """A child takes commands."""
        if name == self._downloads.actor.name:
            self._downloads.on_ready(generation)
            return
        if name == self._connections.actor.name:
            self._connections.on_ready(generation)
            return
        if name != self._recognizer.actor.name:
            self._decoders.on_ready(name, generation)
            return
        if generation <= self._recognizer.actor.rested:
            return
        self._recognizer.on_ready(generation)
        if (
            self._preload and not self._ledger.runs and self._recognizer.problem is None
        ):  # else the planner knows the model
            await self._steps.load_default()

    async def _fault(self, name: str, generation: int, report: Fault) -> None:
        match report.scope:
            case "model":
                model = self._recognizer.loading
                if not await self._failures.load_failed(report):
                    await self._shelf.on_load_failed(model, report.problem)
                elif self._preload and not self._ledger.runs and not report.fatal:
                    await self._steps.load_default()
            case "download" if report.model is not None:
                await self._downloads.on_failed(report.model, report.problem)
                await self._endings.fail_all(report.model, report.problem)
            case "batch" if report.batch is not None and report.index is not None and report.job_id is not None:
                await self._failures.row_failed(report.job_id, report.index, report.batch, report)
            case "batch" if report.batch is not None:
                await self._failures.batch_failed(report.batch, report)
            case "media" if report.job_id is not None:
                run = self._run_at(name, report.job_id)
                self._decoders.release(name, report.job_id)
                if run is not None:
                    facts = {"action": "decode_failed", "job": report.job_id, "actor": name, "generation": generation}
                    logger.warning("%s", report.problem.message, extra={**facts, "cause": report.problem.code})
                    run.broke_off(report.problem)
            case _:
                logger.error("%s: %s", name, report.problem.message, extra={"action": "actor_fault", "actor": name})

    async def died(self, event: Died) -> None:
        """Everything in its hands is lost; only that is given again."""
        problem = event.diagnosis.problem
        if event.actor == self._downloads.actor.name:
            if (model := await self._downloads.on_died(problem)) is not None:
                await self._endings.fail_all(model, self._downloads.problems[model])
            return
        if event.actor == self._connections.actor.name:
            self._connections.on_died(problem)
            return
        if event.actor == self._recognizer.actor.name:
            await self._failures.speech_died(event.diagnosis)
            return
        run = self._run_at(event.actor, self._decoders.on_died(event.actor))
        if run is not None:
            await self._failures.media_died(run, event.diagnosis)

    def _generation_of(self, name: str) -> int:
        for child in (self._downloads, self._connections):
            if name == child.actor.name:
                return child.generation
        return (
            self._recognizer.generation if name == self._recognizer.actor.name else self._decoders.generation_of(name)
        )

    def _run_at(self, worker: str, job_id: str | None) -> Run | None:
        """The run of this job, if this media actor is the one that works for it now."""
        run = self._ledger.runs.get(job_id or "")
        return run if run is not None and run.worker == worker else None
