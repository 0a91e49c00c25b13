"""The service loop: the one place where run-time state changes.

Requests of users and reports of actors (`reports`) are handled one after the other; then it is planned (`planner`), and what
is planned is done (`steps`). Nothing else drives the ledger, the recognizer and the decoders, and nothing else reads them
while they change.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, assert_never

from whisper_service.core.domain import Job, Phase, Problem, Status
from whisper_service.core.errors import IllegalTransition, NotFound, ServiceError
from whisper_service.core.job_states import OPEN, Cause
from whisper_service.scheduler import planner
from whisper_service.scheduler.aborts import Aborts
from whisper_service.scheduler.execute import Executor
from whisper_service.scheduler.hub_tests import HubTests
from whisper_service.scheduler.ledger import Ledger
from whisper_service.scheduler.mailbox import Mailbox, Request
from whisper_service.scheduler.media_actors import MediaActors
from whisper_service.scheduler.model_actions import ModelActions
from whisper_service.scheduler.reports import Reports
from whisper_service.scheduler.run import Decoding, Run
from whisper_service.scheduler.speech_actor import SpeechActor
from whisper_service.supervision.supervisor import ActorEvent, Died, Reported, Supervisor

logger = logging.getLogger(__name__)

RETRY_S: Final = 5.0
"""Until it is planned again after the store or the disk refused."""


class Loop:
    """See the module. `run` is the loop; everything else without an underscore is called on it, through the mailbox."""

    def __init__(
        self,
        mailbox: Mailbox,
        ledger: Ledger,
        endings: Aborts,
        shelf: ModelActions,
        connections: HubTests,
        recognizer: SpeechActor,
        decoders: MediaActors,
        *,
        preload: bool,
    ) -> None:
        self.recognizer = recognizer
        self.shelf = shelf
        self.connections = connections
        self._mailbox = mailbox
        self._ledger = ledger
        self._decoders = decoders
        self._preload = preload
        self._endings = endings
        self._steps = Executor(ledger, shelf, recognizer, decoders, endings)
        self._reports = Reports(ledger, recognizer, decoders, endings, self._steps, shelf, connections, preload=preload)
        self._retry: asyncio.TimerHandle | None = None
        self._idle: asyncio.TimerHandle | None = None  # until something is due though nothing happens
        self._besets = True  # whether jobs that wait for their turn may have a problem: after a start nobody knows

    @property
    def workers(self) -> tuple[Supervisor, ...]:
        """The supervisors of the children without which nothing is transcribed."""
        return (self.recognizer.actor, *self._decoders.actors.values())

    @property
    def actors(self) -> tuple[Supervisor, ...]:
        """Every child's supervisor."""
        return (*self.workers, self.shelf.downloads.actor, self.connections.actor)

    async def run(self) -> None:
        """Handle what comes until the mailbox is closed."""
        with self._mailbox.attended():
            if self._preload:
                self.recognizer.actor.want()
            next(iter(self._decoders.actors.values())).want()
            await self.shelf.restore()
            await self._go_on()
            async for events in self._mailbox.batches():
                for event in events:
                    await self._handle(event)
                if not self._mailbox.closed:  # else nothing new is begun
                    await self._go_on()

    # -- what users ask ----------------------------------------------------------------------------------------------

    async def add(self, job: Job) -> Job:
        """A new pending job."""
        return await self._ledger.add(job)

    async def fetching(self, job_id: str, **fields: Any) -> Job | None:
        """Its recording is on its way, or here: write these fields; None if it is not pending any more."""
        return await self._ledger.fetching(job_id, **fields)

    async def unfetched(self, job_id: str, problem: Problem) -> None:
        """Its recording cannot be had; nothing comes of it if the job is not pending any more."""
        with suppress(NotFound, IllegalTransition):
            if (await self._ledger.job(job_id)).status is Status.PENDING:
                await self._ledger.fail(job_id, problem)

    async def change(self, job_id: str, cause: Cause, *, model: str | None = None) -> Job:
        """Pause, resume, cancel, retry (with another `model`, if one is given), or another place in the queue.

        Raises `NotFound` or `IllegalTransition`.
        """
        run = self._ledger.runs.get(job_id)
        if cause is Cause.RETRY:
            self.recognizer.reset(device=False)
            self._decoders.reset()
            job = await self._ledger.job(job_id)
            if (
                job.problem is not None and job.status in OPEN
            ):  # it waits, and did not fail: that was all there is to do
                return job
        match cause:
            case Cause.FRONT:
                return await self._ledger.front(job_id)
            case Cause.SOONER | Cause.LATER:
                return await self._ledger.shift(job_id, cause)
            case Cause.PAUSE:
                job = await self._ledger.pause(job_id)
            case Cause.CANCEL:
                self.recognizer.cancel(job_id)  # before its spool goes
                async with self._or_else_again(job_id):
                    job = await self._ledger.cancel(job_id)
            case _:
                return await self._ledger.requeue(job_id, cause, model=model)
        self._endings.stop_decoding(run)
        await self._release(run)
        return job

    async def reset(self) -> None:
        """Whatever kept the children from working is gone, somebody says: try all of it again."""
        self.recognizer.reset(device=True)
        for actor in self.actors:
            if actor.broken:
                actor.reset()
        if self._preload and self.recognizer.generation and not self._ledger.runs and not self.recognizer.model:
            await self._steps.load_default()

    async def rename(self, job_id: str, name: str) -> Job:
        """Call the job something else."""
        return await self._ledger.rename(job_id, name)

    async def restore(self, job_id: str) -> Job:
        """The deleted job comes back as it was; what was in work goes on."""
        return await self._ledger.restore(job_id)

    async def delete(self, job_id: str, *, for_good: bool = True) -> None:
        """The job, its text and its files, whatever it is doing. Not `for_good`, it may be restored."""
        run = self._ledger.runs.get(job_id)
        self._endings.drop(job_id)
        async with self._or_else_again(job_id):
            await (self._ledger.delete(job_id) if for_good else self._ledger.bury(job_id))
        await self._release(run)

    async def remove_media(self, job_id: str) -> None:
        """The recording of a job that is over."""
        with suppress(NotFound):
            await self._ledger.remove_media(job_id)

    async def expire(self, job_id: str) -> None:
        """The job as a whole, if it is (still) over."""
        with suppress(NotFound):
            if await self._ledger.is_over(job_id):
                await self.delete(job_id)

    @asynccontextmanager
    async def _or_else_again(self, job_id: str) -> AsyncIterator[None]:
        """The actors have dropped the job. If the store refuses what was to follow, its work begins again."""
        try:
            yield
        except (sqlite3.Error, OSError, ServiceError):
            if job_id in self._ledger.runs:
                await self._endings.begin_again(job_id)
            raise

    async def _release(self, run: Run | None) -> None:
        """One job fewer wants its model; after the last one nobody need fetch it. What was asked for is done by now, whatever
        becomes of that."""
        if run is None or any(other.job.model == run.job.model for other in self._ledger.runs.values()):
            return
        try:
            await self.shelf.downloads.release(run.job.model)
        except (sqlite3.Error, OSError, ServiceError):
            logger.exception(
                "the end of a download could not be told", extra={"action": "release_failed", "model": run.job.model}
            )

    # -- what actors report ------------------------------------------------------------------------------------------

    async def _handle(self, event: Request | ActorEvent) -> None:
        """The border: whatever goes wrong with one event, the loop goes on with the next."""
        if isinstance(event, Request):
            await event.carry_out()
            return
        try:
            if isinstance(event, Died):
                await self._reports.died(event)
            else:
                await self._reports.reported(event)
        except Exception as error:
            job_id = getattr(event.report, "job_id", None) if isinstance(event, Reported) else None
            facts = {"action": "event_failed", "actor": event.actor, "generation": event.generation, "job": job_id}
            logger.exception("an event could not be handled", extra=facts)
            if job_id is not None:
                await self._endings.give_up(job_id, error)

    # -- plan -------------------------------------------------------------------------------------------------------

    async def _go_on(self) -> None:
        """The border for what nobody asked for: if the store or the disk refuse, the loop lives on and tries again soon."""
        try:
            self._reclaim()
            await self._endings.make_up()
            await self._advance()
        except Exception:
            logger.exception("the work could not be planned", extra={"action": "plan_failed"})
            if self._retry is not None:
                self._retry.cancel()
            self._retry = asyncio.get_running_loop().call_later(RETRY_S, self._mailbox.nudge)

    def _reclaim(self) -> None:
        """The second line: what a job thinks is in work and no child has in hand would never come back. It is taken up again."""
        for run in self._ledger.runs.values():
            lost = {index: batch for index, batch in run.batch_of.items() if not self.recognizer.holds(batch)}
            for index, batch in lost.items():
                run.take_back(index, batch)
            unread = run.decoding is Decoding.RUNNING and not self._decoders.reads(run.worker, run.job.id)
            if unread:
                run.decode_again()
            if lost or unread:
                facts = {
                    "action": "work_reclaimed",
                    "job": run.job.id,
                    "batches": sorted(set(lost.values())),
                    "unread": unread,
                }
                logger.error("work that nobody had in hand is taken up again: report this", extra=facts)

    async def _advance(self) -> None:
        """Plan and act until the plan is empty of steps that change what can be planned."""
        if self.recognizer.device is not None:
            for run in [
                run for run in self._ledger.runs.values() if run.job.model is None
            ]:  # it depended on the device
                await self._steps.choose_model(run)
        again, missing, blocked = True, self.shelf.downloads.awaits, self.recognizer.is_blocked
        while again:
            again = False
            view = planner.View(
                works=tuple(
                    run.view(model_missing=missing(run.job.model) or blocked(run.job.model))
                    for run in self._ledger.runs.values()
                ),
                queue=await self._ledger.queue(),
                media=self._decoders.view(),
                speech=self.recognizer.view(),
            )
            for step in planner.plan(view, time.monotonic()):
                try:
                    again |= await self._steps.take(step)
                except (sqlite3.Error, OSError, ServiceError) as error:
                    if isinstance(step, planner.LoadModel | planner.GiveBatch | planner.UnloadModel):
                        raise
                    logger.exception(
                        "a step failed",
                        extra={"action": "step_failed", "job": step.job_id, "step": type(step).__name__},
                    )
                    if not await self._endings.give_up(step.job_id, error):  # it would be planned again at once
                        raise
                    again = True
                    break  # the other steps may be about this job, too
        for run in list(self._ledger.runs.values()):
            phase = run.phase(self.recognizer.model, model_missing=missing(run.job.model))
            problem = self._obstacle(run)
            message = f"Waits: {problem.message} {problem.hint}" if problem is not None else self._message(phase, run)
            if (phase, message, problem) != (run.job.phase, run.job.message, run.job.problem):
                halted = {"speed": None, "eta_s": None} if problem is not None else {}
                await self._ledger.note(run, phase=phase, message=message, problem=problem, **halted)
        await self._beset()
        self._watch()

    def _obstacle(self, run: Run) -> Problem | None:
        """What keeps a job in work from going on until somebody puts it right."""
        if run.decoding is not Decoding.DONE and (problem := self._decoders.obstacle) is not None:
            return problem
        return self.recognizer.obstacle(run.job.model)

    async def _beset(self) -> None:
        """The jobs that wait for their turn hear what keeps all of them from it."""
        problem = self._decoders.obstacle or (self.recognizer.actor.problem if self.recognizer.actor.broken else None)
        if problem is not None or self._besets:
            await self._ledger.beset(problem)
        self._besets = problem is not None

    def _watch(self) -> None:
        """Come back when the loaded model will have been idle for long enough, or one that did not load is tried again."""
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        idle = self.recognizer.idle_until if not self._ledger.runs else None
        due = min((at for at in (idle, self.recognizer.probe_at) if at is not None), default=None)
        if due is not None:
            self._idle = asyncio.get_running_loop().call_later(max(0.0, due - time.monotonic()), self._mailbox.nudge)

    def _message(self, phase: Phase, run: Run) -> str:
        """One sentence for people; the phase is what programs look at."""
        match phase:
            case Phase.LOADING_MODEL:
                actor = self.recognizer.actor
                if (problem := actor.problem) is not None and actor.failures > 1:
                    return f"The speech engine does not start: {problem.message} It is tried again."
                return f"Loading the model {run.job.model}." if run.job.model else "Starting the speech engine."
            case Phase.DECODING:
                return "Reading the recording."
            case Phase.TRANSCRIBING:
                return "Transcribing."
            case Phase.FINALIZING:
                return "Finishing."
            case Phase.DOWNLOADING_MODEL:
                return self.shelf.downloads.message(run.job.model or "")
            case _:
                assert_never(phase)
