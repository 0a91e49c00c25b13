"""Show a job in work: to the planner (`view_of`) and to people (`phase_of`). Pure."""

from __future__ import annotations

from itertools import islice
from typing import Final

from whisper_service.core.domain import Phase, Task
from whisper_service.scheduler.run import Run
from whisper_service.scheduler.views import Decoding, JobView, ReadyChunk

FAR_TRIES: Final = 2
"""A recording that was lost so often with another machine is decoded here: those machines may have no room for it."""
MAX_READY: Final = 64
"""Waiting chunks that the planner sees for each seat. No batch takes more."""


def phase_of(run: Run, loaded: str | None, *, model_missing: bool = False, fetching: bool = False) -> Phase:
    """Return what a job is doing.

    `loaded`: the loaded model; `model_missing`: the job's own is downloaded; `fetching`: the networks for speakers are.
    """
    if model_missing:
        return Phase.DOWNLOADING_MODEL
    if run.waiting or run.in_flight:
        return Phase.TRANSCRIBING if loaded is not None and loaded == run.job.model else Phase.LOADING_MODEL
    if run.decoding is not Decoding.DONE:
        return Phase.DECODING if run.job.live is None else Phase.TRANSCRIBING
    if run.speakers is None or not run.speakers.left:
        return Phase.FINALIZING
    return Phase.DOWNLOADING_MODEL if fetching and run.speakers.ready else Phase.SPEAKERS


def view_of(run: Run, *, model_missing: bool = False, away: bool = False, shown: int = MAX_READY) -> JobView:
    """Return a job as the planner sees it, with the first `shown` of its waiting chunks."""
    job, options, speakers = run.job, run.job.options, run.speakers
    detect = "detect" if options.task is Task.DETECT else ""
    return JobView(
        job_id=job.id,
        model=job.model,
        batch_key="\n".join([str(job.model), options.preset, detect, run.prompt or ""]),
        rank=job.rank,
        order=run.order,
        bytes=job.bytes,
        duration_s=None if run.duration_s is None else max(run.duration_s, run.decoded_s, run.cut_s),
        decoding=run.decoding,
        ready=tuple(
            ReadyChunk(index, chunk.attempts, chunk.kills) for index, chunk in islice(run.waiting.items(), shown)
        ),
        more=max(0, len(run.waiting) - shown),
        in_flight=len(run.in_flight),
        given=run.given,
        last_batch=run.last_batch,
        language_known=run.language is not None,
        waiting_since=run.waiting_since,
        model_missing=model_missing,
        unheard=None if speakers is None else speakers.first,
        unassigned=speakers is not None and speakers.left,
        heard_last=0 if speakers is None else speakers.last_command,
        live=job.live is not None,
        media_actor=run.media_actor,
        at_home=run.limit_s is not None or run.decodes_lost >= FAR_TRIES,
        away=away,
    )
