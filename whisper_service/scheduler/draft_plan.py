"""Decide which drafts of live sessions are made now. Pure.

One batch of drafts is under way at a time, for sessions that somebody reads. It comes after everything for which a
client waits: calls, and chunks of live sessions. The pace is that of the setting, or as slow as the share of drafts
demands, for all sessions alike. At a pause a draft comes earlier, but never beyond that share.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from whisper_service.scheduler.lanes import Lane, lane_of
from whisper_service.scheduler.views import DraftsView, DraftView, GiveBatch, GiveDraft, JobView, SeatView, Step, View

ALONE_SHARE: Final = 0.9
"""Share of a core for drafts while nothing else waits: the rest is for the chunks of the sessions themselves."""


def plan_drafts(view: View, planned: Iterable[Step], now: float) -> Iterator[GiveDraft]:
    """Yield the next batch of drafts. `planned`: the steps that are taken before it."""
    drafts = view.drafts
    if drafts.under_way or not drafts.sessions:
        return
    batches = [step for step in planned if isinstance(step, GiveBatch)]
    others = any(not job.live and (job.in_flight or job.ready) for job in view.jobs)
    waiting = _with_calls(view.jobs, batches)
    due = [session for session in drafts.sessions if now >= _due_at(drafts, session, others) - 1e-6]
    for first in sorted(due, key=lambda session: session.passed_s):
        place = None if first.model in waiting else _place(view.seats, first.model, batches)
        if place is None:
            continue
        seat, express = place
        company = [each for each in due if each.model == first.model and not each.suspect and each is not first]
        mates = [] if first.suspect else sorted(company, key=lambda session: session.passed_s)
        rows = [first, *mates][: seat.batch_size]
        yield GiveDraft(tuple(row.job_id for row in rows), seat.name, express=express)
        return


def next_draft_at(drafts: DraftsView, now: float) -> float | None:
    """Return when a plan may have another batch of drafts, after `now`. None: nothing is to be drafted."""
    if drafts.under_way:
        return None
    times = (_due_at(drafts, session, others) for session in drafts.sessions for others in (False, True))
    return min((at for at in times if at > now), default=None)


def _due_at(drafts: DraftsView, session: DraftView, others: bool) -> float:
    share = drafts.share if others else max(drafts.share, ALONE_SHARE)
    interval_s = drafts.took_s / share
    return drafts.began_at + (interval_s if session.settles else max(drafts.cadence_s, interval_s))


def _with_calls(jobs: Sequence[JobView], batches: Sequence[GiveBatch]) -> set[str | None]:
    """Return the models for which a client waits that got nothing in this plan."""
    given = Counter(job_id for batch in batches for job_id, _ in batch.chunks)
    return {
        job.model
        for job in jobs
        if lane_of(job) is Lane.CALL and len(job.ready) > given[job.job_id] and not job.model_missing
    }


def _place(seats: Sequence[SeatView], model: str, batches: Sequence[GiveBatch]) -> tuple[SeatView, bool] | None:
    """Return the seat for a batch of drafts, and whether it comes beside full slots. None: none has room."""
    taken = Counter(batch.seat for batch in batches if not batch.express)
    urgent = Counter(batch.seat for batch in batches if not batch.express and batch.urgent)
    able = [seat for seat in seats if seat.ready and seat.model == model and not (seat.loading or seat.suspect)]
    able = [seat for seat in able if not any(batch.seat == seat.name and batch.suspect for batch in batches)]
    for seat in sorted(able, key=lambda seat: seat.batches + taken[seat.name] - seat.slots):
        if seat.batches + taken[seat.name] < seat.slots:
            return seat, False
        beside = any(batch.seat == seat.name and batch.express for batch in batches) + seat.express_batches
        if beside < seat.express_slots and seat.urgent + urgent[seat.name] < seat.slots:
            return seat, True
    return None
