"""Which recordings and jobs are due: the oldest first, and never what may still be needed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_service.app.retention import DAY_S, DueJobs, due
from whisper_service.config.schema import StorageSettings
from whisper_service.core.domain import Status
from whisper_service.core.job_states import OPEN, TERMINAL
from whisper_service.storage.queries import StoredJob

DONE = Status.COMPLETED


def kept(
    name: str, at: float | None, status: Status = DONE, *, size: int = 10, gaps: bool = False, gone: bool = False
) -> StoredJob:
    return StoredJob(name, status, at, size, gaps, gone)


JOBS = [
    kept("new", 90.0),
    kept("old", 10.0),
    kept("gone", 5.0, gone=True),
    kept("failed", 20.0, Status.FAILED),
    kept("gappy", 15.0, gaps=True),
    kept("cancelled", 30.0, Status.CANCELLED),
    kept("waiting", None, Status.PENDING, size=1_000),
    kept("again", 1.0, Status.PROCESSING, size=0),
]


def rules(media_s: float = 0, jobs_s: float = 0, media_bytes: int = 0) -> StorageSettings:
    return StorageSettings(keep_media_days=media_s / DAY_S, keep_jobs_days=jobs_s / DAY_S, max_media_bytes=media_bytes)


@pytest.mark.parametrize(
    ("limits", "wanted"),
    [
        (rules(), DueJobs([], [])),
        (rules(media_s=75), DueJobs(["old", "gappy", "failed"], [])),
        (rules(media_s=1_000), DueJobs([], [])),
        (rules(jobs_s=75), DueJobs([], ["gone", "old", "gappy", "failed"])),
        (rules(media_s=50, jobs_s=84), DueJobs(["failed", "cancelled"], ["gone", "old", "gappy"])),
        (rules(media_bytes=1_050), DueJobs([], [])),
        (rules(media_bytes=1_049), DueJobs(["old"], [])),
        (rules(media_bytes=1_031), DueJobs(["old", "cancelled"], [])),
        (rules(media_bytes=1), DueJobs(["old", "cancelled", "new"], [])),  # there is no more that may go
        (rules(media_bytes=1_021, media_s=81), DueJobs(["old", "gappy", "cancelled"], [])),
    ],
)
def test_what_is_due(limits: StorageSettings, wanted: DueJobs) -> None:
    assert due(limits, JOBS, 100.0) == wanted


WITH_COPIES = [
    StoredJob("new", DONE, 90.0, 10, False, False, copy_bytes=3),
    StoredJob("failed", Status.FAILED, 20.0, 10, False, False, copy_bytes=4),
    StoredJob("old", DONE, 10.0, 10, False, False),
    StoredJob("again", Status.PROCESSING, None, 10, False, False, copy_bytes=2),
]


@pytest.mark.parametrize(
    ("limits", "wanted"),
    [
        (rules(media_bytes=49), DueJobs([], [])),
        (rules(media_bytes=48), DueJobs([], [], ("failed",))),
        (rules(media_bytes=44), DueJobs([], [], ("failed", "new"))),
        (rules(media_bytes=41), DueJobs(["old"], [], ("failed", "new"))),
        (rules(media_bytes=31), DueJobs(["old", "new"], [], ("failed",))),  # a recording takes its copy along
        (rules(media_s=75, media_bytes=22), DueJobs(["old", "failed"], [], ("new",))),
    ],
)
def test_copies_go_before_any_recording(limits: StorageSettings, wanted: DueJobs) -> None:
    assert due(limits, WITH_COPIES, 100.0) == wanted


ANY = st.builds(
    StoredJob,
    id=st.uuids().map(str),
    status=st.sampled_from(Status),
    finished_at=st.none() | st.floats(0, 1_000),
    bytes=st.integers(0, 100),
    gaps=st.booleans(),
    media_removed=st.booleans(),
    copy_bytes=st.integers(0, 30),
)
RULES = st.builds(
    rules,
    media_s=st.just(0) | st.floats(1, 1_000),
    jobs_s=st.just(0) | st.floats(1, 1_000),
    media_bytes=st.integers(0, 500),
)


@given(RULES, st.lists(ANY, max_size=20, unique_by=lambda job: job.id), st.floats(-1_000, 3_000))
def test_nothing_goes_that_is_not_over_or_not_old_enough(
    limits: StorageSettings, jobs: list[StoredJob], now: float
) -> None:
    media_s, jobs_s = limits.keep_media_days * DAY_S, limits.keep_jobs_days * DAY_S
    found, by_id = due(limits, jobs, now), {job.id: job for job in jobs}
    assert not {*found.media} & {*found.jobs}
    for job_id in found.jobs:
        assert now - (by_id[job_id].finished_at or now) > jobs_s > 0
    assert not {*found.copies} & {*found.media, *found.jobs}
    for job_id in found.copies:
        assert limits.max_media_bytes
        assert by_id[job_id].copy_bytes
    for job_id in (*found.media, *found.jobs, *found.copies):
        assert by_id[job_id].status in TERMINAL
        assert by_id[job_id].status not in OPEN
    left = sum(job.bytes for job in jobs if not job.media_removed and job.id not in {*found.media, *found.jobs})
    for job_id in found.media:
        job = by_id[job_id]
        assert not job.media_removed
        if not (media_s and now - (job.finished_at or now) > media_s):  # it went because room is short
            assert limits.max_media_bytes
            assert not job.gaps
            assert job.status is not Status.FAILED
            assert left <= limits.max_media_bytes or all(
                other.id in {*found.media, *found.jobs}
                or other.media_removed
                or other.gaps
                or other.status not in (DONE, Status.CANCELLED)
                or other.finished_at is None
                for other in jobs
            )
