"""kill -9 of the service while sound comes in: what was acknowledged is on the disk, once and in order.

`LIVE_KILLS=200` in the environment kills so many times, with smaller pieces; 100 take three minutes.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Final

import httpx
import pytest

from testkit.chaos.seats import devices
from testkit.process import spawn
from testkit.sounds import babble, join, silence
from whisper_service.core.sound_format import SoundFormat

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals work differently on this system")
FORM: Final = SoundFormat(16_000)
SOUND: Final = join(babble(12), silence(4), babble(20, seed=1), silence(3.5), babble(9, seed=2), silence(4)).tobytes()
KILLS: Final = int(os.environ.get("LIVE_KILLS", "6"))
PIECE: Final = len(SOUND) // (8 * KILLS)
"""Bytes of the largest piece: on an average 16 of them come between two kills, or less."""


class Killable:
    """A service with a scripted speech actor, on one data directory."""

    MODULE: Final = (
        "testkit.serve", "--speech", "testkit.scripted_actors:speech", "--media", "testkit.scripted_actors:media",
    )  # fmt: skip

    def __init__(self, home: Path) -> None:
        self.home = home
        self.process: subprocess.Popen[str]
        self.client: httpx.Client

    def start(self) -> None:
        self.process, url = spawn(
            self.home / "data", self.home / "log", module=self.MODULE, settings={"speech__device": devices()}
        )
        assert url is not None, (self.home / "log").read_text()
        self.client = httpx.Client(base_url=url, timeout=30)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(timeout=30)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.client.close()

    def stored(self, job_id: str) -> bytes:
        return (self.home / "data" / "media" / job_id).read_bytes()[FORM.header_bytes :]

    def chunks(self, job_id: str) -> list[tuple[float, float, str]]:
        """Wait for the end of the job. Return begin, end and text of its segments."""
        for _ in range(600):
            job = self.client.get(f"/api/jobs/{job_id}").json()
            if job["status"] == "completed":
                segments = self.client.get(f"/api/jobs/{job_id}/transcript").json()["segments"]
                return [(each["start"], each["end"], each["text"]) for each in segments]
            assert job["status"] in ("pending", "processing"), job
            time.sleep(0.1)
        pytest.fail("the job did not end")


def begin(service: Killable) -> str:
    answer = service.client.post("/api/live", json={"language": "en"})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def end(service: Killable, job_id: str) -> list[tuple[float, float, str]]:
    assert service.client.post(f"/api/live/{job_id}/end").status_code == 200
    return service.chunks(job_id)


def test_the_service_killed_while_sound_comes_in_loses_and_doubles_nothing(tmp_path: Path) -> None:
    dice = random.Random()
    service = Killable(tmp_path)
    service.start()
    try:
        undisturbed = begin(service)
        service.client.put(f"/api/live/{undisturbed}", content=SOUND).raise_for_status()
        expected = end(service, undisturbed)
        assert len(expected) >= 3

        job_id, acknowledged, killed = begin(service), 0, 0
        while acknowledged < len(SOUND):
            killer = threading.Timer(dice.uniform(0.05, 0.5), service.process.kill) if killed < KILLS else None
            if killer is not None:
                killer.start()
            try:
                while acknowledged < len(SOUND):
                    size = dice.randrange(1, PIECE)
                    answer = service.client.patch(
                        f"/api/live/{job_id}",
                        content=SOUND[acknowledged : acknowledged + size],
                        headers={"upload-offset": str(acknowledged)},
                    )
                    assert answer.status_code == 204, answer.text
                    acknowledged = int(answer.headers["upload-offset"])
                    time.sleep(0.01)
            except httpx.TransportError:
                pass
            if killer is not None:
                killer.join()
                service.kill()
                killed += 1
                on_disk = service.stored(job_id)
                assert len(on_disk) >= acknowledged
                assert on_disk == SOUND[: len(on_disk)]
                service.start()
                head = service.client.head(f"/api/live/{job_id}")
                assert int(head.headers["upload-offset"]) == len(on_disk) // 2 * 2
        print(f"killed {killed} times")
        assert killed >= KILLS // 2
        assert end(service, job_id) == expected
        assert service.stored(job_id) == SOUND
    finally:
        service.kill()
