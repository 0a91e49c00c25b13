"""The service loop: the one place where run-time state changes.

Requests of users and reports of actors are handled one after the other; then it is planned, and what is planned is done.
Nothing else drives the ledger, the recognizer and the decoders, and nothing else reads them while they change.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, assert_never

from anyio import to_thread

from whisper_service import faults, planner
from whisper_service.catalog import AUTO, Catalog
from whisper_service.decoders import Decoders
from whisper_service.domain import Job, Phase, Problem
from whisper_service.errors import IllegalTransition, NotFound, ServiceError
from whisper_service.faults import FaultKind
from whisper_service.ledger import Ledger, RowKey
from whisper_service.lifecycle import Cause
from whisper_service.mailbox import Mailbox, Request
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
    Row,
)
from whisper_service.recognizer import Recognizer
from whisper_service.runs import Decoding, Run
from whisper_service.supervisor import ActorEvent, Died, Reported, Supervisor

logger = logging.getLogger(__name__)

MEDIA_TRIES: Final = 3
"""Media actors that may die at the same place of a recording, and spools that may get lost, before it is given up."""
RETRY_S: Final = 5.0
"""Until it is planned again after the store or the disk refused."""

UNANSWERED: Final = Problem(
    code=FaultKind.UNKNOWN.value,
    message="The speech engine said nothing about this part of the recording.",
    hint="Retry the job; if it happens again, report it.",
)
"""Why a chunk is struck whose batch ended without it: given again for ever, it would keep the engine busy for ever."""


class Dispatcher:
    """See the module. `run` is the loop; everything else without an underscore is called on it, through the mailbox."""

    def __init__(
        self, mailbox: Mailbox, ledger: Ledger, catalog: Catalog, recognizer: Recognizer, decoders: Decoders, *, preload: bool
    ) -> None:
        self.recognizer = recognizer
        self._mailbox = mailbox
        self._ledger = ledger
        self._catalog = catalog
        self._decoders = decoders
        self._preload = preload
        self._turn = 0
        self._retry: asyncio.TimerHandle | None = None
        self._unsaid: dict[str, Problem] = {}  # why jobs failed, while the store cannot be told

    @property
    def actors(self) -> tuple[Supervisor, ...]:
        """Every child's supervisor."""
        return (self.recognizer.actor, *self._decoders.actors.values())

    async def run(self) -> None:
        """Handle what comes until the mailbox is closed."""
        with self._mailbox.attended():
            if self._preload:
                self.recognizer.actor.want()
            next(iter(self._decoders.actors.values())).want()
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

    async def change(self, job_id: str, cause: Cause) -> Job:
        """Pause, resume, cancel, retry or front. Raises `NotFound` or `IllegalTransition`."""
        run = self._ledger.runs.get(job_id)
        match cause:
            case Cause.FRONT:
                return await self._ledger.front(job_id)
            case Cause.PAUSE:
                job = await self._ledger.pause(job_id)
            case Cause.CANCEL:
                self.recognizer.cancel(job_id)  # before its spool goes
                job = await self._ledger.cancel(job_id)
            case _:
                return await self._ledger.requeue(job_id, cause)
        self._stop_decoding(run)
        return job

    async def delete(self, job_id: str) -> None:
        """The job, its text and its files, whatever it is doing."""
        self._drop(job_id)
        await self._ledger.delete(job_id)

    # -- what actors report ------------------------------------------------------------------------------------------

    async def _handle(self, event: Request | ActorEvent) -> None:
        """The border: whatever goes wrong with one event, the loop goes on with the next."""
        if isinstance(event, Request):
            await event.carry_out()
            return
        try:
            if isinstance(event, Died):
                await self._died(event)
            else:
                await self._reported(event)
        except Exception as error:
            logger.exception("an event could not be handled", extra={"action": "event_failed", "actor": event.actor})
            job_id = getattr(event.report, "job_id", None) if isinstance(event, Reported) else None
            if job_id is not None:
                await self._give_up(job_id, error)

    async def _reported(self, event: Reported) -> None:
        report, name = event.report, event.actor
        if not isinstance(report, Ready) and event.generation != self._generation_of(name):
            return  # of a child whose death has been dealt with
        match report:
            case Ready():
                await self._ready(name, event.generation)
            case Loaded():
                self.recognizer.on_loaded(report)
                facts = {"action": "model_loaded", "model": report.model, "seconds": round(report.seconds, 2)}
                logger.info("%s is loaded on %s (%s)", report.model, report.device, report.compute_type, extra=facts)
            case ChunkDone():
                await self._ledger.chunk_done(report)
            case BatchDone():
                await self._ledger.strike(report.batch, self.recognizer.on_batch_done(report.batch), UNANSWERED)
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
                    run.decoded(report.duration_s, report.warning)
                    await self._ledger.note_progress(run, decoded=True)
            case Fault():
                await self._fault(name, report)
            case DownloadProgress() | Downloaded() | ConnectionTested():
                pass  # of a download child, and none is started here
            case _:
                assert_never(report)

    async def _ready(self, name: str, generation: int) -> None:
        """A child takes commands. The speech actor's knows the device, which those wait for whose model depends on it."""
        if name != self.recognizer.actor.name:
            self._decoders.on_ready(name, generation)
            return
        self.recognizer.on_ready(generation)
        for run in [run for run in self._ledger.runs.values() if run.job.model is None]:
            await self._choose_model(run)
        if self._preload and self.recognizer.problem is None:
            await self._load_default()

    async def _fault(self, name: str, report: Fault) -> None:
        match report.scope:
            case "model":
                model = self.recognizer.on_load_failed(report.problem)
                await self._fail_all(model, report.problem)
            case "batch" if report.batch is not None and report.index is not None and report.job_id is not None:
                await self._row_failed(report.job_id, report.index, report.batch, report)
            case "batch" if report.batch is not None:
                self.recognizer.out_of_memory |= report.fatal and report.kind == FaultKind.OOM
                blameless = report.kind == FaultKind.OOM and self.recognizer.step_down()
                batch = {report.batch: self.recognizer.on_batch_failed(report.batch)}
                await self._give_back(batch, report.problem, blameless=blameless)
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
            self._stop_decoding(run)
            run.decode_again()
            if run.losses >= MEDIA_TRIES:
                run.broke_off(report.problem)

    async def _give_back(self, batches: Mapping[int, Sequence[RowKey]], problem: Problem, *, blameless: bool) -> None:
        """These batches failed. That memory ran out is no fault of a chunk while smaller batches can be tried."""
        for batch, rows in batches.items():
            if blameless:
                self._ledger.take_back(batch, rows)
            else:
                await self._ledger.strike(batch, rows, problem)

    async def _died(self, event: Died) -> None:
        """Everything in its hands is lost; only that is given again."""
        problem = event.diagnosis.problem
        if event.actor == self.recognizer.actor.name:
            announced = self.recognizer.out_of_memory  # by one batch, which has been dealt with
            blameless = announced or (event.diagnosis.kind is FaultKind.OOM and self.recognizer.step_down())
            await self._give_back(self.recognizer.on_died(), problem, blameless=blameless)
            return
        run = self._run_at(event.actor, self._decoders.on_died(event.actor))
        if run is None:
            return
        if run.decoder_died() >= MEDIA_TRIES:
            message = f"The recording cannot be read beyond {run.decoded_s:.0f} s: {problem.message}"
            hint = "The file may be damaged. Convert it with another program and send it again."
            run.broke_off(Problem("decode_failed", message, hint, {"position_s": run.decoded_s, **problem.params}))

    # -- plan and act ------------------------------------------------------------------------------------------------

    async def _go_on(self) -> None:
        """The border for what nobody asked for: if the store or the disk refuse, the loop lives on and tries again soon."""
        try:
            for job_id, problem in list(self._unsaid.items()):
                await self._say(job_id, problem)
            await self._advance()
        except Exception:
            logger.exception("the work could not be planned", extra={"action": "plan_failed"})
            if self._retry is not None:
                self._retry.cancel()
            self._retry = asyncio.get_running_loop().call_later(RETRY_S, self._mailbox.nudge)

    async def _advance(self) -> None:
        """Plan and act until the plan is empty of steps that change what can be planned."""
        again = True
        while again:
            again = False
            view = planner.View(
                works=tuple(run.view() for run in self._ledger.runs.values()),
                queue=await self._ledger.queue(),
                media=self._decoders.view(),
                speech=self.recognizer.view(),
            )
            for step in planner.plan(view, time.monotonic()):
                try:
                    again |= await self._act(step)
                except (sqlite3.Error, OSError, ServiceError) as error:
                    if isinstance(step, planner.LoadModel | planner.GiveBatch):
                        raise
                    logger.exception("a step failed", extra={"action": "step_failed", "job": step.job_id})
                    await self._give_up(step.job_id, error)
                    if step.job_id in self._unsaid:  # it would be planned again at once
                        raise
                    again = True
        for run in list(self._ledger.runs.values()):
            phase = run.phase(self.recognizer.model)
            message = self._message(phase, run)
            if (phase, message) != (run.job.phase, run.job.message):
                await self._ledger.note(run, phase=phase, message=message)

    async def _act(self, step: planner.Step) -> bool:
        """Take one step; True if it calls for another plan."""
        runs = self._ledger.runs
        match step:
            case planner.Claim(job_id):
                await self._claim(job_id)
                return True
            case planner.StartDecode(job_id, worker):
                if job_id in runs and self._decoders.start(job_id, worker):
                    runs[job_id].decoding, runs[job_id].worker = Decoding.RUNNING, worker
            case planner.LoadModel(model):
                await self._load(model)
            case planner.GiveBatch(rows, suspect):
                self._give(rows, suspect)
            case planner.Finish(job_id):
                await self._ledger.finish(runs[job_id])
                return True
            case _:
                assert_never(step)
        return False

    async def _claim(self, job_id: str) -> None:
        try:
            wanted = await self._ledger.wanted_model(job_id)
            model = await self._resolve(wanted)
        except (ServiceError, OSError) as error:
            await self._ledger.fail(job_id, _problem_of(error))
            return
        undecided = self.recognizer.device is None and self._catalog.depends_on_device(wanted)
        await self._ledger.claim(job_id, None if undecided else model)
        self.recognizer.actor.want()

    async def _choose_model(self, run: Run) -> None:
        """What was left open when the job was taken up."""
        try:
            model = await self._resolve(run.job.options.model)
        except (ServiceError, OSError) as error:
            await self._fail(run.job.id, _problem_of(error))
            return
        await self._ledger.note(run, model=model)

    async def _resolve(self, wanted: str) -> str:
        device = self.recognizer.device or "cpu"
        return await to_thread.run_sync(partial(self._catalog.resolve, wanted, device=device))

    async def _load_default(self) -> None:
        try:
            await self._load(await self._resolve(AUTO))
        except (ServiceError, OSError) as error:
            self.recognizer.problem = _problem_of(error)

    async def _load(self, model: str) -> None:
        try:
            located = await to_thread.run_sync(self._catalog.locate, model)
        except (ServiceError, OSError) as error:
            self.recognizer.problem = _problem_of(error)
            await self._fail_all(model, self.recognizer.problem)
            return
        self.recognizer.load(model, located.path)

    def _give(self, keys: tuple[RowKey, ...], suspect: bool) -> None:
        self._turn += 1
        now = time.monotonic()
        rows: list[Row] = []
        for job_id, index in keys:
            run = self._ledger.runs[job_id]
            chunk = run.give(index, self._turn, now)
            rows.append(
                Row(
                    job_id=job_id,
                    span=chunk.span,
                    spool=str(self._decoders.spool_of(job_id)),
                    language=run.language,
                    task=run.job.options.task,
                    word_timestamps=run.job.options.word_timestamps,
                )
            )
        options = self._ledger.runs[keys[0][0]].job.options
        self.recognizer.give(self._turn, keys, rows, preset=options.preset.value, prompt=options.prompt, suspect=suspect)

    # -- small parts -------------------------------------------------------------------------------------------------

    def _generation_of(self, name: str) -> int:
        return self.recognizer.generation if name == self.recognizer.actor.name else self._decoders.generation_of(name)

    def _run_at(self, worker: str, job_id: str | None) -> Run | None:
        """The run of this job, if this media actor is the one that works for it now."""
        run = self._ledger.runs.get(job_id or "")
        return run if run is not None and run.worker == worker else None

    def _stop_decoding(self, run: Run | None) -> None:
        if run is not None and run.worker is not None:
            self._decoders.cancel(run.worker, run.job.id)

    def _drop(self, job_id: str) -> None:
        """No actor needs to go on with this job. They hear it before its files go."""
        self._stop_decoding(self._ledger.runs.get(job_id))
        self.recognizer.cancel(job_id)

    async def _fail(self, job_id: str, problem: Problem) -> None:
        self._drop(job_id)
        await self._ledger.fail(job_id, problem)

    async def _fail_all(self, model: str | None, problem: Problem) -> None:
        """Every job that wants this model."""
        for run in [run for run in self._ledger.runs.values() if run.job.model == model]:
            await self._fail(run.job.id, problem)

    async def _give_up(self, job_id: str, error: Exception) -> None:
        """The store or the disk refused: fail the job with the cause, as soon as that can be written."""
        problem = _problem_of(error)
        self._drop(job_id)
        self._unsaid[job_id] = problem
        try:
            await self._say(job_id, problem)
        except (sqlite3.Error, OSError, ServiceError):
            logger.exception("the job could not be failed", extra={"action": "fail_failed", "job": job_id})
            self._ledger.runs.pop(job_id, None)

    async def _say(self, job_id: str, problem: Problem) -> None:
        """Fail a job that was given up, unless it is deleted or has ended since."""
        with suppress(NotFound, IllegalTransition):
            await self._ledger.fail(job_id, problem)
        self._unsaid.pop(job_id, None)

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
                return "Downloading the model."
            case _:
                assert_never(phase)


def _problem_of(error: Exception) -> Problem:
    """What a user should hear of it."""
    if isinstance(error, ServiceError):
        return error.problem
    return faults.classify(f"{type(error).__name__}: {error}").problem
