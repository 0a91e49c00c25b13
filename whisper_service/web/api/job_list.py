"""Define a page of the list of jobs, as `/api/jobs` and `/api/state` answer it."""

from __future__ import annotations

import msgspec

from whisper_service.core.domain import Job, Value
from whisper_service.storage.browse import Found, JobPage


class JobList(Value, frozen=True):
    """A page of the list of jobs, newest first.

    `next` is the `before` of the next page; None on the last page. `counts` has the number of jobs by status: of all
    jobs, or of all that the search finds (of the newest five hundred of those if `complete` is false). `found` says
    where the search found something, by job id.
    """

    jobs: list[Job]
    next: str | None
    counts: dict[str, int]
    found: dict[str, Found] = msgspec.field(default_factory=dict)
    complete: bool = True


def job_list(page: JobPage, limit: int) -> JobList:
    """Return at most `limit` jobs of a page. `page` has one more if another page follows."""
    jobs = page.jobs[:limit]
    following = jobs[-1].id if len(page.jobs) > limit else None
    counts = {status.value: number for status, number in page.counts.items()}
    found = {job.id: page.found[job.id] for job in jobs if job.id in page.found}
    return JobList(jobs, following, counts, found, page.complete)
