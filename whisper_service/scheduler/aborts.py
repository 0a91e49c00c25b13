"""How work on a job comes to an end that nobody planned: dropped from the actors' hands, failed, given up.

What the store cannot be told now - the disk may be full - is kept here and said as soon as it can.
"""

from __future__ import annotations

import logging
import sqlite3
from contextlib import suppress

from whisper_service.core.domain import Problem
from whisper_service.core.errors import IllegalTransition, NotFound, ServiceError, StoreBusy
from whisper_service.scheduler.ledger import Ledger
from whisper_service.scheduler.media_actors import MediaActors
from whisper_service.scheduler.run import Run
from whisper_service.scheduler.speech_actor import SpeechActor
from whisper_service.supervision import faults

logger = logging.getLogger(__name__)


class Aborts:
    """See the module. Called on the service loop alone."""

    def __init__(self, ledger: Ledger, recognizer: SpeechActor, decoders: MediaActors) -> None:
        self._ledger = ledger
        self._recognizer = recognizer
        self._decoders = decoders
        self._unsaid: dict[
            str, Problem | None
        ] = {}  # why jobs failed, None: begin again; while the store cannot be told

    def stop_decoding(self, run: Run | None) -> None:
        """No media actor needs to go on with this job."""
        if run is not None and run.worker is not None:
            self._decoders.cancel(run.worker, run.job.id)

    def drop(self, job_id: str) -> None:
        """No actor needs to go on with this job. They hear it before its files go."""
        self.stop_decoding(self._ledger.runs.get(job_id))
        self._recognizer.cancel(job_id)

    async def fail(self, job_id: str, problem: Problem) -> None:
        """The job cannot go on by itself."""
        self.drop(job_id)
        await self._ledger.fail(job_id, problem)

    async def fail_all(self, model: str | None, problem: Problem) -> None:
        """Every job that wants this model."""
        for run in [run for run in self._ledger.runs.values() if run.job.model == model]:
            await self.fail(run.job.id, problem)

    async def give_up(self, job_id: str, error: Exception) -> bool:
        """The store or the disk refused: fail the job with the cause; if the store was only busy, let it begin again where
        the store has it. False if not even that can be written yet."""
        return await self._leave(job_id, None if isinstance(error, StoreBusy) else problem_of(error))

    async def begin_again(self, job_id: str) -> bool:
        """Let go of what is in work of the job, and take it up anew. False if that cannot be written yet."""
        return await self._leave(job_id, None)

    async def _leave(self, job_id: str, problem: Problem | None) -> bool:
        self.drop(job_id)
        if problem is not None:
            self._ledger.drop_spool(job_id)  # it goes anyhow, and may be what leaves no room to write that down
        self._unsaid[job_id] = problem
        try:
            await self._say(job_id, problem)
        except (sqlite3.Error, OSError, ServiceError) as error:
            logger.warning(
                "the job could not be given up yet: %s", error, extra={"action": "fail_failed", "job": job_id}
            )
            self._ledger.runs.pop(job_id, None)
            return False
        return True

    async def make_up(self) -> None:
        """Say what could not be said before. Raises what the store raises if it still cannot."""
        for job_id, problem in list(self._unsaid.items()):
            await self._say(job_id, problem)

    async def _say(self, job_id: str, problem: Problem | None) -> None:
        """Fail a job that was given up, or put it back, unless it is deleted or has ended since."""
        with suppress(NotFound, IllegalTransition):
            if problem is None:
                await self._ledger.put_back(job_id)
            else:
                await self._ledger.fail(job_id, problem)
        self._unsaid.pop(job_id, None)


def problem_of(error: Exception) -> Problem:
    """What a user should hear of it."""
    if isinstance(error, ServiceError):
        return error.problem
    return faults.classify(f"{type(error).__name__}: {error}").problem
