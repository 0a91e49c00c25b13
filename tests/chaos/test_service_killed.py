"""The service is killed at random moments: it goes on by itself, and the transcript is that of an undisturbed run."""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from contextlib import closing
from functools import partial
from pathlib import Path

import anyio
import msgspec
import psutil
import pytest

from testkit.chaos import storm
from testkit.chaos.host import Host
from testkit.chaos.kills import kill_until_ended, start
from testkit.chaos.seats import SEATS
from testkit.scripted_actors import script, text_of
from whisper_service.core.domain import Change, Job, Segment, Status
from whisper_service.storage.store import Store

pytestmark = pytest.mark.anyio
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills the children of a process that is gone")


@pytest.mark.parametrize("seed", [1, 2])
async def test_the_service_killed_at_random_moments(tmp_path: Path, seed: int) -> None:
    lengths = {"film": 60, "talk": 25, "clip": 1}
    files = []
    for name, chunks in lengths.items():
        path = tmp_path / name
        path.write_bytes(script(name=name, chunks=chunks, delay=0.06, decode_delay=0.005, sure=0.9))
        files.append(path)
    seats = max(SEATS, seed)  # the second seed meets two
    kills = await kill_until_ended("fake", tmp_path / "data", files, seed, (0.5, 1.6), seats)
    print(f"killed {kills} times")
    assert kills >= 2

    database = tmp_path / "data" / "whisper_service.db"
    with sqlite3.connect(database) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    async with Store.open(database) as store:
        jobs = {job.name: job for job in await store.jobs(limit=100)}
        assert set(jobs) == set(lengths)
        for name, job in jobs.items():
            assert (job.status, job.gaps, job.chunks_done) == (Status.COMPLETED, (), lengths[name])
            segments = await store.segments(job.id)
            assert [segment.text for segment in segments] == [text_of(n) for n in range(lengths[name])]
            log = await store.change_log.changes(0, job_id=job.id, limit=100_000)
            check_log(job, segments, log)
        left = {path.name for folder in ("media", "spool", "peaks") for path in (tmp_path / "data" / folder).iterdir()}
        assert left == {job.id for job in jobs.values()}


def check_log(job: Job, segments: list[Segment], log: list[Change]) -> None:
    """The log of a job tells each segment once, progress that never falls, and at last the job as it is."""
    told = [msgspec.json.decode(c.payload)["segment"] for c in log if c.kind == "segment"]
    assert sorted((s["chunk"], s["index"]) for s in told) == [(s.chunk, s.index) for s in segments]
    updates = [msgspec.json.decode(c.payload, type=Job) for c in log if c.kind == "update"]
    assert [u.progress for u in updates] == sorted(u.progress for u in updates)
    assert updates[-1] == job


@pytest.mark.parametrize("stopped", [False, pytest.param(True, marks=LINUX)])
def test_the_children_of_a_killed_service_leave(tmp_path: Path, stopped: bool) -> None:
    path = tmp_path / "film"
    path.write_bytes(script(name="film", chunks=500, delay=0.05))
    process = start("fake", tmp_path / "data", [path])
    assert process.stdout is not None
    assert process.stdout.readline() == "submitted\n"
    with closing(sqlite3.connect(tmp_path / "data" / "whisper_service.db", timeout=10)) as connection:
        while connection.execute("SELECT chunks_done FROM job").fetchone() == (0,):
            time.sleep(0.1)
    children = psutil.Process(process.pid).children(recursive=True)
    actors = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
    assert actors
    for actor in actors if stopped else []:
        actor.suspend()
    os.kill(process.pid, 9)
    process.communicate()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive


@LINUX
async def test_a_child_that_was_stopped_in_its_first_moments_is_ended_by_the_next_service(tmp_path: Path) -> None:
    """It had not asked the kernel yet to be killed with its parent.

    Whether it is caught in time is luck: a few tries.
    """
    host = Host(tmp_path, tmp_path, storm.FAKES, storm.Plan(0, 0).settings)
    left: list[psutil.Process] = []
    try:
        for _ in range(10):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(host.start)
                while True:
                    await anyio.sleep(0.001)
                    if born := newborn(host):
                        break
                born[0].suspend()
            await anyio.sleep(0.2)  # the others get ready
            host.process.kill()
            host.process.wait()
            host.process.stdout.close()  # type: ignore[union-attr]
            await anyio.sleep(0.5)
            left = [child for child in born[:1] if child.is_running()]
            if left:
                break
        assert left, "none was caught in time"
        await host.start()
        _, alive = await anyio.to_thread.run_sync(partial(psutil.wait_procs, left, timeout=10))
        assert not alive
    finally:
        for process in left:
            if process.is_running():
                process.kill()
        host.abandon()


def newborn(host: Host) -> list[psutil.Process]:
    """The actors of a service that is just starting."""
    try:
        children = psutil.Process(host.process.pid).children()
        return [child for child in children if "spawn_main" in " ".join(child.cmdline())]
    except (AttributeError, psutil.NoSuchProcess):
        return []
