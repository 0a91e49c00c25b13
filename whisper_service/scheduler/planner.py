"""Decide what to do next: `plan(view)` returns the steps. Pure. Fairness, batching and admission are decided here.

The rules, in the order in which they bind:

1. Jobs that users put at the front come first, then calls (rule 6), then short recordings (rule 7). The others take
   turns: the job whose last batch is longest ago is next.
2. Chunks of all jobs that share a batch key (model, preset, prompt) fill a batch together.
3. A job gets one chunk into its first batch, and later up to twice as many as it got before: 1, 2, 6, 8. Its first
   text comes at once. The last chunks are divided among the slots, so that all slots end together.
4. A job whose language is unknown gives one chunk at a time, in order, until its language is known. Its transcript
   does not depend on timing.
5. A chunk whose actor died comes in a batch of at most half the size. After the second death it comes alone, while
   every other slot is empty. After the third it is given up. A chunk that kills actors costs three of them. A chunk
   that was only in its company is in at most two of those deaths. A kill from outside says little about the chunks:
   they come in smaller batches as well, but many more kills are needed to give one up.
6. A call has a client that waits. Its first chunks are at the front, behind the jobs that users put there. Then it
   takes turns like any job. Calls share batches with calls only. While every slot is taken, one chunk of a call comes
   beside the slots: it waits neither for the end of a batch nor for other chunks. While every slot has an urgent batch,
   of calls or short recordings, nothing comes beside them: one batch more would make theirs later.
7. A recording shorter than a minute has the lane of calls, behind them: its first chunks are urgent, and one of them
   comes beside the slots. Its length is what its file says, or what was read of it where that is more.
8. Short recordings have their share: half of the slots, and one batch in any case. Beyond it nothing short comes beside
   the slots, and a free slot goes to other jobs that wait. Where the share is used up by calls, or where there is only
   one slot, short recordings and other jobs take turns, and short ones count as if they had waited ten seconds longer.
   Beside the only slot come at most as many of their chunks as a full batch has, then the next batch is due. So a flood
   of clips leaves a long recording its share, and the clips have theirs. A job at the front needs no share.
9. Where both wait, calls have four chunks for each chunk of the other jobs. Once they are four full batches ahead, a
   free slot goes to the others, and no call comes beside the slots. So a stream of calls leaves the others a fifth of
   the chunks, and a call waits for one of their batches at most.
10. Each seat (device) has its own model, slots and share of calls and short recordings. Which seat has which model is
    decided in `model_choice`, which seat gets a batch in `placement`. A batch that takes far too long is given to a
    second seat while nothing else waits. On several seats, rule 5 binds one of them: the others go on. When many slots
   are free at once, every job that takes turns gets into a batch before any of them gets into a second one.
11. Drafts of live sessions come behind calls and behind the chunks of live sessions, one batch at a time
    (`draft_plan`).
12. Speakers never hold text up (`speakers_plan`): they follow it, and a job whose text is there waits for them.
"""

from __future__ import annotations

from collections.abc import Iterator

from whisper_service.scheduler.admission import claim, decode, follow
from whisper_service.scheduler.batches import give_batches
from whisper_service.scheduler.draft_plan import plan_drafts
from whisper_service.scheduler.lanes import Lane, is_urgent, lane_of, turn
from whisper_service.scheduler.model_choice import choose_models
from whisper_service.scheduler.placement import Pool, second_tries
from whisper_service.scheduler.speakers_plan import has_all_text, plan_speakers, waits_for_speakers
from whisper_service.scheduler.views import FinishJob, JobView, LoadModel, SeatView, Step, UnloadModel, View


def plan(view: View, now: float) -> list[Step]:
    """Return every step that can be taken now. `now` is on the clock of `JobView.waiting_since`."""
    batches = list(_transcribe(view, now))
    return [
        *_finish(view),
        *claim(view),
        *decode(view),
        *follow(view),
        *batches,
        *plan_drafts(view, batches, now),
        *plan_speakers(view, now),
        *_unload(view, now),
    ]


def _finish(view: View) -> Iterator[Step]:
    for job in view.jobs:
        if has_all_text(job) and not waits_for_speakers(job, view.speakers):
            yield FinishJob(job.job_id)


def _transcribe(view: View, now: float) -> Iterator[Step]:
    able = sorted(filter(is_able, view.jobs), key=turn)
    models = choose_models(view, able, now)
    pools: dict[str, list[SeatView]] = {}
    for seat in view.seats:
        model = models.get(seat.name)
        if model is not None and model == seat.model:
            pools.setdefault(model, []).append(seat)
        elif model is not None and not seat.busy:  # else the batches of the loaded model end first
            yield LoadModel(model, seat.name)
    short_at_work = any(job.in_flight and lane_of(job) is Lane.SHORT for job in view.jobs)
    others = any(not is_urgent(job) and (job.in_flight or is_able(job)) for job in view.jobs)
    for model, seats in pools.items():
        having = seats if len(seats) == len(view.seats) else [s for s in view.seats if s.ready and s.model == model]
        pool = Pool(seats, shared=len(having) > 1, has_suspect=any(seat.suspect for seat in having))
        mine = [job for job in able if job.model == model]
        yield from give_batches(mine, pool, short_at_work=short_at_work, others=others)
    if len(view.seats) > 1:
        leaving = {seat.name for seat in view.seats if models.get(seat.name) not in (None, seat.model)}
        yield from second_tries(view.seats, leaving, {job.model for job in able if job.model})


def _unload(view: View, now: float) -> Iterator[Step]:
    for seat in view.seats if not view.jobs and not view.queue else ():
        idle = seat.model is not None and not seat.busy and not seat.loading
        if idle and seat.unload_after_s and now - seat.used_at >= seat.unload_after_s:
            yield UnloadModel(seat.name)


def is_able(job: JobView) -> bool:
    """Return whether a chunk of the job can be given now."""
    given = job.language_known or not job.in_flight
    return given and bool(job.ready) and job.model is not None and not job.model_missing
