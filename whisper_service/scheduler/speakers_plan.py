"""Decide what the speakers actor does next, and which jobs wait for it. Pure.

A chunk is heard after its text, so nothing of this comes before text. The actor does one thing at a time: first what a
client waits for, then the naming of a job that has nothing else left, then the chunks of all jobs. Jobs at the front
and calls go before the others; those take turns, one chunk each. A job whose text is complete waits until its speakers
are named, or until it is known that they cannot be.
"""

from __future__ import annotations

from collections.abc import Iterator

from whisper_service.scheduler.lanes import Lane, lane_of
from whisper_service.scheduler.views import (
    AssignSpeakers,
    Decoding,
    HearChunk,
    JobView,
    RestSpeakers,
    SpeakersView,
    Step,
    View,
)


def has_all_text(job: JobView) -> bool:
    """Return whether nothing of the job is left to read or to recognise."""
    return job.decoding is Decoding.DONE and not job.ready and not job.in_flight


def waits_for_speakers(job: JobView, speakers: SpeakersView) -> bool:
    """Return whether a job with all its text has to wait. An actor that died too often keeps no job from its end."""
    return job.unassigned and not speakers.broken


def plan_speakers(view: View, now: float) -> Iterator[Step]:
    """Yield what the speakers actor does now."""
    speakers = view.speakers
    if speakers.busy or speakers.broken:
        return
    if speakers.recounts:
        yield AssignSpeakers(speakers.recounts[0])
        return
    wanting = sorted((job for job in view.jobs if job.unassigned), key=_turn)
    for job in wanting:
        if has_all_text(job) and job.unheard is None:
            yield AssignSpeakers(job.job_id)
            return
    for job in wanting:
        if job.unheard is not None and not speakers.fetching:
            yield HearChunk(job.job_id, job.unheard)
            return
    if speakers.ready and not wanting and now >= speakers.rest_at:
        yield RestSpeakers()


def _turn(job: JobView) -> tuple[int, int, int]:
    """Return the sort key: users' front and calls first, then the job whose last turn is longest ago."""
    return min(lane_of(job), Lane.SHORT), job.heard_last, job.order
