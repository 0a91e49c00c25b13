"""What the children report and how they die, and what that means for the jobs: each report ends in the ledger.

Whatever a dead child had in its hands is given again; what of that counts against a chunk is decided here.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from typing import Final, assert_never

from whisper_service import planner
from whisper_service.connections import Connections
from whisper_service.decoders import Decoders
from whisper_service.domain import Problem
from whisper_service.endings import Endings
from whisper_service.faults import FaultKind
from whisper_service.formats.clock import hms, milliseconds
from whisper_service.ledger import Ledger, RowKey
from whisper_service.protocol import (
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
from whisper_service.recognizer import Recognizer
from whisper_service.runs import Run
from whisper_service.shelf import Shelf
from whisper_service.steps import Steps
from whisper_service.supervisor import Died, Reported

logger = logging.getLogger(__name__)

MEDIA_TRIES: Final = 3
"""Media actors that may die at the same place of a recording, and spools that may get lost, before it is given up."""
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
        recognizer: Recognizer,
        decoders: Decoders,
        endings: Endings,
        steps: Steps,
        shelf: Shelf,
        connections: Connections,
        *,
        preload: bool,
    ) -> None:
        self._ledger = ledger
        self._recognizer = recognizer
        self._decoders = decoders
        self._endings = endings
        self._steps = steps
        self._shelf = shelf
        self._downloads = shelf.downloads
        self._connections = connections
        self._preload = preload
        self._told: set[str] = set()  # jobs that were told what the present speech actor announced

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
            case ChunkDone():
                await self._ledger.chunk_done(report)
            case BatchDone():
                await self._ledger.strike(report.batch, self._recognizer.on_batch_done(report.batch), UNANSWERED)
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
                await self._fault(name, report)
            case DownloadProgress():
                await self._downloads.on_progress(report)
            case Downloaded():
                await self._downloads.on_downloaded(report)
            case ConnectionTested():
                self._connections.on_tested(report)
            case _:
                assert_never(report)

    async def _ready(self, name: str, generation: int) -> None:
        """A child takes commands. The speech actor's knows the device, which those wait for whose model depends on it."""
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
        self._told.clear()
        for run in [run for run in self._ledger.runs.values() if run.job.model is None]:
            await self._steps.choose_model(run)
        if self._preload and not self._ledger.runs and self._recognizer.problem is None:  # else the planner knows the model
            await self._steps.load_default()

    async def _fault(self, name: str, report: Fault) -> None:
        match report.scope:
            case "model":
                model = self._recognizer.on_load_failed(report.problem)
                await self._shelf.on_load_failed(model, report.problem)
                await self._endings.fail_all(model, report.problem)
            case "download" if report.model is not None:
                await self._downloads.on_failed(report.model, report.problem)
                await self._endings.fail_all(report.model, report.problem)
            case "batch" if report.batch is not None and report.index is not None and report.job_id is not None:
                await self._row_failed(report.job_id, report.index, report.batch, report)
            case "batch" if report.batch is not None:
                if report.fatal:
                    self._recognizer.announced = report
                blameless = report.kind == FaultKind.OOM and self._recognizer.step_down()
                batch = {report.batch: self._recognizer.on_batch_failed(report.batch)}
                affected = await self._give_back(batch, report.kind, report.problem, blameless=blameless, told=self._told)
                if report.fatal:
                    self._told |= affected
            case "media" if report.job_id is not None:
                run = self._run_at(name, report.job_id)
                self._decoders.release(name, report.job_id)
                if run is not None:
                    run.broke_off(report.problem)
            case _:
                logger.error("%s: %s", name, report.problem.message, extra={"action": "actor_fault", "actor": name})

    async def _row_failed(self, job_id: str, index: int, batch: int, report: Fault) -> None:
        """One row of a batch is at fault by itself. If its samples are not there, the recording is decoded again."""
        run = self._ledger.runs.get(job_id)
        if run is None or run.batch_of.get(index) != batch:
            return
        if report.kind != FaultKind.MEDIA:
            await self._ledger.quarantine(run, run.in_flight[index], report.problem)
        elif run.spool_lost(index, batch):
            logger.warning("the spool is lost: %s", report.problem.message, extra={"action": "spool_lost", "job": job_id})
            self._endings.stop_decoding(run)
            run.decode_again()
            if run.losses >= MEDIA_TRIES:
                run.broke_off(report.problem)

    async def _give_back(
        self, batches: Mapping[int, Sequence[RowKey]], kind: str, problem: Problem, *, blameless: bool, told: Collection[str] = ()
    ) -> set[str]:
        """These batches failed. That memory ran out is no fault of a chunk while smaller batches can be tried. Returns the
        jobs whose work was affected; they are told, but for those that were `told` before."""
        affected = chain.from_iterable(self._ledger.given(batch, rows) for batch, rows in batches.items())
        gaps = {run.job.id: len(run.gaps) for run in affected}
        for batch, rows in batches.items():
            if blameless:
                self._ledger.take_back(batch, rows)
            else:
                await self._ledger.strike(batch, rows, problem, killed=kind == FaultKind.KILLED)
        for job_id, before in gaps.items():
            if job_id in told:
                continue
            run = self._ledger.runs[job_id]
            given_up = len(run.gaps) > before
            await self._tell(run, problem, "This part is left out." if given_up else "This part is tried again.")
        return set(gaps)

    async def _tell(self, run: Run, problem: Problem, then: str) -> None:
        """Into the history of a job: what happened, when, why, and what was changed."""
        at = run.covered_s()
        message = f"At {hms(milliseconds(at))}: {problem.message} {then}"
        await self._ledger.remember(run, problem.code, message, **{"position_s": round(at, 3), **problem.params})

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
            for job in self._ledger.runs.values():
                job.begin_small()
            kind: str = event.diagnosis.kind
            if (announced := self._recognizer.announced) is not None:  # by one batch, which has been dealt with
                kind, problem, blameless = announced.kind, announced.problem, announced.kind == FaultKind.OOM
            else:
                blameless = kind == FaultKind.OOM and self._recognizer.step_down()
            await self._give_back(self._recognizer.on_died(), kind, problem, blameless=blameless, told=self._told)
            return
        run = self._run_at(event.actor, self._decoders.on_died(event.actor))
        if run is None:
            return
        run.decoder_died(killed=event.diagnosis.kind is FaultKind.KILLED)
        if run.decoder_deaths >= MEDIA_TRIES or run.decoder_kills >= planner.KILLED_TOO_OFTEN:
            message = f"The recording cannot be read beyond {run.decoded_s:.0f} s: {problem.message}"
            hint = "The file may be damaged. Convert it with another program and send it again."
            run.broke_off(Problem("decode_failed", message, hint, {"position_s": run.decoded_s, **problem.params}))
        else:
            await self._tell(run, problem, "The recording is read again from its beginning.")

    def _generation_of(self, name: str) -> int:
        for child in (self._downloads, self._connections):
            if name == child.actor.name:
                return child.generation
        return self._recognizer.generation if name == self._recognizer.actor.name else self._decoders.generation_of(name)

    def _run_at(self, worker: str, job_id: str | None) -> Run | None:
        """The run of this job, if this media actor is the one that works for it now."""
        run = self._ledger.runs.get(job_id or "")
        return run if run is not None and run.worker == worker else None
