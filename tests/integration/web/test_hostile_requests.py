"""Requests that no honest client sends are refused at once, and leave nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress

import anyio
import pytest

from testkit.service import WAIT, Running, running

pytestmark = pytest.mark.anyio

MANY_PARTS = (
    "".join(f'--b\r\nContent-Disposition: form-data; name="f{n}"\r\n\r\nx\r\n' for n in range(20_000)) + "--b--\r\n"
)
LONG_FIELD = f'--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\n{"x" * 3_000_000}\r\n--b--\r\n'
LONG_NAME = f'--b\r\nContent-Disposition: form-data; name="{"x" * 1_000_000}"\r\n\r\nx\r\n--b--\r\n'
DEEP = "[" * 200_000
FORM = "multipart/form-data; boundary=b"
UPLOADS = ("/api/jobs", "/v1/audio/transcriptions", "/asr", "/inference")


def post(path: str, body: str, kind: str = "application/json") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
    return f"{head}{body}".encode()


def head(line: str, *headers: str) -> bytes:
    return "\r\n".join([line, "host: localhost", *headers, "", ""]).encode()


REQUESTS: dict[str, bytes] = {
    "a header of 200 kB": head("GET / HTTP/1.1", f"x: {'a' * 200_000}"),
    "trace": head("TRACE / HTTP/1.1"),
    "two lengths": head("POST /api/jobs HTTP/1.1", "content-length: 5", "content-length: 6") + b"abcdef",
    "a length below zero": head("POST /api/jobs HTTP/1.1", "content-length: -5") + b"abcde",
    "a length beyond everything": head("POST /api/jobs?filename=a HTTP/1.1", "content-length: 99999999999999999999")
    + b"a",
    "length and chunks": head("POST /api/jobs HTTP/1.1", "content-length: 5", "transfer-encoding: chunked")
    + b"0\r\n\r\nGET /x",
    "chunks of a kind there is not": head("POST /api/jobs HTTP/1.1", "transfer-encoding: xchunked") + b"0\r\n\r\n",
    "a chunk that is none": head("POST /api/jobs HTTP/1.1", "transfer-encoding: chunked") + b"zz\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "http/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a form without its boundary": post("/api/jobs", "x", "multipart/form-data"),
    **{f"deep JSON to {path}": post(path, DEEP) for path in (*UPLOADS, "/api/login", "/api/models/import")},
    **{f"20,000 parts to {path}": post(path, MANY_PARTS, FORM) for path in UPLOADS},
    **{f"a field of 3 MB to {path}": post(path, LONG_FIELD, FORM) for path in UPLOADS},
    **{f"a name of 1 MB to {path}": post(path, LONG_NAME, FORM) for path in UPLOADS},
}


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def web(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    async with running(tmp_path_factory.mktemp("hostile")) as up:
        yield up


async def exchange(web: Running, request: bytes) -> bytes:
    """Return the beginning of the answer."""
    host, _, port = web.url.removeprefix("http://").partition(":")
    async with await anyio.connect_tcp(host, int(port)) as stream:
        with suppress(anyio.BrokenResourceError):  # the service has closed the connection
            await stream.send(request)
        with anyio.fail_after(WAIT):
            return await stream.receive()


@pytest.mark.parametrize("name", REQUESTS)
async def test_it_is_refused(web: Running, name: str) -> None:
    answer = await exchange(web, REQUESTS[name])
    assert answer.startswith(b"HTTP/1.1 4"), answer[:200]
    assert b"Traceback" not in answer
    assert not list(web.service.uploads.root.iterdir())


async def test_connections_that_never_finish_a_request_hold_nobody_up(web: Running) -> None:
    host, _, port = web.url.removeprefix("http://").partition(":")
    halves = [await anyio.connect_tcp(host, int(port)) for _ in range(200)]
    try:
        for half in halves:
            await half.send(b"POST /api/jobs HTTP/1.1\r\nhost: local")
        assert (await web.client.get("/api/state")).status_code == 200
    finally:
        for half in halves:
            await half.aclose()
