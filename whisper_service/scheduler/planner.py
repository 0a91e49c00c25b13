"""What to do next: plan(view) -> steps. Pure; all fairness, batching and admission is decided here.

The rules, in the order in which they bind:
1. A job at the front goes first; the others take turns, the one served longest ago first. A short clip so overtakes a ten-hour
   film at the next batch, and no job starves.
2. Chunks of all jobs that share a batch key (model, preset, prompt) fill a batch together.
3. A job starts with one chunk and may then have twice as many in a batch as it had before: 1, 2, 6, 8. First text comes at once.
   The last chunks are shared out between the slots, so that they end together.
4. A job whose language is unknown gives one chunk at a time, in order, until it is known; so its transcript does not depend on timing.
5. A chunk that was in the hands of a dying actor comes in a batch of at most half the size, after a second death alone, with
   nothing beside it in other slots; after a third it is given up. So whatever kills actors costs three of them, and what only
   was in its company is in at most two of those deaths. An actor that was killed from outside says little about its chunks:
   they become smaller batches as well, but many more such deaths are needed to give one up.
6. A call - somebody waits for its answer - is at the front with its first chunks, behind what a user put there, then takes turns like
   all others. It has no company in a batch but other calls, and when every slot is taken, one chunk of it goes beside them: it
   neither waits for the end of a batch nor for the chunks of others in its own. Where every slot has a batch of calls, nothing
   comes beside them: one more at once would be one less soon.
7. Long recordings never take the last media worker, and only a few are taken up ahead of the model: their spools fill the disk.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final

from whisper_service.core.domain import CALL_RANK, Value

LONG_BYTES: Final = 48 * 1024**2
"""A file above this counts as a long recording: about an hour of common compressed speech, under a second to decode below it."""
LONG_AHEAD: Final = 4
"""Long recordings taken up at the same time."""
SHORT_AHEAD: Final = 64
"""Short ones; their spools are small and they feed cross-job batches."""
LAST_ROWS: Final = 2
"""The smallest batch at the end of the last recording: larger ones are cheaper, but the other slots are idle while the last runs.
Where several have rows left, like clips that come and go, more will come, and half a batch is as small as it gets."""
ALONE_AFTER: Final = 2
"""Actor deaths after which a chunk is given alone, with nothing beside it."""
QUARANTINE_AFTER: Final = 3
"""Actor deaths after which a chunk is given up: in the last one it was alone."""
KILLED_TOO_OFTEN: Final = 10
"""The same for actors that were killed from outside: something may do that to whoever works on this chunk."""
CALL_CHUNKS: Final = 8
"""Chunks that a call has priority for, some minutes of sound."""
PATIENCE_S: Final = 30.0
"""How long a job for another model waits before the loaded model is changed for it, though there is work for the loaded one."""
HELD_LOADS: Final = 5.0
"""A model that has work is kept for this many times what it took to load: else loading would be most of the work."""
HELD_S: Final = 1.0
"""And for at least this long, so that it gives a batch before the next one is loaded."""
MISSING_AHEAD: Final = 64
"""Jobs that wait for a model to arrive beside those that can be worked on."""


class ReadyChunk(Value, frozen=True):
    """A chunk that waits; its samples are in the spool."""

    index: int
    attempts: int = 0  # deaths of actors that died by themselves
    kills: int = 0  # and of those that were killed from outside

    @property
    def deaths(self) -> int:
        """Actors that died with it in their hands."""
        return self.attempts + self.kills


class JobView(Value, frozen=True):
    """A job that is taken up, as the planner sees it."""

    job_id: str
    model: str | None  # None: not decided yet
    batch_key: str  # rows with equal keys may share a batch
    rank: float = 0.0  # below zero: at the front
    order: int = 0  # in which the jobs were taken up
    bytes: int = 0
    decode: str = "done"  # waiting | running | done
    ready: tuple[ReadyChunk, ...] = ()  # in order; the first ones are enough
    in_flight: int = 0
    served: int = 0  # chunks given so far
    last_turn: int = 0  # of the job's last batch; 0: never
    language_known: bool = True
    since: float = 0.0  # when it last got a batch, or was taken up
    model_missing: bool = False  # its model is on its way to this machine


class WaitingJob(Value, frozen=True):
    """A pending job, in queue order."""

    job_id: str
    bytes: int


class MediaSeat(Value, frozen=True):
    """A media actor."""

    name: str
    idle: bool


class SpeechView(Value, frozen=True):
    """The speech actor."""

    ready: bool = False
    loading: bool = False
    model: str | None = None
    slots: int = 1
    batches: int = 0  # in flight
    urgent: int = 0  # of these, of calls
    suspect: bool = False  # a chunk that must be alone is in flight
    batch_size: int = 8
    express: int = 0  # batches of one row that may be in flight besides
    express_batches: int = 0  # that are
    load_s: float = 0.0  # how long the loaded model took to load
    loaded_at: float = 0.0  # since when it is there
    used_at: float = 0.0  # when the loaded model last had work
    unload_after_s: float = 0.0  # idle time after which it goes; 0: never


class View(Value, frozen=True):
    """All the planner may know."""

    works: tuple[JobView, ...] = ()
    queue: tuple[WaitingJob, ...] = ()
    media: tuple[MediaSeat, ...] = ()
    speech: SpeechView = SpeechView()


class ClaimJob(Value, frozen=True):
    """Take up a pending job."""

    job_id: str


class StartDecode(Value, frozen=True):
    """Give a job's recording to a media actor."""

    job_id: str
    worker: str


