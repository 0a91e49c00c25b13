"""A service in a process of its own whose seats are on the nodes of a real cluster, for tests."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import psutil
import pytest

from testkit.chaos import storm
from testkit.process import spawn
from testkit.ray_cluster import RayCluster
from testkit.scripted_actors import script, text_of

CHUNKS: Final = 24
BATCH: Final = 2
"""Chunks of a batch. A seat has one batch at a time."""
WITHIN_S: Final = 120.0


class RayService:
    """A service whose seats are on the nodes of a cluster, and on its own machine if `device` says so."""

    def __init__(self, home: Path, cluster: RayCluster, device: str) -> None:
        settings: dict[str, object] = {
            "storage__min_free_bytes": 0, "storage__undo_s": 0, "speech__align_edits": False, "media__workers": 1,
            "speech__device": device, "speech__slots": 1, "speech__batch_size": BATCH,
            "cluster__engine": "ray", "cluster__address": cluster.address, "cluster__node_ip": cluster.HEAD,
            "cluster__cpus": 1, "cluster__gpus": 0, "cluster__lost_after_s": 10,
        }  # fmt: skip
        self.home = home
        self.log = home / "log"
        self.process: subprocess.Popen[str]
        self.process, url = spawn(home / "data", self.log, module=storm.FAKES, settings=settings)
        assert url is not None, self.log.read_text()
        self.client = httpx.Client(base_url=url, timeout=60)
        self.slowest_s = 0.0  # answer to the question whether the service lives
        self._ends = threading.Event()
        self._pulse = threading.Thread(target=self._ask, args=(url,))
        self._pulse.start()

    def end(self) -> None:
        self._ends.set()
        self._pulse.join()
        self.client.close()
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(timeout=30) == 0
        assert self.process.stdout is not None
        self.process.stdout.close()

    def system(self) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get("/api/system").json()
        return found

    def pid_of(self, actor: str) -> int:
        (found,) = [one["pid"] for one in self.system()["actors"] if one["name"] == actor]
        return int(found)

    def deaths(self, code: str) -> int:
        """Return how many ends of far actors had this cause, as far as they are remembered."""
        return sum(
            death["problem"]["code"] == code
            for actor in self.system()["actors"]
            if actor["name"].startswith("cluster-")
            for death in actor["deaths"]
        )

    def far_seats(self) -> list[dict[str, Any]]:
        return [seat for seat in self.system()["devices"] if seat["seat"].startswith("cluster-")]

    def wait_for_seats(self, count: int = 2) -> None:
        """Wait until so many far seats have their model."""

        def there() -> bool:
            loaded = [seat for seat in self.far_seats() if seat["model"] is not None and seat["state"] == "ready"]
            return len(loaded) == count

        eventually(there, lambda: str(self.system()["devices"]) + self.log.read_text()[-3000:])

    def send(self, name: str, **play: Any) -> str:
        diary = str(self.home / name)
        content = script(name=name, chunks=CHUNKS, seconds=20.0, everywhere=True, diary=diary, **play)
        answer = self.client.post("/api/jobs", params={"language": "en"}, content=content,
                                  headers={"content-type": "audio/wav"})  # fmt: skip
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def job(self, job_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get(f"/api/jobs/{job_id}").json()
        return found

    def begun(self, name: str) -> Counter[int]:
        """Return how often each chunk was begun."""
        path = self.home / name
        return Counter(int(line.split()[-1]) for line in (path.read_text().splitlines() if path.exists() else ()))

    def check(self, job_id: str, name: str, repeated: int) -> dict[str, Any]:
        """Wait for the end. The text is complete, and at most so many chunks were done again."""
        eventually(lambda: self.job(job_id)["status"] == "completed", lambda: str(self.job(job_id)))
        job = self.job(job_id)
        assert (job["gaps"], job["error"], job["problem"]) == ([], None, None)
        segments = self.client.get(f"/api/jobs/{job_id}/transcript").json()["segments"]
        assert [segment["text"] for segment in segments] == [text_of(n) for n in range(CHUNKS)]
        kinds = Counter()  # type: Counter[str]
        with self.client.stream("GET", f"/api/jobs/{job_id}/events", headers={"last-event-id": "0"}) as stream:
            kinds.update(line for line in stream.iter_lines() if line.startswith("event: "))
        assert kinds["event: segment"] == CHUNKS, "each chunk is told once"
        begun = self.begun(name)
        assert set(begun) == set(range(CHUNKS))
        assert begun.total() - CHUNKS <= repeated, begun
        return job

    def _ask(self, url: str) -> None:
        with httpx.Client(base_url=url, timeout=30) as client:
            while not self._ends.wait(0.1):
                began = time.monotonic()
                assert client.get("/api/health/live").status_code == 200
                self.slowest_s = max(self.slowest_s, time.monotonic() - began)


def eventually(met: Callable[[], bool], what: Callable[[], str], within_s: float = WITHIN_S) -> None:
    deadline = time.monotonic() + within_s
    while not met():
        assert time.monotonic() < deadline, what()
        time.sleep(0.05)


@contextmanager
def head(address: str = RayCluster.HEAD) -> Iterator[RayCluster]:
    """A cluster with a head and nothing else, until the end of the block."""
    with pytest.MonkeyPatch.context() as patch:
        cluster = RayCluster(address)
        for name, value in cluster.environment.items():
            patch.setenv(name, value)
        try:
            cluster.start_head()
            yield cluster
        finally:
            print(cluster.log())
            cluster.end()


@contextmanager
def serving(home: Path, cluster: RayCluster, device: str = "none") -> Iterator[RayService]:
    service = RayService(home, cluster, device)
    try:
        yield service
    finally:
        try:
            service.end()
        finally:
            service.process.kill()
            print(service.log.read_text()[-6000:])


def outposts(cluster: RayCluster, ip: str) -> list[psutil.Process]:
    return [process for process in cluster.processes(ip) if "RayOutpost" in " ".join(process.cmdline())]


def actor_of(outpost: psutil.Process) -> psutil.Process:
    (actor,) = [child for child in outpost.children() if "spawn_main" in " ".join(child.cmdline())]
    return actor
