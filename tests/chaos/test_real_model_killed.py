"""kill -9 of real actors and of the service while the real model works: every job goes on by itself, and nothing shows.

"Nothing" is meant to the last byte: text, words, times and scores are those of an undisturbed run.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from testkit import media_files, prompts, sounds
from testkit.program import BUNDLED, NOT_BUNDLED, Program, serving

pytestmark = [
    pytest.mark.model,
    pytest.mark.skipif(os.name != "posix", reason="signals work differently on this system"),
    pytest.mark.skipif(not prompts.PROMPTS.exists(), reason=prompts.NO_PROMPTS),
    pytest.mark.skipif(not BUNDLED, reason=NOT_BUNDLED),
]
IN_FLIGHT = 2 * 8
"""Rows that can be in the hands of a speech actor: slots times the size of a batch."""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """One service for all; one media actor, so that it is known which one decodes."""
    with serving(tmp_path_factory.mktemp("killed"), media__workers=1, speech__slots=2) as up:
        yield up


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return media_files.write_wav(tmp_path_factory.mktemp("in") / "talk.wav", prompts.talk(*prompts.TALK))


@pytest.fixture(scope="module")
def undisturbed(program: Program, recording: Path) -> bytes:
    """What is heard when nobody is killed."""
    job = program.ended(job_id := program.submit(recording))
    assert (job["status"], job["language"], job["gaps"]) == ("completed", "en", [])
    assert job["chunks_total"] >= 6
    heard = program.transcript(job_id)
    assert b"Asterisk" in heard
    return heard


def watched(program: Program, job_id: str, chunks: int) -> dict[str, Any]:
    """The job as soon as this many of its chunks are done."""
    for job in program.updates(job_id):
        if job["chunks_done"] >= chunks:
            return job
    pytest.fail("the job ended before it could be disturbed")


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=10)


def assert_sound(program: Program, job: dict[str, Any]) -> int:
    """The job is complete, told once and cleanly; the number of rows that were in the hands of actors that died."""
    job_id = job["id"]
    assert (job["status"], job["progress"], job["gaps"], job["error"]) == ("completed", 1.0, [], None)
    assert job["chunks_done"] == job["chunks_total"] > 0
    segments = program.rows('SELECT chunk, "index" FROM segment WHERE job_id = ?', job_id)
    told = program.rows(
        "SELECT json_extract(payload, '$.segment.chunk'), json_extract(payload, '$.segment.index')"
        " FROM (SELECT CAST(payload AS TEXT) payload FROM change WHERE job_id = ? AND kind = 'segment')",
        job_id,
    )
    assert sorted(told) == sorted(segments)
    said = program.rows(
        "SELECT json_extract(CAST(payload AS TEXT), '$.progress') FROM change"
        " WHERE job_id = ? AND kind = 'update' ORDER BY seq",
        job_id,
    )
    assert said == sorted(said)
    assert not list((program.data / "spool").iterdir())
    return int(program.rows("SELECT sum(attempts + kills) FROM chunk WHERE job_id = ?", job_id)[0][0])


def test_the_speech_actor_killed_twice(program: Program, recording: Path, undisturbed: bytes) -> None:
    chance = random.Random()
    job_id = program.submit(recording)
    generation = program.actor("speech")["generation"]
    for chunks in (1, 3):
        watched(program, job_id, chunks)
        time.sleep(chance.uniform(0.0, 0.3))
        kill(program.actor("speech")["pid"])
    job = program.ended(job_id)
    repeated = assert_sound(program, job)
    print(f"{repeated} rows were given again, of {job['chunks_total']}")
    assert program.actor("speech")["generation"] == generation + 2
    assert 1 <= repeated <= 2 * IN_FLIGHT
    assert job["attempts"] == 1  # it was never taken up again: only the batches were
    assert program.transcript(job_id) == undisturbed


def test_the_media_actor_killed_in_mid_decode(program: Program, tmp_path: Path, undisturbed: bytes) -> None:
    """Silence behind the speech makes the decode long without changing what is heard."""
    pcm = sounds.join(prompts.talk(*prompts.TALK), np.zeros(900 * sounds.RATE, dtype=np.int16))
    path = media_files.write_wav(tmp_path / "talk.wav", pcm)
    actor = program.actor("media-1")
    job_id = program.submit(path)
    for job in program.updates(job_id):
        if job["chunks_total"] >= 2:
            break
    os.kill(actor["pid"], signal.SIGSTOP)
    decoded = (program.data / "spool" / f"{job_id}.pcm").stat().st_size
    assert not program.job(job_id)["decoded"]
    assert 0 < decoded < 2 * len(pcm)
    kill(actor["pid"])
    job = program.ended(job_id)
    repeated = assert_sound(program, job)
    print(f"killed after {decoded / 2 / len(pcm):.0%} of the samples; {repeated} chunks were done again")
    assert program.actor("media-1")["generation"] == actor["generation"] + 1
    assert repeated == 0
    assert segments_of(program.transcript(job_id)) == segments_of(undisturbed)


def segments_of(transcript: bytes) -> bytes:
    """Without the head of the transcript, which tells the length of the recording."""
    return transcript[transcript.index(b'"segments":') :]


def test_the_service_killed_and_started_again(program: Program, recording: Path, undisturbed: bytes) -> None:
    job_id = program.submit(recording)
    watched(program, job_id, 2)
    time.sleep(random.Random().uniform(0.0, 0.3))
    program.kill()
    done = set(program.rows('SELECT "index" FROM chunk WHERE job_id = ? AND state = ?', job_id, "done"))
    kept = program.rows("SELECT id, chunk, text, words FROM segment WHERE job_id = ? ORDER BY id", job_id)
    assert len(done) >= 2
    program.start()  # and that is all: no request is needed
    deadline = time.monotonic() + 120
    while program.rows("SELECT status FROM job WHERE id = ?", job_id) != [("completed",)]:
        assert time.monotonic() < deadline, program.rows("SELECT status, message FROM job WHERE id = ?", job_id)
        time.sleep(0.2)
    job = program.job(job_id)
    assert_sound(program, job)
    assert job["attempts"] == 2
    now = program.rows("SELECT id, chunk, text, words FROM segment WHERE job_id = ? ORDER BY id", job_id)
    assert now[: len(kept)] == kept  # the very rows: what was done was not done again
    assert not {(chunk,) for _, chunk, *_ in now[len(kept) :]} & done
    print(f"killed after {len(done)} of {job['chunks_total']} chunks")
    assert program.transcript(job_id) == undisturbed


def test_nothing_is_left_over(program: Program) -> None:
    assert program.rows("PRAGMA integrity_check") == [("ok",)]
    jobs = {job_id for (job_id,) in program.rows("SELECT id FROM job")}
    files = {
        folder: {path.name for path in (program.data / folder).iterdir()} for folder in ("media", "peaks", "spool")
    }
    assert files == {"media": jobs, "peaks": jobs, "spool": set()}
    children = program.children()
    workers = {program.actor(name)["pid"] for name in ("speech", "media-1")}
    others = [child for child in children if child.pid not in workers]
    assert all("resource_tracker" in " ".join(child.cmdline()) for child in others), others
