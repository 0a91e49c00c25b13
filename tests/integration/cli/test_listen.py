"""`listen` as people use it: sound on standard input, text on standard output, whatever happens to the service."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO

import httpx
import pytest

from testkit.process import environment, spawn
from testkit.repository import ROOT
from testkit.sounds import babble, join, silence
from whisper_service.core.sound_format import SoundFormat

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals work differently on this system")
SOUND = join(babble(12), silence(4), babble(9, seed=1), silence(5), babble(6, seed=2), silence(4)).tobytes()
"""Three chunks, 16 kHz mono int16."""
MODULE = ("testkit.serve", "--speech", "testkit.scripted_actors:speech", "--media", "testkit.scripted_actors:media")


class ServiceProcess:
    def __init__(self, home: Path) -> None:
        self.home = home
        self.process: subprocess.Popen[str]
        self.client: httpx.Client

    def start(self) -> None:
        self.process, url = spawn(self.home / "data", self.home / "log", module=MODULE)
        assert url is not None, (self.home / "log").read_text()
        self.client = httpx.Client(base_url=url, timeout=30)
        (self.home / "data" / "address").write_text(url)  # as `serve` does, which `testkit.serve` stands for

    def end(self, number: int = signal.SIGKILL) -> None:
        self.client.close()
        self.process.send_signal(number)
        self.process.wait(timeout=30)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[ServiceProcess]:
    up = ServiceProcess(tmp_path)
    up.start()
    yield up
    up.end(signal.SIGTERM)


def listen(home: Path, *words: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "whisper_service", "listen", "-", "--data-dir", str(home / "data"), *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, env=environment(), stdin=pipe, stdout=pipe, stderr=pipe)


def pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    assert process.stdin is not None
    assert process.stderr is not None
    return process.stdin, process.stderr


def test_sound_becomes_text(service: ServiceProcess) -> None:
    process = listen(service.home, "--language", "en", "--name", "talk.wav")
    said, told = process.communicate(SOUND + b"x", timeout=120)  # half a sample at the end
    assert process.returncode == 0, told.decode()
    assert said.decode().splitlines() == [f"This is chunk {n}." for n in range(3)]
    (job,) = service.client.get("/api/jobs").json()["jobs"]
    assert (job["name"], job["live"]["ended"], job["duration_s"]) == ("talk.wav", "client", 40.0)
    assert (service.home / "data" / "media" / job["id"]).read_bytes()[44:] == SOUND


def test_a_service_that_is_killed_and_comes_back_gets_what_is_missing(service: ServiceProcess) -> None:
    process = listen(service.home, "--language", "en")
    to, told = pipes(process)
    to.write(SOUND[:400_000])
    to.flush()
    job_id = told.readline().split()[-1].decode().rstrip(".")
    service.end()
    to.write(SOUND[400_000:900_000])
    to.flush()
    assert b"The service does not answer." in told.readline()
    service.start()  # perhaps on another port
    assert b"answers again" in told.readline()
    said, _ = process.communicate(SOUND[900_000:], timeout=120)
    assert process.returncode == 0
    assert said.decode().splitlines() == [f"This is chunk {n}." for n in range(3)]
    form = SoundFormat(16_000)
    assert (service.home / "data" / "media" / job_id).read_bytes() == form.header(len(SOUND)) + SOUND


@contextmanager
def losing_answers(service_url: str, lost: int) -> Iterator[str]:
    """Yield the address of a relay to the service. It takes the first `lost` answers and passes none of them on."""

    class Relay(BaseHTTPRequestHandler):
        left = lost

        def do(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {
                name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")
            }
            with (
                httpx.Client(timeout=60) as client,
                client.stream(self.command, service_url + self.path, headers=headers, content=body) as answer,
            ):
                if Relay.left:
                    Relay.left -= 1
                    self.close_connection = True
                    return
                self.send_response_only(answer.status_code)
                for name, value in answer.headers.items():
                    if name not in ("transfer-encoding", "content-encoding", "connection"):
                        self.send_header(name, value)
                self.end_headers()
                for block in answer.iter_bytes():
                    self.wfile.write(block)
                    self.wfile.flush()

        do_POST = do_PATCH = do_GET = do

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Relay)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_an_answer_that_is_lost_leaves_no_second_session(service: ServiceProcess) -> None:
    with losing_answers(str(service.client.base_url), 2) as url:
        process = listen(service.home, "--language", "en", "--url", url)
        said, told = process.communicate(SOUND, timeout=120)
    assert process.returncode == 0, told.decode()
    assert said.decode().splitlines() == [f"This is chunk {n}." for n in range(3)]
    (job,) = service.client.get("/api/jobs").json()["jobs"]
    assert (service.home / "data" / "media" / job["id"]).read_bytes()[44:] == SOUND


def test_an_interrupt_ends_the_sound_and_not_the_text(service: ServiceProcess) -> None:
    process = listen(service.home, "--language", "en")
    to, told = pipes(process)
    assert told.readline().startswith(b"Listening.")
    to.write(SOUND[: 32_000 * 14])
    to.flush()
    (job,) = service.client.get("/api/jobs").json()["jobs"]
    while int(service.client.head(f"/api/live/{job['id']}").headers["upload-offset"]) < 32_000 * 13:
        pass
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 0
    assert process.stdout is not None
    assert process.stdout.read().decode().splitlines() == ["This is chunk 0."]
    for pipe in (to, told, process.stdout):
        pipe.close()


def test_what_is_wrong_is_said(service: ServiceProcess, tmp_path: Path) -> None:
    for words, wanted in (
        (["--rate", "5"], "The JSON cannot be read"),
        (["--url", "http://127.0.0.1:9"], "No service answers."),
    ):
        process = listen(service.home, *words)
        _, told = process.communicate(b"", timeout=60)
        assert process.returncode == 1
        assert wanted in told.decode()
