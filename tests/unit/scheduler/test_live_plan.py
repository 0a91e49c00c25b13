"""Live sessions in the plan."""

from __future__ import annotations

from msgspec.structs import replace

from tests.unit.scheduler.planner_views import work
from whisper_service.core.domain import CALL_RANK
from whisper_service.scheduler.admission import MAX_SHORT, MORE_AT_FRONT
from whisper_service.scheduler.lanes import Lane, lane_of
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

MEDIA = (MediaActorView("media-1", idle=True),)


def session(job_id: str, decoding: Decoding = Decoding.WAITING) -> JobView:
    return replace(work(job_id, decoding=decoding), live=True, rank=CALL_RANK, duration_s=None)


def test_a_session_is_followed_and_never_given_to_a_media_actor() -> None:
    assert plan(View(jobs=(session("a"), session("b", Decoding.RUNNING)), media=MEDIA), 0.0) == [FollowSession("a")]
    other = replace(session("c"), live=False)
    assert plan(View(jobs=(other,), media=MEDIA), 0.0) == [StartDecode("c", "media-1")]


def test_a_session_keeps_the_lane_of_calls_however_long_it_lasts() -> None:
    long = replace(session("a"), given=10_000)
    assert lane_of(long) is Lane.CALL
    assert lane_of(replace(long, live=False)) is Lane.TURNS
    assert lane_of(replace(long, rank=-5.0)) is Lane.FRONT


def test_sessions_take_no_place_of_other_jobs() -> None:
    sessions = tuple(session(f"live{n}", Decoding.RUNNING) for n in range(MAX_SHORT + MORE_AT_FRONT))
    assert plan(View(jobs=sessions, queue=(WaitingJob("clip", 1, 3.0),)), 0.0) == [ClaimJob("clip")]
