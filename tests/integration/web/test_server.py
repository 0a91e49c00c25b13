"""The process: it prints its address, stops cleanly with open streams, and explains a taken port."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import httpx
import pytest

from testkit.scripted_actors import script
from whisper_service.web.server import AddressUnavailable, address_of, listen

SERVE = """
import sys
from functools import partial
from pathlib import Path
from testkit.service import configuration, entries
from whisper_service.web import server
from whisper_service.app.service import Service

server.Service.open = partial(Service.open, **entries())
if __name__ == "__main__":
    sys.exit(server.run(configuration(Path(sys.argv[1]))))
"""
WATCHED = """
import gc, os, signal, sys, threading, time
from pathlib import Path
from whisper_service.cli import main as cli

def look():
    while not Path(sys.argv[1], "data", "address").exists():
        time.sleep(0.05)
    print("collects", gc.isenabled(), gc.get_freeze_count() > 10_000)
    os.kill(os.getpid(), signal.SIGTERM)

if __name__ == "__main__":
    threading.Thread(target=look, daemon=True).start()
    sys.exit(cli.main(["serve", "--data-dir", str(Path(sys.argv[1], "data")), "--port", "0"]))
"""
POSIX = pytest.mark.skipif(os.name != "posix", reason="signals work differently on this system")


@contextmanager
def process(root: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Yield a service in its own process, and its address."""
    main = root / "main.py"
    main.write_text(SERVE)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path.cwd()), *sys.path])}
    with subprocess.Popen(
        [sys.executable, str(main), str(root)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as child:
        try:
            assert child.stdout is not None
            said = child.stdout.readline()
            assert said.startswith("whisper_service is at http://127.0.0.1:"), child.communicate(timeout=20)
            yield child, said.split()[-1]
        finally:
            child.kill()


@POSIX
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_answers_when_it_says_so_and_leaves_with_streams_open(tmp_path: Path, number: signal.Signals) -> None:
    with process(tmp_path) as (child, address), httpx.Client(base_url=address, timeout=20) as client:
        assert client.get("/api/health/live").status_code == 200
        with client.stream("GET", "/api/events") as stream:
            lines = stream.iter_lines()
            assert next(lines).startswith("retry:")
            child.send_signal(number)
            for _ in lines:
                pass
        assert child.wait(timeout=5) == 0
        assert child.stderr is not None
        assert "Traceback" not in child.stderr.read()


@POSIX
def test_garbage_is_looked_for_again_once_it_is_up(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(WATCHED)
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(Path.cwd()), *sys.path]),
        "WHISPER_SERVICE_SPEECH__PRELOAD": "false",
    }
    done = subprocess.run(
        [sys.executable, str(tmp_path / "main.py"), str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, "collects True True" in done.stdout) == (0, True), done


@POSIX
def test_it_leaves_with_a_crowd_at_its_door(tmp_path: Path) -> None:
    """Check a stop with unread streams, uploads that stall at every place of a request, a waiting call, and work."""
    with process(tmp_path) as (child, address), ExitStack() as crowd:
        client = crowd.enter_context(httpx.Client(base_url=address, timeout=20))
        job = client.post("/api/jobs?filename=film", content=script(chunks=60, delay=0.5)).json()

        def connect(head: str, sent: bytes = b"") -> socket.socket:
            connection = crowd.enter_context(closing(socket.create_connection(_pair(address), timeout=20)))
            connection.sendall(head.replace("\n", "\r\n").encode() + b"\r\n" + sent)
            return connection

        call = (
            b"--b\r\ncontent-disposition: form-data; name=file; filename=a\r\n\r\n"
            + script(chunks=60, delay=0.5)
            + b"\r\n--b--\r\n"
        )
        form = "content-type: multipart/form-data; boundary=b\n"
        streams = [connect("GET /api/events?since=0 HTTP/1.1\nhost: localhost\n") for _ in range(200)]
        raw = "POST /api/jobs HTTP/1.1\nhost: localhost\ncontent-length: 99000000\n"
        uploads = [connect(raw, bytes(size)) for size in (0, 1, 70_000, 1_500_000) for _ in range(3)]
        begun = b"--b\r\ncontent-disposition: form-data; name="
        parts = (b"", b"--b\r", begun, begun + b"language\r\n\r\ne", begun + b"file; filename=a\r\n\r\nabc")
        uploads += [connect(raw + form, part) for part in parts for _ in range(2)]
        lengths = f"content-length: {len(call)}\n"
        waiting = connect(f"POST /v1/audio/transcriptions HTTP/1.1\nhost: localhost\n{form}{lengths}", call)
        connect("GET /api/events HTTP/1.1\nhost: loc").setblocking(False)  # half a request head
        for stream in streams:
            assert stream.recv(15) == b"HTTP/1.1 200 OK"
        while (
            len(client.get("/api/jobs").json()["jobs"]) < 2
            or not client.get(f"/api/jobs/{job['id']}").json()["chunks_done"]
        ):
            time.sleep(0.1)
        child.send_signal(signal.SIGTERM)
        for upload in uploads:
            answer = _to_the_end(upload)
            assert answer.startswith(b"HTTP/1.1 503 "), answer
            assert b'"shutting_down"' in answer
        assert _to_the_end(waiting).startswith(b"HTTP/1.1 503 ")
        assert child.wait(timeout=20) == 0
        assert child.stderr is not None
        said = child.stderr.read()
        assert "Traceback" not in said
        assert "uvicorn" not in said
        kept = [path.name for path in (tmp_path / "data" / "media").iterdir()]
        assert len(kept) == 2
        assert job["id"] in kept


def _to_the_end(connection: socket.socket) -> bytes:
    blocks = iter(lambda: connection.recv(1 << 16), b"")
    return b"".join(blocks)


@POSIX
def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    with process(tmp_path) as (child, address), socket.create_connection(_pair(address)) as upload:
        upload.sendall(b"POST /api/jobs HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\nx")  # never ends
        child.send_signal(signal.SIGINT)
        child.send_signal(signal.SIGTERM)
        assert child.wait(timeout=5) in (0, 130)  # 0 if the process ended before the second


def _pair(address: str) -> tuple[str, int]:
    host, _, port = address.removeprefix("http://").partition(":")
    return host, int(port)


def test_a_taken_port_is_explained() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AddressUnavailable, match=f"127.0.0.1:{port}") as caught:
            listen("127.0.0.1", port)
        assert "--port" in caught.value.advice


def test_an_address_that_is_not_ours_is_explained() -> None:
    with pytest.raises(AddressUnavailable, match=r"203\.0\.113\.1"):
        listen("203.0.113.1", 0)  # TEST-NET-3 (RFC 5737): no machine has it


def test_the_address_is_one_to_type() -> None:
    with listen("0.0.0.0", 0) as everywhere:
        assert address_of(everywhere) == f"http://127.0.0.1:{everywhere.getsockname()[1]}"
