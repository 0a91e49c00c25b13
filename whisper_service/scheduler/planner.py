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
10. Speakers never hold text up (`speakers_plan`): they follow it, and a job whose text is there waits for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from whisper_service.scheduler.admission import claim, decode
from whisper_service.scheduler.batches import fill_slots, give_beside
from whisper_service.scheduler.lanes import Lane, is_urgent, lane_of, turn
from whisper_service.scheduler.speakers_plan import has_all_text, plan_speakers, waits_for_speakers
from whisper_service.scheduler.views import (
    Decoding,
    FinishJob,
    JobView,
    LoadModel,
    SpeechView,
    Step,
    UnloadModel,
    View,
)

SWITCH_AFTER_S: Final = 30.0
"""Seconds that a job waits for its model while the loaded model has work."""
KEEP_LOADS: Final = 5.0
"""A model with work is kept for so many times the seconds that it took to load. Else most of the work is loading."""
KEEP_S: Final = 1.0
"""Seconds that a model with work is kept at least: it gives a batch before the next model is loaded."""


def plan(view: View, now: float) -> list[Step]:
    """Return every step that can be taken now. `now` is on the clock of `JobView.waiting_since`."""
    return [
        *_finish(view),
        *claim(view),
        *decode(view),
        *_transcribe(view, now),
        *plan_speakers(view, now),
        *_unload(view, now),
    ]


def _finish(view: View) -> Iterator[Step]:
    for job in view.jobs:
        if has_all_text(job) and not waits_for_speakers(job, view.speakers):
            yield FinishJob(job.job_id)


def _transcribe(view: View, now: float) -> Iterator[Step]:
    speech = view.speech
    if not speech.ready or speech.loading or speech.suspect:
        return
    able = sorted((job for job in view.jobs if is_able(job)), key=turn)
    model = _choose_model(able, speech, now) if able else _model_ahead(view)
    if model is None:
        return
    if model != speech.model:
        if not speech.busy:  # else the batches of the loaded model end first
            yield LoadModel(model)
        return
    able = [job for job in able if job.model == model]
    short_at_work = any(job.in_flight and lane_of(job) is Lane.SHORT for job in view.jobs)
    batches = list(fill_slots(able, speech, short_at_work=short_at_work))
    yield from batches
    if not any(batch.suspect for batch in batches):
        others = any(not is_urgent(job) and (job.in_flight or is_able(job)) for job in view.jobs)
        yield from give_beside(able, speech, batches, others=others)


def _unload(view: View, now: float) -> Iterator[Step]:
    speech = view.speech
    idle = speech.model is not None and not speech.busy and not speech.loading and not view.jobs and not view.queue
    if idle and speech.unload_after_s and now - speech.used_at >= speech.unload_after_s:
        yield UnloadModel()


def _model_ahead(view: View) -> str | None:
    """Return the model to load while the recording is read. None: a model is loaded, or no job needs one."""
    soon = [job for job in view.jobs if job.model and not job.model_missing and job.decoding is not Decoding.DONE]
    return min(soon, key=turn).model if soon and view.speech.model is None else None


def _choose_model(able: Sequence[JobView], speech: SpeechView, now: float) -> str | None:
    """Return the model to work with: the loaded one while it has work.

    Another one is chosen earlier for a job at the front, or for a job that has waited too long, once the loaded model
    was worth its loading. With n models, no job waits longer than n - 1 such stretches and `SWITCH_AFTER_S`. A model
    that was loaded for such a job gives it a batch before a call can have another one.
    """
    first, loaded = able[0], speech.model
    overdue = [job.model for job in able if now - job.waiting_since > SWITCH_AFTER_S]
    lane = lane_of(first)
    if lane is Lane.FRONT or all(job.model != loaded for job in able):
        return first.model
    if lane is Lane.CALL and first.model != loaded:
        return loaded if loaded in overdue else first.model
    if now - speech.loaded_at >= max(KEEP_S, KEEP_LOADS * speech.load_s):
        return next((model for model in overdue if model != loaded), loaded)
    return loaded


def is_able(job: JobView) -> bool:
    """Return whether a chunk of the job can be given now."""
    ready = bool(job.ready) and job.model is not None and not job.model_missing
    return ready and (job.language_known or job.in_flight == 0)
