"""Carries out what was planned: a step of the planner becomes rows in the ledger and commands to the children."""

from __future__ import annotations

import time
from functools import partial
from typing import assert_never

from anyio import to_thread

from whisper_service.core.errors import ServiceError, StoreBusy
from whisper_service.models.catalog import AUTO
from whisper_service.scheduler import planner
from whisper_service.scheduler.aborts import Aborts, problem_of
from whisper_service.scheduler.ledger import Ledger
from whisper_service.scheduler.media_actors import MediaActors
from whisper_service.scheduler.model_actions import ModelActions
from whisper_service.scheduler.run import Decoding, Run
from whisper_service.scheduler.speech_actor import SpeechActor
from whisper_service.supervision.protocol import ChunkInput


class Executor:
    """See the module. Called on the service loop alone."""

    def __init__(
        self, ledger: Ledger, shelf: ModelActions, recognizer: SpeechActor, decoders: MediaActors, endings: Aborts
    ) -> None:
        self._ledger = ledger
        self._shelf = shelf
        self._catalog = shelf.catalog
        self._recognizer = recognizer
        self._decoders = decoders
        self._endings = endings
        self._turn = 0  # number of the last batch; never given twice

    async def take(self, step: planner.Step) -> bool:
        """Take one step; True if it calls for another plan. Raises what the store and the disk raise."""
        runs = self._ledger.runs
        match step:
            case planner.ClaimJob(job_id):
                await self._claim(job_id)
                return True
            case planner.StartDecode(job_id, worker):
                if job_id in runs and self._decoders.start(job_id, worker, limit_s=runs[job_id].limit_s):
                    runs[job_id].decoding, runs[job_id].worker = Decoding.RUNNING, worker
            case planner.LoadModel(model):
                await self._load(model)
            case planner.UnloadModel():
                await self._shelf.rest()
            case planner.GiveBatch():
                self._give(step)
            case planner.FinishJob(job_id):
                await self._ledger.finish(runs[job_id])
                return True
            case _:
                assert_never(step)
        return False

    async def choose_model(self, run: Run) -> None:
        """What was left open when the job was taken up, because the device was not known."""
        try:
            model = await self._obtain(run.job.options.model)
        except StoreBusy:  # says nothing about the model
            raise
        except (ServiceError, OSError) as error:
            await self._endings.fail(run.job.id, problem_of(error))
            return
        await self._ledger.note(run, model=model)

    async def load_default(self) -> None:
        """The model for jobs that do not name one, before any of them is there."""
        try:
            await self._load(await self._resolve(AUTO))
        except (ServiceError, OSError) as error:
            self._recognizer.problem = problem_of(error)

    async def _claim(self, job_id: str) -> None:
        try:
            wanted = await self._ledger.wanted_model(job_id)
            model = await self._obtain(wanted)
        except StoreBusy:
            raise
        except (ServiceError, OSError) as error:
            await self._ledger.fail(job_id, problem_of(error))
            return
        undecided = self._recognizer.device is None and self._catalog.depends_on_device(wanted)
        await self._ledger.claim(job_id, None if undecided else model)
        self._recognizer.actor.want()

    async def _obtain(self, wanted: str) -> str:
        """The name of the model a job wants. One that is not here is on its way from now on."""
        device = self._recognizer.device or "cpu"
        name = await to_thread.run_sync(partial(self._catalog.name_of, wanted, device=device))
        if not await to_thread.run_sync(self._catalog.is_here, name):
            await self._shelf.downloads.want(name)
        return name

    async def _resolve(self, wanted: str) -> str:
        device = self._recognizer.device or "cpu"
        return await to_thread.run_sync(partial(self._catalog.resolve, wanted, device=device))

    async def _load(self, model: str) -> None:
        try:
            located = await to_thread.run_sync(self._catalog.locate, model)
            await to_thread.run_sync(self._shelf.check_size, model)
        except (ServiceError, OSError) as error:
            self._recognizer.problem = problem_of(error)
            await self._endings.fail_all(model, self._recognizer.problem)
            return
        standing = await self._ledger.standing(self._recognizer.device or "cpu", model)
        self._recognizer.load(model, located.path, standing, await self._shelf.rows(model))

    def _give(self, batch: planner.GiveBatch) -> None:
        self._turn += 1
        now = time.monotonic()
        rows: list[ChunkInput] = []
        for job_id, index in batch.rows:
            run = self._ledger.runs[job_id]
            chunk = run.give(index, self._turn, now)
            rows.append(
                ChunkInput(
                    job_id=job_id,
                    span=chunk.span,
                    spool=str(self._decoders.spool_of(job_id)),
                    language=run.language,
                    task=run.job.options.task,
                    word_timestamps=run.job.options.word_timestamps,
                    script=run.job.options.script,
                )
            )
        options = self._ledger.runs[batch.rows[0][0]].job.options
        kind = {"suspect": batch.suspect, "urgent": batch.urgent, "express": batch.express}
        self._recognizer.give(self._turn, batch.rows, rows, preset=options.preset.value, prompt=options.prompt, **kind)
