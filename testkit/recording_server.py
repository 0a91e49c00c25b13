"""Another web server, from which recordings are fetched, on a real port.

It can do what such servers do, and what they should not.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

BLOCK = 16 * 1024


@dataclass
class ServedFile:
    """A file of the server. `tag` is its ETag; without one a client cannot continue a download."""

    data: bytes = b""
    tag: str = '"1"'
    status: int = 200  # another: no more than that
    times: int = -1  # so often `status` is answered, then 200
    headers: dict[str, str] = field(default_factory=dict)
    cuts: list[int] = field(default_factory=list)  # after so many bytes of the next answers the connection breaks
    rate: int = 0  # bytes a second; 0: as fast as it goes
    length: bool = True  # say how long it is


class RecordingServer:
    """The files of the server. `asked` has path and range of every request."""

    def __init__(self) -> None:
        self.things: dict[str, ServedFile] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.open = 0
        self.most = 0  # answers at the same time
        self.url = ""
        self.lock = threading.Lock()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        path = handler.path
        self.asked.append((path, handler.headers.get("range")))
        thing = self.things.get(path.partition("?")[0], ServedFile(status=404))
        if thing.status != 200 and thing.times != 0:
            thing.times -= 1
            handler.send_response(thing.status)
            for name, value in thing.headers.items():
                handler.send_header(name, value)
            handler.send_header("content-length", "0")
            handler.end_headers()
            return
        self._send(handler, thing)

    def _send(self, handler: BaseHTTPRequestHandler, thing: ServedFile) -> None:
        start, size = 0, len(thing.data)
        wanted = handler.headers.get("range", "").removeprefix("bytes=").partition("-")[0]
        if wanted and thing.tag and handler.headers.get("if-range") in (None, thing.tag):
            start = int(wanted)
        if start and start >= size:
            handler.send_response(416)
            handler.send_header("content-range", f"bytes */{size}")
            handler.send_header("content-length", "0")
            handler.end_headers()
            return
        handler.send_response(206 if start else 200)
        if start:
            handler.send_header("content-range", f"bytes {start}-{size - 1}/{size}")
        if thing.tag:
            handler.send_header("etag", thing.tag)
        if thing.length:
            handler.send_header("content-length", str(size - start))
        for name, value in ({"content-type": "audio/mpeg"} | thing.headers).items():
            handler.send_header(name, value)
        handler.end_headers()
        end = min(size, start + thing.cuts.pop(0)) if thing.cuts else size
        for at in range(start, end, BLOCK):
            block = thing.data[at : min(end, at + BLOCK)]
            handler.wfile.write(block)
            if thing.rate:
                time.sleep(len(block) / thing.rate)
        handler.close_connection = True


@contextmanager
def recording_server() -> Iterator[RecordingServer]:
    """A server on this machine until the end of the block."""
    made = RecordingServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            with made.lock:
                made.open += 1
                made.most = max(made.most, made.open)
            try:
                made.answer(self)
            except OSError:  # whoever asked has gone
                self.close_connection = True
            finally:
                with made.lock:
                    made.open -= 1

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    made.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
