"""The planner: which jobs are taken into work, and which recordings are read."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from tests.unit.scheduler.planner_views import (
    work,
)
from whisper_service.core.domain import CALL_RANK
from whisper_service.scheduler import admission
from whisper_service.scheduler.planner import plan
from whisper_service.scheduler.views import (
    ClaimJob,
    Decoding,
    FollowSession,
    JobView,
    MediaActorView,
    StartDecode,
    View,
    WaitingJob,
)


def test_long_recordings_leave_a_media_actor_for_short_ones() -> None:
    long = admission.LONG_BYTES + 1
    actors = (MediaActorView("m1", True), MediaActorView("m2", True))
    works = (
        work("x", decoding=Decoding.WAITING, bytes=long),
        work("y", decoding=Decoding.WAITING, bytes=long, order=1),
        work("z", decoding=Decoding.WAITING, order=2),
    )
    assert plan(View(jobs=works, media=actors), 0.0) == [StartDecode("z", "m1"), StartDecode("x", "m2")]
    assert plan(View(jobs=works[:2], media=actors), 0.0) == [StartDecode("x", "m1")]
    assert plan(View(jobs=works[:1], media=(MediaActorView("only", True),)), 0.0) == [StartDecode("x", "only")]


def test_files_of_some_minutes_leave_a_media_actor_for_small_ones() -> None:
    actors = (MediaActorView("m1", False), MediaActorView("m2", True))

    def decodes(at_work: int, *waiting: int) -> list[int]:
        """Return the sizes that are decoded next while one file is decoded."""
        sizes = {f"w{n}": size for n, size in enumerate(waiting)}
        jobs = (
            work("at work", decoding=Decoding.RUNNING, bytes=at_work),
            *(
                work(name, decoding=Decoding.WAITING, bytes=size, order=n)
                for n, (name, size) in enumerate(sizes.items())
            ),
        )
        steps = plan(View(jobs=jobs, media=actors), 0.0)
        return [sizes[step.job_id] for step in steps if isinstance(step, StartDecode)]

    small, middle, long = admission.SMALL_BYTES, admission.SMALL_BYTES + 1, admission.LONG_BYTES + 1
    assert decodes(middle, middle) == decodes(long, long) == []
    assert decodes(middle, middle, middle, small) == decodes(long, long, middle, small) == [small]
    assert decodes(long, middle) == [middle], "minutes of decoding are too long to wait for"
    assert decodes(middle, long) == [long]
    assert decodes(small, middle) == [middle]


def test_only_a_few_long_recordings_are_taken_up_but_short_ones_pass_them() -> None:
    long = admission.LONG_BYTES + 1
    queue = (*(WaitingJob(f"l{n}", long) for n in range(10)), WaitingJob("short", 1))
    assert plan(View(queue=queue), 0.0) == [*(ClaimJob(f"l{n}") for n in range(admission.MAX_LONG)), ClaimJob("short")]


def test_many_recordings_in_work_leave_some_places_for_small_files() -> None:
    middle = admission.SMALL_BYTES + 1
    works = tuple(work(f"w{n}", 1, bytes=middle) for n in range(admission.MAX_SHORT))
    queue = (WaitingJob("middle", middle), *(WaitingJob(f"s{n}", 1) for n in range(admission.MAX_SHORT)))
    claimed = [step.job_id for step in plan(View(jobs=works, queue=queue), 0.0) if isinstance(step, ClaimJob)]
    assert claimed == [f"s{n}" for n in range(admission.MAX_SHORT // 8)]


def test_no_length_of_recordings_takes_all_the_places() -> None:
    def claimed(at_work: str, waiting: str, **fields: float) -> str:
        """Return the lengths of what is claimed, by their first letters."""
        lengths = {"s": 5.0, "m": 600.0, "l": 9_000.0}
        works = tuple(work(f"w{n}", 1, duration_s=lengths[kind]) for n, kind in enumerate(at_work))
        queue = tuple(WaitingJob(f"{kind}{n}", 1, lengths[kind], **fields) for n, kind in enumerate(waiting))
        return "".join(
            step.job_id[0] for step in plan(View(jobs=works, queue=queue), 0.0) if isinstance(step, ClaimJob)
        )

    most, kept = admission.MAX_SHORT, admission.MAX_TOGETHER - admission.MAX_SHORT
    assert claimed("", "s" * 200) == "s" * most
    assert claimed("s" * most, "s" * 9 + "m" * 200) == "m" * kept, "a stream of clips leaves places"
    assert claimed("m" * most, "m" * 9 + "s" * 200) == "s" * kept
    assert claimed("m" * most + "s" * kept, "smsm" + "l" * 9) == "l" * admission.MAX_LONG
    full = "m" * most + "s" * kept + "l" * admission.MAX_LONG
    assert claimed(full, "sml") == ""
    assert claimed(full, "smllll", rank=CALL_RANK) == "smll", "a call does not wait until a recording is complete"


def test_what_a_file_states_counts_more_than_its_bytes() -> None:
    big, small = admission.LONG_BYTES + 1, 1
    queue = (
        *(WaitingJob(f"l{n}", small, admission.LONG_S + 1) for n in range(9)),
        WaitingJob("phone", big, 20.0),
    )
    claimed = [step.job_id for step in plan(View(queue=queue), 0.0) if isinstance(step, ClaimJob)]
    assert claimed == [*(f"l{n}" for n in range(admission.MAX_LONG)), "phone"]
    works = (
        work("talk", decoding=Decoding.WAITING, bytes=small, duration_s=900.0),
        work("phone", decoding=Decoding.WAITING, bytes=big, duration_s=20.0, order=1),
    )
    assert plan(View(jobs=works, media=(MediaActorView("m", True),)), 0.0) == [StartDecode("phone", "m")]


def test_a_job_that_comes_last_is_seen_if_few_are_before_it() -> None:
    queue: tuple[WaitingJob, ...] = ()
    for n in range(admission.HEADS + 9):
        queue = admission.with_last(queue, WaitingJob(f"m{n}", 1, 600.0))
    assert [job.job_id for job in queue] == [f"m{n}" for n in range(admission.HEADS)]
    assert admission.with_last(queue, WaitingJob("clip", 1, 5.0))[-1].job_id == "clip"


def test_a_recording_that_is_fetched_is_read_when_it_is_here_and_nobody_waits_behind_it() -> None:
    actors = (MediaActorView("media-1", idle=True), MediaActorView("media-2", idle=True))
    long = admission.LONG_BYTES + 1
    away = tuple(work(f"a{n}", decoding=Decoding.WAITING, away=True, bytes=long) for n in range(admission.MAX_LONG + 1))
    session = work("s", decoding=Decoding.WAITING, away=True, live=True)
    here = work("h", decoding=Decoding.WAITING, bytes=long)
    steps = plan(View(jobs=(*away, session, here), queue=(WaitingJob("next", long),), media=actors), 0.0)
    assert steps == [ClaimJob("next"), StartDecode("h", "media-1")]
    came = plan(View(jobs=(replace(away[0], away=False), replace(session, away=False)), media=actors), 0.0)
    assert came == [StartDecode("a0", "media-1"), FollowSession("s")]


def test_jobs_that_wait_for_a_model_take_no_room_from_others_but_are_not_without_number() -> None:
    long = admission.LONG_BYTES + 1
    waits = tuple(
        work(f"w{n}", decoding=Decoding.WAITING, model_missing=True, bytes=long)
        for n in range(admission.MAX_WITHOUT_MODEL)
    )
    queue = tuple(WaitingJob(f"l{n}", long) for n in range(admission.MAX_LONG + 2))
    claimed = [step for step in plan(View(jobs=waits, queue=queue), 0.0) if isinstance(step, ClaimJob)]
    assert len(claimed) == admission.MAX_LONG
    more = (
        *waits,
        *(work(f"m{n}", decoding=Decoding.WAITING, model_missing=True, bytes=long) for n in range(admission.MAX_LONG)),
    )
    assert plan(View(jobs=more, queue=queue), 0.0) == []


def far_decodes(*works: JobView, here: int = 0, there: int = 2) -> list[tuple[str, str]]:
    """Return which idle media actor reads which recording, with two here of which one is kept for short ones."""
    actors = (
        *(MediaActorView(f"m{n}", idle=n < here) for n in range(2)),
        *(MediaActorView(f"far{n}", idle=n < there, far=True) for n in range(2)),
    )
    steps = plan(View(jobs=works, media=actors), 0.0)
    return [(step.job_id, step.media_actor) for step in steps if isinstance(step, StartDecode)]


def test_recordings_that_are_not_short_are_read_on_other_machines_and_short_ones_here() -> None:
    middle, long = admission.SMALL_BYTES + 1, admission.LONG_BYTES + 1
    works = (
        work("long", decoding=Decoding.WAITING, bytes=long),
        work("middle", decoding=Decoding.WAITING, bytes=middle, order=1),
        work("short", decoding=Decoding.WAITING, bytes=1, order=2),
    )
    assert far_decodes(*works, here=2) == [("short", "m0"), ("long", "far0"), ("middle", "far1")]
    assert far_decodes(*works, here=2, there=1) == [("short", "m0"), ("long", "far0"), ("middle", "m1")]
    assert far_decodes(*works, there=2) == [("short", "far0"), ("long", "far1")], "nobody is idle here"
    assert far_decodes(*works, there=0) == []


def test_what_other_machines_read_takes_no_place_here() -> None:
    long = admission.LONG_BYTES + 1
    there = [work(f"t{n}", decoding=Decoding.RUNNING, bytes=long, media_actor=f"far{n}") for n in range(2)]
    waiting = work("waiting", decoding=Decoding.WAITING, bytes=long)
    assert far_decodes(*there, waiting, here=2, there=0) == [("waiting", "m0")]
    here = work("here", decoding=Decoding.RUNNING, bytes=long, media_actor="m1")
    assert far_decodes(*there, here, waiting, here=1, there=0) == [], "one is kept for short recordings"
    assert far_decodes(here, waiting, here=1, there=1) == [("waiting", "far0")]


def test_some_recordings_stay_here() -> None:
    hour = 3_600.0
    film, speech = int(hour * admission.FAR_BYTES_PER_S) + 1, int(hour * admission.FAR_BYTES_PER_S)

    def reads(**fields: Any) -> list[tuple[str, str]]:
        return far_decodes(work("job", decoding=Decoding.WAITING, **fields), here=1)

    assert reads(bytes=speech, duration_s=hour) == [("job", "far0")]
    assert reads(bytes=film, duration_s=hour) == [("job", "m0")], "to send it costs more than to decode it"
    assert reads(bytes=admission.FAR_BYTES) == [("job", "far0")]
    assert reads(bytes=admission.FAR_BYTES + 1) == [("job", "m0")]
    assert reads(bytes=speech, duration_s=hour, at_home=True) == [("job", "m0")]
