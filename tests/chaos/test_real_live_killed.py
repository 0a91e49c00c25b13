"""Live sessions with the real model: the text is, to the last byte, that of the same sound sent as a file.

Also when the live actor, the speech actor and the service are killed while the sound comes.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator

import httpx
import psutil
import pytest

from testkit import media_files, prompts
from testkit.program import BUNDLED, NOT_BUNDLED, Program, serving

pytestmark = [
    pytest.mark.model,
    pytest.mark.skipif(os.name != "posix", reason="signals work differently on this system"),
    pytest.mark.skipif(not prompts.PROMPTS.exists(), reason=prompts.NO_PROMPTS),
    pytest.mark.skipif(not BUNDLED, reason=NOT_BUNDLED),
]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with serving(tmp_path_factory.mktemp("live"), media__workers=1, speech__slots=2) as up:
        yield up


@pytest.fixture(scope="module")
def sound() -> bytes:
    return prompts.talk(*prompts.TALK).tobytes()


@pytest.fixture(scope="module")
def as_file(program: Program, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What is heard in the finished file."""
    path = media_files.write_wav(tmp_path_factory.mktemp("in") / "talk.wav", prompts.talk(*prompts.TALK))
    job = program.ended(job_id := program.submit(path))
    assert (job["status"], job["language"], job["gaps"]) == ("completed", "en", [])
    assert job["duration_s"] > 60  # a shorter file of known length is cut otherwise
    return segments_of(program.transcript(job_id))


def segments_of(transcript: bytes) -> bytes:
    """Without the head of the transcript, which has the name of the recording."""
    return transcript[transcript.index(b'"segments":') :]


def begin(program: Program) -> str:
    answer = program.client.post("/api/live", json={"name": "talk.wav"})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def send(program: Program, job_id: str, sound: bytes, offset: int, until: int) -> None:
    """Send sound in pieces of two seconds, as long as it takes. A piece without an answer is sent again."""
    while offset < until:
        piece = sound[offset : min(until, offset + 64_000)]
        try:
            answer = program.client.patch(f"/api/live/{job_id}", content=piece, headers={"upload-offset": str(offset)})
        except httpx.TransportError:
            time.sleep(0.2)
            continue
        assert answer.status_code == 204, answer.text
        offset = int(answer.headers["upload-offset"])


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=10)


def test_a_session_has_the_text_of_the_file(program: Program, sound: bytes, as_file: bytes) -> None:
    job_id = begin(program)
    send(program, job_id, sound, 0, len(sound) // 2)
    for job in program.updates(job_id):
        if job["chunks_done"] >= 2:  # before the rest has come
            break
    send(program, job_id, sound, len(sound) // 2, len(sound))
    assert program.client.post(f"/api/live/{job_id}/end").status_code == 200
    job = program.ended(job_id)
    assert (job["status"], job["gaps"]) == ("completed", [])
    assert segments_of(program.transcript(job_id)) == as_file


def test_kills_of_both_actors_and_of_the_service_change_nothing(program: Program, sound: bytes, as_file: bytes) -> None:
    chance = random.Random()
    job_id = begin(program)
    places = [0, *sorted(chance.sample(range(64_000, len(sound), 64_000), 3)), len(sound)]
    kills = ["live", "speech", "service"]
    chance.shuffle(kills)
    print(places, kills)
    for begin_at, until, victim in zip(places, places[1:], [*kills, ""], strict=False):
        send(program, job_id, sound, begin_at, until)
        time.sleep(chance.uniform(0.0, 1.5))
        if victim == "service":
            program.kill()
            program.start()
        elif victim and (pid := program.actor(victim)["pid"]) is not None:
            kill(pid)
    assert program.client.post(f"/api/live/{job_id}/end").status_code == 200
    job = program.ended(job_id)
    assert (job["status"], job["gaps"]) == ("completed", [])
    assert segments_of(program.transcript(job_id)) == as_file
    recording = program.client.get(f"/api/jobs/{job_id}/media").content
    assert recording[44:] == sound
