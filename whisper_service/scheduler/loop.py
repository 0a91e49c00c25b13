"""The scheduler's loop: the one place where the state of work in memory changes.

Requests of clients and reports of actors are handled one after the other. Then the loop makes a plan (`planner`) and
carries it out (`execute`). Nothing else changes the ledger and the state of the actors.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from typing import Final, assert_never

from whisper_service.core.domain import Phase, Problem
from whisper_service.core.errors import ServiceError, Unavailable
from whisper_service.models.speaker_networks import SPEAKERS
from whisper_service.scheduler import aborts, draft_work, execute, planner, reports, views
from whisper_service.scheduler.context import Context
from whisper_service.scheduler.draft_plan import next_draft_at
from whisper_service.scheduler.ledger import waiting_message
from whisper_service.scheduler.mailbox import Request
from whisper_service.scheduler.run import Run
from whisper_service.scheduler.run_views import MAX_READY, phase_of, view_of
from whisper_service.scheduler.views import Decoding
from whisper_service.supervision.supervisor import ActorEvent, Died, Reported

logger = logging.getLogger(__name__)

RETRY_S: Final = 5.0
"""Seconds until the next plan after the store or the disk refused a change."""


class Loop:
    """Runs until the mailbox is closed."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._retry: asyncio.TimerHandle | None = None
        self._timer: asyncio.TimerHandle | None = None  # for what is due without an event
        self._waiting_blocked = True  # whether pending jobs may show a problem: unknown after a start

    async def run(self) -> None:
        """Handle what comes into the mailbox until it is closed."""
        context = self._context
        with context.mailbox.attended():
            context.drafts.feed.noticed = context.mailbox.nudge
            if context.preload:
                context.fleet.start()
            next(iter(context.media.local.values())).start()
            await self._resume_downloads()
            await self._plan()
            async for events in context.mailbox.batches():
                due = False
                for event in events:
                    due |= await self._handle(event)
                await self._write_chunks()
                if due and not context.mailbox.closed:  # once closed, nothing new is started
                    await self._plan()
            context.speakers.end_recounts(Unavailable().problem)

    async def _resume_downloads(self) -> None:
        """Go on with the downloads of the last service. An error (a full disk) leaves them to the next request."""
        try:
            await self._context.downloads.resume(await self._context.store.service_state.models())
        except (sqlite3.Error, OSError, ServiceError):
            logger.exception("The downloads could not go on.", extra={"action": "restore_failed"})

    async def _handle(self, event: Request | ActorEvent) -> bool:
        """Handle one event. Return whether a plan is due then. This is a border: an exception ends the event alone.

        Reports about chunks wait to be written together; before any other event, they are.
        """
        due = True
        if not isinstance(event, Reported) or not isinstance(event.report, reports.GROUPED):
            await self._write_chunks()
        if isinstance(event, Request):
            await event.carry_out()
            return due
        try:
            if isinstance(event, Died):
                await reports.take_death(self._context, event)
            else:
                due = await reports.take_report(self._context, event)
        except Exception as error:
            job_id = getattr(event.report, "job_id", None) if isinstance(event, Reported) else None
            facts = {"action": "event_failed", "actor": event.actor, "generation": event.generation, "job": job_id}
            logger.exception("An event could not be handled.", extra=facts)
            if job_id is not None:
                await aborts.give_up(self._context, job_id, error)
        if self._context.ledger.is_group_full:
            await self._write_chunks()
        return due

    async def _write_chunks(self) -> None:
        """Store and publish what reports told of chunks. A job with a chunk that is refused ends."""
        for job_id, error in (await self._context.ledger.write_chunks()).items():
            facts = {"action": "event_failed", "job": job_id}
            logger.error("A chunk could not be stored.", exc_info=error, extra=facts)
            await aborts.give_up(self._context, job_id, error)

    async def _plan(self) -> None:
        """Plan and carry out. This is a border: when the store or the disk refuse, the loop plans again soon."""
        try:
            self._reclaim()
            await aborts.write_pending(self._context)
            await self._advance()
        except Exception:
            logger.exception("The work could not be planned.", extra={"action": "plan_failed"})
            if self._retry is not None:
                self._retry.cancel()
            self._retry = asyncio.get_running_loop().call_later(RETRY_S, self._context.mailbox.nudge)

    def _reclaim(self) -> None:
        """Take back work that a job counts as in flight and no actor has. This never happens unless there is a bug."""
        fleet, media, speakers = self._context.fleet, self._context.media, self._context.speakers
        held = fleet.batches()
        for run in self._context.ledger.runs.values():
            lost = [(index, batch) for index, batch in run.batches_in_flight() if batch not in held]
            for index, batch in lost:
                run.take_back(index, batch)
            read = media.decodes(run.media_actor, run.job.id) or self._context.live.follows(run.job.id)
            unread = run.decoding is Decoding.RUNNING and not read
            if unread:
                run.restart_decoding()
            if run.speakers is not None and run.speakers.hearing is not None and not speakers.has(run.job.id):
                run.speakers.take_back()
            if lost or unread:
                facts = {"job": run.job.id, "batches": sorted({batch for _, batch in lost}), "unread": unread}
                message = "No actor had work that was given. Please report this."
                logger.error(message, extra={"action": "work_reclaimed", **facts})

    async def _advance(self) -> None:
        """Plan and carry out until no step calls for another plan; then write what the jobs are doing."""
        context = self._context
        work = context.preload or bool(context.ledger.runs)
        context.fleet.follow_cluster(work=work)
        context.media.follow_cluster(work=work)
        if context.fleet.main.device.name is not None:
            for run in context.runs_of_model(None):  # the device was unknown when they were claimed
                await execute.choose_model(context, run)
        while await self._carry_out_plan():
            pass
        for run in list(context.ledger.runs.values()):
            phase = phase_of(
                run,
                run.job.model if run.job.model in context.fleet.models else context.fleet.main.model,
                model_missing=context.downloads.has(run.job.model),
                fetching=context.downloads.has(SPEAKERS),
            )
            problem = self._obstacle(run)
            message = waiting_message(problem) if problem is not None else self._message(phase, run)
            if (phase, message, problem) != (run.job.phase, run.job.message, run.job.problem):
                halted = {"speed": None, "eta_s": None} if problem is not None else {}
                await context.ledger.update(run, phase=phase, message=message, problem=problem, **halted)
        await self._set_waiting_problem()
        await draft_work.end_drafts(context)
        self._set_timer()

    async def _carry_out_plan(self) -> bool:
        """Make one plan and carry it out. True: a step calls for another plan."""
        context, again = self._context, False
        for step in planner.plan(await self._view(), time.monotonic()):
            try:
                again |= await execute.carry_out(context, step)
            except (sqlite3.Error, OSError, ServiceError) as error:
                if not isinstance(step, views.ClaimJob | views.StartDecode | views.FollowSession | views.FinishJob):
                    raise
                facts = {"action": "step_failed", "job": step.job_id, "step": type(step).__name__}
                logger.exception("A step of the plan failed.", extra=facts)
                if not await aborts.give_up(context, step.job_id, error):  # the same step would be planned again
                    raise
                return True  # the other steps may be about this job, too
        return again

    async def _view(self) -> views.View:
        context = self._context

        def missing(model: str | None) -> bool:
            return context.downloads.has(model) or context.fleet.is_blocked(model)

        def unanswered(chunk: views.ChunkKey, batch: int) -> bool:
            run = context.ledger.runs.get(chunk[0])
            return run is not None and run.waits_for(chunk[1], batch)

        def away(job_id: str) -> bool:
            return context.recordings is not None and context.recordings.is_coming(job_id)

        shown = MAX_READY * len(context.fleet.seats)

        return views.View(
            jobs=tuple(
                view_of(run, model_missing=missing(run.job.model), away=away(run.job.id), shown=shown)
                for run in context.ledger.runs.values()
            ),
            queue=await context.ledger.queue(),
            media=context.media.view(),
            seats=context.fleet.view(unanswered),
            speakers=context.speakers.view(fetching=context.downloads.has(SPEAKERS)),
            drafts=draft_work.view(context),
        )

    def _obstacle(self, run: Run) -> Problem | None:
        """Return what keeps a job in work from going on until a person acts."""
        reader = self._context.media if run.job.live is None else self._context.live
        if run.decoding is not Decoding.DONE and (problem := reader.obstacle) is not None:
            return problem
        recordings = self._context.recordings
        if recordings is not None and (problem := recordings.problem_of(run.job.id)) is not None:
            return problem
        return self._context.fleet.obstacle(run.job.model)

    async def _set_waiting_problem(self) -> None:
        """Write into the pending jobs what keeps all of them from starting, and when that is over."""
        problem = self._context.media.obstacle or self._context.fleet.outage
        if problem is not None or self._waiting_blocked:
            await self._context.ledger.set_waiting_problem(problem)
        self._waiting_blocked = problem is not None

    def _set_timer(self) -> None:
        """Plan again when something idle is to end, a blocked model is to be tried again, or a batch may be late."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        fleet = self._context.fleet
        resting = self._context.speakers.rest_at
        idle = fleet.idle_until if not self._context.ledger.runs else None
        draft = next_draft_at(draft_work.view(self._context), time.monotonic())
        due = min((at for at in (idle, fleet.due_at, resting, draft) if at is not None), default=None)
        if due is not None:
            wait_s = max(0.0, due - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._context.mailbox.nudge)

    def _message(self, phase: Phase, run: Run) -> str:
        """Return one sentence for people about the phase."""
        match phase:
            case Phase.LOADING_MODEL:
                actor = self._context.fleet.main.actor
                if (problem := actor.problem) is not None and actor.failures > 1:
                    return f"The speech engine does not start: {problem.message} It is tried again."
                return f"Loading the model {run.job.model}." if run.job.model else "Starting the speech engine."
            case Phase.DECODING:
                return "Reading the recording."
            case Phase.TRANSCRIBING:
                return "Listening." if run.job.growing else "Transcribing."
            case Phase.FINALIZING:
                return "Finishing."
            case Phase.SPEAKERS:
                return "Telling the speakers apart."
            case Phase.DOWNLOADING_MODEL:
                missing = self._context.downloads.has(run.job.model)
                return self._context.downloads.message((run.job.model or "") if missing else SPEAKERS)
            case _:
                assert_never(phase)
