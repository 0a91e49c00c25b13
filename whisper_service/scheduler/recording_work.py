"""Jobs whose recording is in object storage: fetch it before it is read, and drop it afterwards.

All functions run on the scheduler's loop: no recording is dropped between the plan and the command that reads it.
"""

from __future__ import annotations

import logging
import sqlite3
from typing import Final

import anyio

from whisper_service.core.domain import Problem
from whisper_service.core.errors import RecordingAltered, RecordingLost, ServiceError, Unavailable
from whisper_service.core.text import reason
from whisper_service.scheduler.context import Context
from whisper_service.scheduler.recordings import Recordings
from whisper_service.scheduler.views import Decoding

logger = logging.getLogger(__name__)

PAUSE_S: Final = 2.0
MAX_PAUSE_S: Final = 60.0
"""Seconds until a recording that a job waits for is tried again: at first, and at most."""


async def bring(context: Context, job_id: str) -> bool:
    """Have the recording of a job in work on this machine. False: it comes, and the loop is woken then.

    A job whose recording is gone ends with the cause. While the storage cannot be used, the job waits with a problem.
    """
    recordings = context.recordings
    if recordings is None or (not recordings.is_coming(job_id) and await recordings.is_here(job_id)):
        return True
    if not recordings.is_coming(job_id):
        recordings.coming[job_id] = None
        context.run_task(_fetch, context, recordings, job_id)
    return False


async def drop_copy(context: Context, recordings: Recordings, job_id: str) -> bool:
    """Delete the file of a recording that is in object storage, unless somebody reads it.

    True: the file on this machine is gone, or is no copy any more.
    """
    stored = await recordings.stored.of(job_id)
    if stored is None:
        recordings.copies.discard(job_id)
        return True
    if job_id in context.ledger.runs or recordings.is_read(job_id):
        return False
    context.data.source_of(job_id).unlink(missing_ok=True)
    recordings.copies.discard(job_id)
    return True


async def commit(context: Context, recordings: Recordings, url: str, job_id: str) -> bool:
    """Make an object the recording of a job. False: the job is in work or gone, and the object is unwanted."""
    if job_id in context.ledger.runs:
        await recordings.stored.give_up(url)
        return False
    return await recordings.stored.commit(url, job_id)


async def _fetch(context: Context, recordings: Recordings, job_id: str) -> None:
    """Fetch the recording of a job until it is here, or the job is in work no more. Runs as a task of its own."""
    pause_s = PAUSE_S
    try:
        while job_id in context.ledger.runs:
            try:
                await recordings.fetch(job_id)
                return
            except (RecordingLost, RecordingAltered) as error:
                await context.ask(_give_up, job_id, error.problem)
                return
            except (ServiceError, OSError, sqlite3.Error) as error:
                if isinstance(error, Unavailable):
                    raise
                if isinstance(error, ServiceError):
                    recordings.coming[job_id] = error.problem
                facts = {"action": "recording_waits", "job": job_id}
                logger.warning("A recording cannot be fetched yet: %s", reason(error), extra=facts)
            context.mailbox.nudge()
            await anyio.sleep(pause_s)
            pause_s = min(MAX_PAUSE_S, 2 * pause_s)
    except Unavailable:  # the service ends
        return
    finally:
        recordings.coming.pop(job_id, None)
        if not context.mailbox.closed:
            context.mailbox.nudge()


async def _give_up(context: Context, job_id: str, problem: Problem) -> None:
    """Let a job go on without a recording that is gone."""
    run = context.ledger.runs.get(job_id)
    if run is not None and run.decoding is Decoding.WAITING:
        run.stop_decoding(problem)
