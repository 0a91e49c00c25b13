"""kill -9 of the real speakers actor and of the service, with real networks and two real people: nothing shows."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from testkit import media_files
from testkit.program import BUNDLED, NOT_BUNDLED, Program, serving
from testkit.speaker_networks import NoNetworks, speaker_networks
from testkit.two_people import HERE, NOT_HERE, conversation
from whisper_service.models.speaker_networks import SPEAKERS

pytestmark = [
    pytest.mark.model,
    pytest.mark.skipif(os.name != "posix", reason="signals work differently on this system"),
    pytest.mark.skipif(not HERE, reason=NOT_HERE),
    pytest.mark.skipif(not BUNDLED, reason=NOT_BUNDLED),
]
OPTIONS = {"language": "en", "speakers": "auto"}
Found = list[list[tuple[Any, ...]]]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    try:
        networks = speaker_networks()
    except NoNetworks as error:
        pytest.skip(str(error))
    home = tmp_path_factory.mktemp("killed")
    shutil.copytree(networks, home / "data" / "models" / SPEAKERS)
    with serving(home, media__workers=1) as up:
        yield up


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return media_files.write_wav(tmp_path_factory.mktemp("in") / "two.wav", conversation()[0])


def found(program: Program, job_id: str) -> Found:
    """Return the rows of text, voices and speakers."""
    return [
        program.rows(f"SELECT {columns} FROM {table} WHERE job_id = ? ORDER BY 1, 2", job_id)
        for table, columns in (
            ("segment", 'chunk, "index", start, "end", text, words'),
            ("voice", "chunk, data"),
            ("speaker", "id, position, seconds, centroid"),
            ("speaker_timeline", "turns, wanted"),
        )
    ]


@pytest.fixture(scope="module")
def undisturbed(program: Program, recording: Path) -> Found:
    job = program.ended(program.submit(recording, **OPTIONS))
    assert (job["status"], job["speakers"], job["history"]) == ("completed", 2, [])
    assert job["chunks_total"] >= 3
    return found(program, job["id"])


def heard(program: Program, job_id: str, chunks: int) -> None:
    """Wait until so many chunks are heard."""
    deadline = time.monotonic() + 60
    while program.rows("SELECT count(*) FROM voice WHERE job_id = ?", job_id)[0][0] < chunks:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_speakers_actor_killed_while_it_hears(program: Program, recording: Path, undisturbed: Found) -> None:
    job_id = program.submit(recording, **OPTIONS)
    generation = program.actor("speakers")["generation"]
    for chunks in (0, 1, 2):
        heard(program, job_id, chunks)
        time.sleep(random.Random().uniform(0.0, 0.3))
        if (pid := program.actor("speakers")["pid"]) is not None:
            os.kill(pid, signal.SIGKILL)
            psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=10)
    job = program.ended(job_id)
    assert (job["status"], job["gaps"], job["history"], job["attempts"]) == ("completed", [], [], 1)
    assert program.actor("speakers")["generation"] > generation
    assert found(program, job_id) == undisturbed


def test_the_service_killed_while_voices_are_heard(program: Program, recording: Path, undisturbed: Found) -> None:
    job_id = program.submit(recording, **OPTIONS)
    heard(program, job_id, 1)
    time.sleep(random.Random().uniform(0.0, 0.2))
    program.kill()
    program.start()
    deadline = time.monotonic() + 120
    while program.rows("SELECT status FROM job WHERE id = ?", job_id) != [("completed",)]:
        assert time.monotonic() < deadline, program.rows("SELECT status, message FROM job WHERE id = ?", job_id)
        time.sleep(0.2)
    assert program.job(job_id)["history"] == []
    assert found(program, job_id) == undisturbed
