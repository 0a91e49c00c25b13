"""What is done about failures of the children: given again, struck, left out, or tried with less memory.

Whatever a dead child had in its hands is given again. What of that counts against a chunk is decided here, and when the work
goes on one rung lower (`ladder`); every job whose work was affected hears of it in its history.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Final

from whisper_service.core import fallback
from whisper_service.core.domain import Problem
from whisper_service.core.fallback import Adjustment
from whisper_service.core.timecode import hms, milliseconds
from whisper_service.scheduler import planner
from whisper_service.scheduler.aborts import Aborts
from whisper_service.scheduler.ledger import Ledger, RowKey
from whisper_service.scheduler.run import Run
from whisper_service.scheduler.speech_actor import SpeechActor
from whisper_service.supervision.faults import Diagnosis, FaultKind
from whisper_service.supervision.protocol import Fault

logger = logging.getLogger(__name__)

MEDIA_TRIES: Final = 3
"""Media actors that may die at the same place of a recording, and spools that may get lost, before it is given up."""
LIGHTER: Final = (FaultKind.OOM, FaultKind.CUDA)
"""After these the work goes on one rung lower: a GPU that is short of memory does not always say so."""
UNUSABLE: Final = (FaultKind.LIBRARY_MISSING, FaultKind.DEVICE_UNUSABLE)
"""After these it goes on without the GPU."""
BLAMELESS: Final = (FaultKind.OOM, *UNUSABLE)
"""These are no fault of a chunk while there is another way to work."""

CHUNK_RETRIED: Final = Adjustment("chunk_retried", "This part is tried again.")
CHUNK_LEFT_OUT: Final = Adjustment("chunk_left_out", "This part is left out.")
DECODED_AGAIN: Final = Adjustment("decoded_again", "The recording is read again from its beginning.")


class Recovery:
    """See the module. Called on the service loop alone."""

    def __init__(
        self, ledger: Ledger, recognizer: SpeechActor, endings: Aborts, wall: Callable[[], float] = time.time
    ) -> None:
        self._ledger = ledger
        self._recognizer = recognizer
        self._endings = endings
        self._wall = wall
        self._told: set[str] = set()  # jobs that have heard what the speech actor announced before it exits

    async def load_failed(self, report: Fault) -> bool:
        """A model cannot be loaded as it was tried; False if there is no other way."""
        model = self._recognizer.loading
        change = self._change(report.kind, report.problem)
        if report.fatal:
            self._recognizer.announced = report
        self._recognizer.on_load_failed(None if change else report.problem)
        await self._stand(model, change)
        if change is None and model is not None and report.kind in (*LIGHTER, *UNUSABLE):
            self._recognizer.block(model, report.problem)  # no fault of the jobs: they wait
            return False
        if change is None:
            await self._endings.fail_all(model, report.problem)
            return False
        await self._tell([run for run in self._ledger.runs.values() if run.job.model == model], report.problem, change)
        return True

    async def row_failed(self, job_id: str, index: int, batch: int, report: Fault) -> None:
        """One row of a batch is at fault by itself. If its samples are not there, the recording is decoded again."""
        run = self._ledger.runs.get(job_id)
        if run is None or run.batch_of.get(index) != batch:
            return
        if report.kind != FaultKind.MEDIA:
            await self._ledger.quarantine(run, run.in_flight[index], report.problem)
        elif run.spool_lost(index, batch):
            logger.warning(
                "the spool is lost: %s", report.problem.message, extra={"action": "spool_lost", "job": job_id}
            )
            self._endings.stop_decoding(run)
            run.decode_again()
            if run.losses >= MEDIA_TRIES:
                run.broke_off(report.problem)

    async def batch_failed(self, batch: int, report: Fault) -> None:
        """A whole batch came to nothing; its actor lives on, unless it says `fatal`."""
        model, change = self._recognizer.model, self._change(report.kind, report.problem)
        rows = {batch: self._recognizer.on_batch_failed(batch)}
        if report.fatal:
            self._recognizer.announced, self._told = report, set()
        told = await self._give_back(rows, report.kind, report.problem, change)
        if report.fatal:
            self._told = told
        await self._stand(model, change)

    async def speech_died(self, diagnosis: Diagnosis) -> None:
        """Everything in the hands of the speech actor is lost. If it said why, that has been dealt with, but for other batches."""
        announced, loading, change = self._recognizer.announced, self._recognizer.loading, None
        model = loading or self._recognizer.model
        kind, problem = (
            (diagnosis.kind, diagnosis.problem) if announced is None else (announced.kind, announced.problem)
        )
        if announced is None:
            self._told = set()
            change = self._change(kind, problem)
        if kind == FaultKind.HUNG:
            self._recognizer.pace.missed()
        batches = self._recognizer.on_died()
        for run in self._ledger.runs.values():
            run.begin_small()
        await self._give_back(batches, kind, problem, change, announced=announced is not None)
        await self._stand(model, change)
        if change is not None and loading is not None:
            await self._tell([run for run in self._ledger.runs.values() if run.job.model == loading], problem, change)

    async def media_died(self, run: Run, diagnosis: Diagnosis) -> None:
        """The media actor that read this recording is gone."""
        problem = diagnosis.problem
        run.decoder_died(killed=diagnosis.kind is FaultKind.KILLED)
        if run.decoder_deaths >= MEDIA_TRIES or run.decoder_kills >= planner.KILLED_TOO_OFTEN:
            message = f"The recording cannot be read beyond {run.decoded_s:.0f} s: {problem.message}"
            hint = "The file may be damaged. Convert it with another program and send it again."
            run.broke_off(Problem("decode_failed", message, hint, {"position_s": run.decoded_s, **problem.params}))
        else:
            await self._tell([run], problem, DECODED_AGAIN)

    async def recovered(self) -> None:
        """A batch went well. After a stretch of that, what memory once did not suffice for is tried again."""
        before, model = self._recognizer.rung, self._recognizer.model
        if model is None or not self._recognizer.climb(self._wall()):
            return
        change = fallback.change(before, self._recognizer.rung)
        await self._stand(model, change)
        if self._recognizer.rung != before:
            logger.info("%s", change.sentence, extra={"action": "climbed", "model": model})
            for run in [run for run in self._ledger.runs.values() if run.job.model == model]:
                message = f"It went well for a while. {change.sentence}"
                await self._ledger.remember(run, Problem("recovered", message, params={"change": change.params}))

    # -- small parts -------------------------------------------------------------------------------------------------

    def _change(self, kind: str, problem: Problem) -> Adjustment | None:
        """Find a lighter way to work, if that can help; what it is, in words. Writing it down is for the caller, when all is
        given back that the store may not keep anybody from."""
        before, model = self._recognizer.rung, self._recognizer.loading or self._recognizer.model
        if model is None or self._recognizer.announced is not None:
            return None
        left = kind in UNUSABLE and self._recognizer.leave_device(problem)
        if not left and not (kind in LIGHTER and self._recognizer.fall(problem, self._wall())):
            return None
        change = fallback.change(before, self._recognizer.rung)
        facts = {"action": "stepped_down", "model": model, "cause": kind}
        logger.warning("%s %s", problem.message, change.sentence, extra=facts)
        return change

    async def _stand(self, model: str | None, change: Adjustment | None) -> None:
        if model is not None and change is not None:
            await self._ledger.stand(self._recognizer.device or "cpu", model, self._recognizer.standing)

    async def _give_back(
        self,
        batches: Mapping[int, Sequence[RowKey]],
        kind: str,
        problem: Problem,
        change: Adjustment | None,
        *,
        announced: bool = False,
    ) -> set[str]:
        """These batches failed. Returns the jobs whose work was affected; they are told."""
        affected = chain.from_iterable(self._ledger.given(batch, rows) for batch, rows in batches.items())
        gaps = {run.job.id: len(run.gaps) for run in affected}
        if kind in BLAMELESS and (announced or change is not None):
            self._ledger.take_back(batches)
        else:
            await self._ledger.strike(batches, problem, killed=kind == FaultKind.KILLED)
        for job_id, before in gaps.items():
            run = self._ledger.runs[job_id]
            if job_id not in self._told or not announced:
                of_part = CHUNK_LEFT_OUT if len(run.gaps) > before else CHUNK_RETRIED
                await self._tell([run], problem, change or of_part)
        return set(gaps)

    async def _tell(self, runs: Iterable[Run], problem: Problem, change: Adjustment) -> None:
        """Into the history of jobs: what happened, when, why, and what was changed."""
        for run in runs:
            at = run.covered_s()
            message = f"At {hms(milliseconds(at))}: {problem.message} {change.sentence}"
            params = {"position_s": round(at, 3), **problem.params, "change": change.params}
            await self._ledger.remember(run, Problem(problem.code, message, params=params))