class LoadModel(Value, frozen=True):
    """Make another model the loaded one."""

    model: str


class UnloadModel(Value, frozen=True):
    """Give the memory of the loaded model back."""


class GiveBatch(Value, frozen=True):
    """Send these chunks to the speech actor together."""

    rows: tuple[tuple[str, int], ...]  # (job, chunk)
    suspect: bool = False
    urgent: bool = False  # of calls
    express: bool = False  # beside the slots


class FinishJob(Value, frozen=True):
    """Nothing is left to do for this job."""

    job_id: str


Step = ClaimJob | StartDecode | LoadModel | UnloadModel | GiveBatch | FinishJob


def plan(view: View, now: float) -> list[Step]:
    """Every step that can be taken now. `now` is on the clock of `Work.since`."""
    return [*_finish(view), *_admit(view), *_decode(view), *_speak(view, now), *_rest(view, now)]


def _finish(view: View) -> Iterator[Step]:
    for work in view.works:
        if work.decode == "done" and not work.ready and not work.in_flight:
            yield FinishJob(work.job_id)


def _admit(view: View) -> Iterator[Step]:
    missing = deque(work.job_id for work in view.works if work.model_missing)
    aside = {missing.popleft() for _ in range(min(len(missing), MISSING_AHEAD))}  # take no room from others
    counted = [work for work in view.works if work.job_id not in aside]
    long = sum(work.bytes > LONG_BYTES for work in counted)
    short = len(counted) - long
    for job in view.queue:
        if job.bytes > LONG_BYTES:
            if long < LONG_AHEAD:
                long += 1
                yield ClaimJob(job.job_id)
        elif short < SHORT_AHEAD:
            short += 1
            yield ClaimJob(job.job_id)


def _decode(view: View) -> Iterator[Step]:
    idle = [worker.name for worker in view.media if worker.idle]
    reserve = 1 if len(view.media) > 1 else 0
    by_name = {work.job_id: work for work in view.works}
    long_running = sum(work.decode == "running" and work.bytes > LONG_BYTES for work in by_name.values())
    for work in sorted(view.works, key=_turn):
        if work.decode != "waiting" or work.model_missing or not idle:
            continue
        if work.bytes > LONG_BYTES:
            if long_running >= len(view.media) - reserve:
                continue
            long_running += 1
        yield StartDecode(work.job_id, idle.pop(0))


def _speak(view: View, now: float) -> Iterator[Step]:
    speech = view.speech
    if not speech.ready or speech.loading or speech.suspect:
        return
    able = sorted((work for work in view.works if _available(work)), key=_turn)
    if not able:
        soon = [
            work for work in view.works if work.model is not None and not work.model_missing and work.decode != "done"
        ]
        if (
            speech.model is None and soon and not speech.batches + speech.express_batches
        ):  # while the recording is read, its model is loaded
            yield LoadModel(min(soon, key=_turn).model or "")
        return
    model = _choose(able, speech, now)
    if model is not None and model != speech.model:
        if speech.batches + speech.express_batches == 0:
            yield LoadModel(model)
        return  # the present batches end first
    given: dict[str, int] = {}
    for slot in range(speech.slots - speech.batches):
        alone = speech.batches + speech.express_batches + slot == 0
        batch = _fill(
            [w for w in able if w.model == model], given, speech, speech.slots - speech.batches - slot, alone=alone
        )
        if batch is None:
            return
        yield batch
        if batch.suspect:
            return
        for job_id, _ in batch.rows:
            given[job_id] = given.get(job_id, 0) + 1
    beside = speech.batches >= speech.slots > speech.urgent and speech.express_batches < speech.express
    call = next((work for work in able if _waited_for(work) and work.model == model), None)
    if beside and call is not None and not call.ready[0].deaths:
        yield GiveBatch(((call.job_id, call.ready[0].index),), urgent=True, express=True)


