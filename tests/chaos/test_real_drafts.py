"""Drafts of live sessions with the real model: words while they are said, also after a kill, and none for noise."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from testkit import prompts
from testkit.program import BUNDLED, NOT_BUNDLED, Program, serving
from testkit.sounds import Samples, hiss, join, silence

pytestmark = [
    pytest.mark.model,
    pytest.mark.skipif(os.name != "posix", reason="signals work differently on this system"),
    pytest.mark.skipif(not prompts.PROMPTS.exists(), reason=prompts.NO_PROMPTS),
    pytest.mark.skipif(not BUNDLED, reason=NOT_BUNDLED),
]
SECOND = 32_000
WAIT_S = 90.0


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with serving(tmp_path_factory.mktemp("drafts"), media__workers=1, speech__slots=2) as up:
        yield up


class Reader(threading.Thread):
    """Reads the drafts of a session until it is over."""

    def __init__(self, program: Program, job_id: str) -> None:
        super().__init__(daemon=True)
        self.url, self.job_id = str(program.client.base_url), job_id
        self.drafts: list[dict[str, Any]] = []
        self.over = False

    def run(self) -> None:
        with httpx.Client(base_url=self.url, timeout=60) as client:
            kind = ""
            with client.stream("GET", f"/api/live/{self.job_id}/drafts") as stream:
                for line in stream.iter_lines():
                    name, _, value = line.partition(": ")
                    if name == "event":
                        kind = value
                    elif name == "data" and kind == "draft":
                        self.drafts.append(json.loads(value))
                    elif name == "data" and kind == "end":
                        self.over = True
                        return

    def stable(self) -> str:
        """The stable words of the newest draft."""
        return "".join(word["word"] for draft in self.drafts[-1:] for word in draft["stable"]).lower()

    def shown(self) -> list[str]:
        return [word["word"] for draft in self.drafts for word in (*draft["stable"], *draft["tentative"])]


def wait(check: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not check():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@contextmanager
def session(program: Program) -> Iterator[tuple[str, Reader]]:
    answer = program.client.post("/api/live", json={"name": "talk.wav", "language": "en"})
    assert answer.status_code == 201, answer.text
    reader = Reader(program, job_id := str(answer.json()["id"]))
    reader.start()
    yield job_id, reader
    reader.join(WAIT_S)
    assert reader.over


def send(program: Program, job_id: str, sound: Samples, begin: float, end: float) -> None:
    """Send the sound from `begin` to `end` s in pieces of half a second."""
    data = sound.tobytes()
    for offset in range(int(begin * SECOND), min(len(data), int(end * SECOND)), SECOND // 2):
        headers = {"upload-offset": str(offset)}
        piece = data[offset : min(offset + SECOND // 2, int(end * SECOND))]
        assert program.client.patch(f"/api/live/{job_id}", content=piece, headers=headers).status_code == 204


def test_words_are_there_while_they_are_said_and_again_after_a_kill(program: Program) -> None:
    sound = prompts.talk("demo-congrats")
    with session(program) as (job_id, reader):
        send(program, job_id, sound, 0, 5)
        wait(lambda: "congratulations" in reader.stable(), "no words were drafted")
        assert program.job(job_id)["chunks_done"] == 0  # long before the text
        before = len(reader.drafts)
        pid = program.actor("speech")["pid"]
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        send(program, job_id, sound, 5, 9)
        wait(
            lambda: any(word["start"] > 5 for draft in reader.drafts[before:] for word in draft["stable"]),
            "no words were drafted after the kill",
        )
        assert "congratulations" in reader.stable()  # what was stable stays
        send(program, job_id, sound, 9, len(sound) / 16_000)
        assert program.client.post(f"/api/live/{job_id}/end").status_code == 200
        job = program.ended(job_id)
    assert (job["status"], job["gaps"]) == ("completed", [])
    assert reader.drafts[-1]["stable"] == reader.drafts[-1]["tentative"] == []
    text = program.transcript(job_id).decode().lower()
    said = {word.strip(" .,!?").lower() for word in reader.shown()}
    assert "asterisk" in said & set(text.replace(".", " ").replace(",", " ").replace('"', " ").split())


def test_noise_and_silence_have_no_draft(program: Program) -> None:
    sound = join(hiss(6), silence(3), hiss(6, seed=1), silence(3))
    with session(program) as (job_id, reader):
        for second in range(0, 18, 2):
            send(program, job_id, sound, second, second + 2)
            wait(lambda heard=second + 1: program.job(job_id)["live"] and reader.drafts, "nothing was heard")  # type: ignore[misc]
        assert program.client.post(f"/api/live/{job_id}/end").status_code == 200
        job = program.ended(job_id)
    assert (job["status"], job["message"]) == ("completed", "No speech was found.")
    assert reader.drafts
    assert reader.shown() == []
