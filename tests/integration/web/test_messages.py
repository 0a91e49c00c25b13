"""Messages for people: whatever a client sends, they contain no notation of a programming language."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from testkit.service import Running

pytestmark = pytest.mark.anyio

ODD = "r\xe9\x01union\u202e'x\"\n"
FORM = {"content-type": "multipart/form-data; boundary=xx"}


def form(*parts: tuple[bytes, bytes]) -> bytes:
    head = b"--xx\r\nContent-Disposition: form-data; name="
    return b"".join(head + name + b"\r\n\r\n" + value + b"\r\n" for name, value in parts) + b"--xx--\r\n"


def requests() -> list[tuple[str, str, dict[str, Any]]]:
    """Return requests that are refused because of an odd name or value in them."""
    odd = ODD.encode()
    file = b'"file"; filename="r\xe9.wav"', b"x"
    return [
        *(
            ("POST", "/api/jobs", {"params": {name: ODD}, "content": b"x"})
            for name in ("task", "track", "language", ODD)
        ),
        ("POST", "/api/jobs", {"content": b"x", "headers": {"content-type": "text/r\xe9'x".encode("latin-1")}}),
        ("POST", "/api/jobs", {"content": form((b'"r\xe9\'x"', b"1"), file), "headers": FORM}),
        ("POST", "/api/jobs", {"content": form((b'"prompt"', b"\xe9\x01"), file), "headers": FORM}),
        ("POST", "/api/jobs", {"content": form((b'"prompt"', b"a"), (b'"prompt"', b"b"), file), "headers": FORM}),
        ("POST", "/api/jobs", {"content": form((b'"r\xe9\'x"', b"a" * 20_000), file), "headers": FORM}),
        ("POST", "/api/jobs", {"json": {"upload": "u", "task": ODD}}),
        ("POST", "/api/jobs", {"json": {"upload": "u", ODD: 1}}),
        ("POST", "/api/jobs", {"json": {"upload": [ODD]}}),
        ("GET", "/api/jobs", {"params": {"status": ODD}}),
        ("GET", "/api/jobs", {"params": {"limit": ODD}}),
        ("PATCH", "/api/settings", {"json": {ODD: 1}}),
        ("POST", "/api/export", {"json": {"ids": ["x"], "format": ODD}}),
        ("POST", "/api/export", {"json": {"ids": ["x"], ODD: 1}}),
        ("POST", "/api/export", {"json": {"ids": ["x"], "layout": {ODD: 1}}}),
        ("POST", "/api/models/import", {"json": {"path": 1, ODD: 1}}),
        ("POST", "/api/models/import", {"content": b"x", "headers": {"content-type": "text/r'x"}}),
        *(
            ("POST", "/v1/audio/transcriptions", {"content": form((b'"%s"' % name, odd), file), "headers": FORM})
            for name in (
                b"response_format",
                b"stream",
                b"temperature",
                b"timestamp_granularities[]",
                b"preset",
                b"language",
            )
        ),
        ("POST", "/asr", {"params": {"output": ODD}, "content": form(file), "headers": FORM}),
        ("POST", "/asr", {"params": {"task": ODD}, "content": form(file), "headers": FORM}),
        ("POST", "/inference", {"content": form((b'"response_format"', odd), file), "headers": FORM}),
    ]


def texts(answer: httpx.Response) -> str:
    """Return what people read of an answer."""
    body = answer.json()
    error = body.get("error", body)
    return error if isinstance(error, str) else f"{error['message']} {error.get('hint', '')}"


async def test_no_message_has_the_notation_of_a_programming_language(web: Running) -> None:
    for method, path, more in requests():
        answer = await web.client.request(method, path, **more)
        assert 400 <= answer.status_code < 500, (method, path, more, answer.text)
        said = texts(answer)
        assert "\\" not in said, (path, more, said)
        assert said.isprintable(), (path, more, said)
        assert "'r" not in said, (path, more, said)
        assert "enum" not in said, (path, more, said)