def _rest(view: View, now: float) -> Iterator[Step]:
    speech = view.speech
    busy = speech.batches or speech.express_batches or speech.loading
    idle = speech.model is not None and not busy and not view.works and not view.queue
    if idle and speech.unload_after_s and now - speech.used_at >= speech.unload_after_s:
        yield UnloadModel()


def _choose(able: Sequence[JobView], speech: SpeechView, now: float) -> str | None:
    """The model to work with: the loaded one while it has work, unless somebody is at the front, or has lost patience and the
    loaded one has been worth its loading. With n models nobody so waits longer than for n - 1 such turns and the patience."""
    first, loaded = able[0], speech.model
    if all(work.model != loaded for work in able) or _in_front(first):
        return first.model
    if now - speech.loaded_at >= max(HELD_S, HELD_LOADS * speech.load_s):
        for work in able:
            if work.model != loaded and now - work.since > PATIENCE_S:
                return work.model
    return loaded or first.model


def _fill(
    able: Sequence[JobView], given: dict[str, int], speech: SpeechView, free_slots: int, *, alone: bool
) -> GiveBatch | None:
    """One batch, in turns over all jobs with the key of the first; `given` counts rows already given in this plan."""
    left = {work.job_id: deque(work.ready[given.get(work.job_id, 0) :]) for work in able}
    willing = [work for work in able if left[work.job_id] and (work.language_known or not given.get(work.job_id))]
    if not willing:
        return None
    first = willing[0]
    head = left[first.job_id][0]
    if head.deaths >= ALONE_AFTER:  # its turn has come: nothing new is given until it can be alone
        return GiveBatch(((first.job_id, head.index),), suspect=True) if alone else None
    peers = deque(work for work in willing if work.batch_key == first.batch_key and _company(work) == _company(first))
    waiting = sum(len(left[work.job_id]) for work in peers)
    size = max(1, min(speech.batch_size, -(-waiting // free_slots)))
    if all(work.decode == "done" for work in peers):  # nothing more will come: the last batches should end together
        least = LAST_ROWS if len(peers) == 1 else speech.batch_size // 2
        just_given = sum(given.get(work.job_id, 0) for work in peers)
        size = min(size, max(least, -(-(waiting + just_given) // speech.slots)))
    allowance = {work.job_id: max(1, 2 * work.served) if work.language_known else 1 for work in peers}
    rows: list[tuple[str, int]] = []
    while peers and len(rows) < size:
        work = peers.popleft()
        chunk = left[work.job_id].popleft()
        limit = max(1, speech.batch_size >> chunk.deaths)
        if chunk.deaths >= ALONE_AFTER or limit <= len(rows):
            continue
        rows.append((work.job_id, chunk.index))
        size = min(size, limit)
        allowance[work.job_id] -= 1
        if left[work.job_id] and allowance[work.job_id]:
            peers.append(work)
    return GiveBatch(tuple(rows), urgent=_waited_for(first))


def _available(work: JobView) -> bool:
    return (
        bool(work.ready)
        and work.model is not None
        and not work.model_missing
        and (work.language_known or work.in_flight == 0)
    )


def _turn(work: JobView) -> tuple[bool, float, int, int]:
    """Who is next: the front in its own order, then whoever was served longest ago."""
    front = _in_front(work)
    return (not front, work.rank if front else 0.0, work.last_turn, work.order)


def _in_front(work: JobView) -> bool:
    return work.rank < 0 and (work.rank != CALL_RANK or work.served < CALL_CHUNKS)


def _waited_for(work: JobView) -> bool:
    return work.rank == CALL_RANK and _in_front(work)


def _company(work: JobView) -> tuple[bool, bool]:
    """Only those for whom this is the same share a batch."""
    return _in_front(work), _waited_for(work)
