"""A hub on a real port: what `snapshot_download` asks of one, with every fault on demand. A proxy, too.

Large files (`LARGE`) answer with a redirect to another port, as the content network of a hub does. `FakeHub.fault`
makes requests whose path holds a text go wrong; what was asked and how many bytes of bodies went out is counted, in
`asked` and `sent`.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import random
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from whisper_service.models.speaker_networks import PAIR

LARGE = ("model.bin",)
COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPO = "acme/whisper-wire"
BLOCK = 64 * 1024


def wire_model(size: int = 3_000_000) -> dict[str, bytes]:
    """Return the files of a model that is never loaded: `model.bin` is noise."""
    return {
        "README.md": b"# A model\n",
        "config.json": b'{"alignment_heads": [[1, 2]]}',
        "model.bin": random.Random(1).randbytes(size),
        "tokenizer.json": json.dumps({"model": {"vocab": list(range(20_000))}}).encode(),
        "vocabulary.json": b'["a", "b"]',
    }


def wire_networks(size: int = 300_000) -> dict[str, dict[str, bytes]]:
    """Return repos with the networks for speakers, which are never loaded: the first source of each file."""
    return {
        network.sources[0].repo: {
            "README.md": b"# A network\n",
            network.sources[0].path: b"\x08" + random.Random(place).randbytes(size),
        }
        for place, network in enumerate(PAIR)
    }


@dataclass
class HubFault:
    """What goes wrong with requests for `path` (a part of it), `times` times (-1: always).

    `status` answers with that status; `stall` accepts and falls silent, after `after` bytes of a body; `cut` closes the
    connection after `after` bytes; `corrupt` sends other bytes; `short` sends a whole answer of `after` bytes; `slow`
    sends `rate` bytes a second; `reset` closes without a word; `page` answers with a page for people; `nothing` lists a
    repo without files.
    """

    path: str
    kind: str
    times: int = -1
    status: int = 500
    after: int = 0
    rate: int = 0
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class HubRequest:
    """A request to the hub."""

    method: str
    path: str
    start: int | None  # of the range it asks for
    authorization: str | None


class FakeHub:
    """A hub with one repository, also under longer names like `REPO-2`.

    A context manager. `url` is its endpoint.
    """

    def __init__(
        self,
        files: Mapping[str, bytes],
        *,
        repo: str = REPO,
        revisions: tuple[str, ...] = ("main",),
        token: str | None = None,
        others: Mapping[str, Mapping[str, bytes]] | None = None,
    ) -> None:
        self.files = dict(files)
        self.others = {name: dict(each) for name, each in (others or {}).items()}  # more repos; their files are large
        self.repo = repo
        self.revisions = (*revisions, COMMIT)
        self.token = token  # who does not send it gets 401
        self.ranges = True  # whether it honours them
        self.faults: list[HubFault] = []
        self.asked: list[HubRequest] = []
        self.sent: Counter[str] = Counter()  # body bytes by file name, as far as the socket took them
        self.released = threading.Event()  # ends every stall
        self._lock = threading.Condition()
        self._busy = 0
        self._servers = [_Server(self), _Server(self)]

    def __enter__(self) -> FakeHub:
        for server in self._servers:
            server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        for server in self._servers:
            server.stop()

    @property
    def url(self) -> str:
        return self._servers[0].url

    @property
    def storage(self) -> str:
        """The address of large files."""
        return self._servers[1].url

    def secure(self, certificate: str, key: str) -> None:
        """Speak TLS. To be called before the first request."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server = self._servers[0]
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.url = server.url.replace("http://", "https://")

    def fault(self, path: str, kind: str, **details: Any) -> None:
        self.faults.append(HubFault(path, kind, **details))

    def due(self, path: str) -> HubFault | None:
        """Return the fault of this request, if it has one."""
        with self._lock:
            for fault in self.faults:
                if fault.path in path and fault.times:
                    fault.times -= 1
                    return fault
        return None

    def note(self, asked: HubRequest) -> None:
        with self._lock:
            self.asked.append(asked)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Count a request as in work during the block."""
        with self._lock:
            self._busy += 1
        try:
            yield
        finally:
            with self._lock:
                self._busy -= 1
                self._lock.notify_all()

    def forget(self) -> None:
        """Count from zero, once the answers to clients that left have ended."""
        with self._lock:
            assert self._lock.wait_for(lambda: not self._busy, timeout=30)
            self.asked.clear()
            self.sent.clear()

    def count(self, name: str, size: int) -> None:
        with self._lock:
            self.sent[name] += size


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, hub: Any, handler: type[BaseHTTPRequestHandler] | None = None) -> None:
        super().__init__(("127.0.0.1", 0), handler or _Handler)
        self.hub = hub
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Do nothing: clients that leave are what these tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *_: Any) -> None:
        """Write nothing to standard error."""

    def do_GET(self) -> None:
        with self.server.hub.busy():
            self._answer(body=True)

    def do_HEAD(self) -> None:
        with self.server.hub.busy():
            self._answer(body=False)

    def _answer(self, *, body: bool) -> None:
        hub = self.server.hub
        path = unquote(urlsplit(self.path).path)
        start = _range_start(self.headers) if hub.ranges else None
        hub.note(HubRequest(self.command, path, start, self.headers.get("Authorization")))
        fault = hub.due(path)
        if fault and fault.kind == "status":
            return self._send(fault.status, b'{"error": "on demand"}', fault.headers, body=body)
        if fault and fault.kind == "reset":
            return self._hang_up()
        if fault and fault.kind == "page":
            return self._send(200, b"<html>Please sign in</html>", {"Content-Type": "text/html"}, body=body)
        if fault and fault.kind == "stall" and not fault.after:
            hub.released.wait()
            return self._hang_up()
        if path.startswith("/storage/"):
            return self._file(path.rpartition("/")[2], start, fault, body=body)
        if hub.token and self.headers.get("Authorization") != f"Bearer {hub.token}":
            return self._send(401, b'{"error": "Invalid username or password."}', {}, body=body)
        if path.startswith("/api/models/"):
            files = {} if fault and fault.kind == "nothing" else hub.files
            return self._api(path.removeprefix("/api/models/"), files, body=body)
        return self._resolve(path, start, fault, body=body)

    def _api(self, path: str, files: Mapping[str, bytes], *, body: bool) -> None:
        hub = self.server.hub
        for repo, other in hub.others.items():
            if path.partition("/revision/")[0] == repo:
                siblings = [
                    {"rfilename": name, **_facts(name, data, "sha256", large=True)} for name, data in other.items()
                ]
                info = {"id": repo, "sha": COMMIT, "siblings": siblings, "private": False, "tags": []}
                return self._send(200, json.dumps(info).encode(), {"X-Repo-Commit": COMMIT}, body=body)
        if not path.startswith(hub.repo):
            return self._send(404, b'{"error": "Repository not found"}', {"X-Error-Code": "RepoNotFound"}, body=body)
        what, _, revision = path.removeprefix(hub.repo).partition("/")[2].partition("/")
        if revision and revision.strip("/") not in hub.revisions:
            return self._send(404, b'{"error": "Invalid rev id"}', {"X-Error-Code": "RevisionNotFound"}, body=body)
        if what == "tree":
            tree = [{"type": "file", "path": name, **_facts(name, data, "oid")} for name, data in files.items()]
            return self._send(200, json.dumps(tree).encode(), {}, body=body)
        blobs = "blobs" in parse_qs(urlsplit(self.path).query)
        siblings = [
            {"rfilename": name, **(_facts(name, data, "sha256") if blobs else {})} for name, data in files.items()
        ]
        info = {"id": hub.repo, "sha": COMMIT, "siblings": siblings, "private": False, "tags": []}
        return self._send(200, json.dumps(info).encode(), {"X-Repo-Commit": COMMIT}, body=body)

    def _resolve(self, path: str, start: int | None, fault: HubFault | None, *, body: bool) -> None:
        hub = self.server.hub
        prefix, _, rest = path.partition("/resolve/")
        name = rest.partition("/")[2]
        if (other := hub.others.get(prefix.strip("/"))) is not None and name in other:
            return self._file(name, start, fault, body=body, extra={"X-Repo-Commit": COMMIT}, data=other[name])
        if not prefix.startswith(f"/{hub.repo}") or name not in hub.files:
            return self._send(404, b"", {"X-Error-Code": "EntryNotFound"}, body=body)
        data = hub.files[name]
        if name not in LARGE:
            return self._file(name, start, fault, body=body, extra={"X-Repo-Commit": COMMIT})
        tail = prefix.removeprefix(f"/{hub.repo}").replace("-", "/-", 1)
        headers = {
            "Location": f"{hub.storage}/storage{tail}/{name}?signature=secret-signature",
            "X-Repo-Commit": COMMIT,
            "X-Linked-Size": str(len(data)),
            "X-Linked-Etag": f'"{hashlib.sha256(data).hexdigest()}"',
        }
        return self._send(302, b"", headers, body=body)

    def _file(
        self,
        name: str,
        start: int | None,
        fault: HubFault | None,
        *,
        body: bool,
        extra: dict[str, str] | None = None,
        data: bytes | None = None,
    ) -> None:
        hub = self.server.hub
        data = hub.files[name] if data is None else data
        headers = {"ETag": f'"{_git_hash(data)}"', "Accept-Ranges": "bytes", **(extra or {})}
        if fault and fault.kind == "corrupt":
            data = bytes(byte ^ 1 for byte in data)
        if fault and fault.kind == "short":
            data = data[: fault.after]
        whole = len(data)
        if start is not None:
            if start >= whole:
                return self._send(416, b"", {"Content-Range": f"bytes */{whole}"}, body=body)
            data = data[start : _range_end(self.headers, whole)]
            headers["Content-Range"] = f"bytes {start}-{start + len(data) - 1}/{whole}"
        return self._send(206 if start is not None else 200, data, headers, body=body, fault=fault, name=name)

    def _send(
        self,
        status: int,
        data: bytes,
        headers: dict[str, str],
        *,
        body: bool,
        fault: HubFault | None = None,
        name: str = "",
    ) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if not body:
            return
        limit = fault.after if fault and fault.kind in ("cut", "stall") else len(data)
        size = min(BLOCK, fault.rate // 20) if fault and fault.kind == "slow" else BLOCK
        for at in range(0, min(limit, len(data)), size):
            block = data[at : min(at + size, limit)]
            self.wfile.write(block)
            self.server.hub.count(name, len(block))
            if fault and fault.kind == "slow":
                self.server.hub.released.wait(len(block) / fault.rate)
        if limit < len(data):
            if fault and fault.kind == "stall":
                self.server.hub.released.wait()
            self._hang_up()

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)


class Proxy:
    """An HTTP proxy. With `password` it wants `name:password`. With `status` it refuses everything."""

    def __init__(self, password: str | None = None, status: int | None = None) -> None:
        self.password = password
        self.status = status
        self.asked: list[str] = []
        self._server = _Server(self, _ProxyHandler)

    def __enter__(self) -> Proxy:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    @property
    def url(self) -> str:
        return self._server.url


class _ProxyHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *_: Any) -> None:
        """Write nothing to standard error."""

    def _refusal(self) -> int | None:
        proxy = self.server.hub
        proxy.asked.append(f"{self.command} {self.path}")
        if proxy.password is not None:
            wanted = base64.b64encode(f"name:{proxy.password}".encode()).decode()
            if self.headers.get("Proxy-Authorization") != f"Basic {wanted}":
                return 407
        status: int | None = proxy.status
        return status

    def _forward(self) -> None:
        if (status := self._refusal()) is not None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        parts = urlsplit(self.path)
        link = http.client.HTTPConnection(parts.netloc)
        headers = {key: value for key, value in self.headers.items() if not key.lower().startswith("proxy-")}
        link.request(self.command, f"{parts.path}?{parts.query}", headers=headers)
        answer = link.getresponse()
        data = answer.read()
        self.send_response(answer.status)
        for key, value in answer.getheaders():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(data)
        link.close()

    do_GET = do_HEAD = _forward

    def do_CONNECT(self) -> None:
        status = self._refusal() or 502
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()
        self.close_connection = True


@contextmanager
def closed_port() -> Iterator[str]:
    """An address where nothing listens, and nothing else can."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def _range_start(headers: Message) -> int | None:
    value = headers.get("Range")
    return int(value.removeprefix("bytes=").partition("-")[0]) if value else None


def _range_end(headers: Message, whole: int) -> int:
    last = headers["Range"].partition("-")[2]
    return int(last) + 1 if last else whole


def _facts(name: str, data: bytes, hash_key: str, *, large: bool = False) -> dict[str, Any]:
    """Return what the lists of a hub tell about a file."""
    facts: dict[str, Any] = {"size": len(data), "oid" if hash_key == "oid" else "blobId": _git_hash(data)}
    if large or name in LARGE:
        facts["lfs"] = {hash_key: hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
    return facts


def _git_hash(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
