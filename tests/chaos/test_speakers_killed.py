"""The speakers actor, and the service, are killed at random moments: the speakers are those of an undisturbed run."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest

from testkit.chaos.kills import kill_until_ended, start
from testkit.chaos.seats import SEATS, devices
from testkit.scripted_actors import script
from testkit.service import ended, open_service, placeholder_networks, send
from whisper_service.core.domain import Options, Status
from whisper_service.storage.store import Store

pytestmark = pytest.mark.anyio
PLAYS: dict[str, dict[str, Any]] = {
    "film": {"chunks": 40, "people": "ABCABBACD", "segments": 2},
    "talk": {"chunks": 20, "people": "AB"},
    "clip": {"chunks": 1},
}
Rows = dict[str, list[Any]]


def rows(database: Path) -> Rows:
    """Return what is known of text and speakers, by the name of the job."""
    with closing(sqlite3.connect(database, timeout=10)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        jobs = dict(connection.execute("SELECT name, id FROM job"))
        tables = {
            "segment": 'chunk, "index", start, "end", text, words',
            "speaker": "id, name, position, colour, seconds, centroid",
            "speaker_timeline": "turns, wanted",
            "voice": "chunk, data",
        }
        return {
            name: [
                connection.execute(f"SELECT {columns} FROM {table} WHERE job_id = ? ORDER BY 1, 2", [job_id]).fetchall()
                for table, columns in tables.items()
            ]
            for name, job_id in jobs.items()
        }


def recordings(folder: Path, **more: Any) -> list[Path]:
    folder.mkdir()
    for name, play in PLAYS.items():
        (folder / name).write_bytes(script(name=name, sure=0.9, **play, **more))
    return [folder / name for name in PLAYS]


@pytest.mark.parametrize("seed", [1, 2])
async def test_the_service_killed_at_random_moments_names_the_same_speakers(tmp_path: Path, seed: int) -> None:
    calm, storm = tmp_path / "calm", tmp_path / "storm"
    calm.mkdir()
    storm.mkdir()
    process = start("speakers", calm / "data", recordings(calm / "in"))
    process.communicate(timeout=120)
    assert process.returncode == 0
    undisturbed = rows(calm / "data" / "whisper_service.db")
    assert len(undisturbed["film"][1]) == 4
    files = recordings(storm / "in", delay=0.03, voice_delay=0.05)
    kills = await kill_until_ended("speakers", storm / "data", files, seed, (0.9, 2.4), max(SEATS, seed))
    print(f"killed {kills} times")
    assert kills >= 2
    assert rows(storm / "data" / "whisper_service.db") == undisturbed
    async with Store.open(storm / "data" / "whisper_service.db") as store:
        for job in await store.jobs(limit=10):
            assert (job.status, job.gaps, job.history) == (Status.COMPLETED, (), ())
            told = [c.kind for c in await store.change_log.changes(0, job_id=job.id, limit=100_000)]
            assert 1 <= told.count("speakers") <= 1 + kills


@pytest.mark.parametrize("seed", [1, 2])
async def test_the_speakers_actor_killed_at_random_moments_names_the_same_speakers(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    options = Options(language="en", speakers="auto")
    for name in ("calm", "storm"):
        (tmp_path / name).mkdir()
        placeholder_networks(tmp_path / name)
    async with open_service(tmp_path / "calm") as service:
        await ended(service, (await send(service, name="film", options=options, **PLAYS["film"])).id)
    killed = 0
    async with open_service(tmp_path / "storm", speech={"device": devices(max(SEATS, seed))}) as service:
        actor = service.parts.context.speakers.actor
        job = await send(service, name="film", voice_delay=0.1, options=options, **PLAYS["film"])

        async def kill() -> None:
            nonlocal killed
            while True:
                await anyio.sleep(chance.uniform(0.3, 1.2))
                if actor.pid is not None and actor.ready_generation:
                    psutil.Process(actor.pid).kill()
                    killed += 1

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(kill)
            done = await ended(service, job.id)
            tasks.cancel_scope.cancel()
        assert (done.status, done.speakers, done.history) == (Status.COMPLETED, 4, ())
    print(f"killed {killed} times")
    assert killed >= 3
    calm, storm = (rows(tmp_path / name / "data" / "whisper_service.db") for name in ("calm", "storm"))
    assert storm == calm
