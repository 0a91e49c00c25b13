"""Forms of any bytes become a recording on the disk, or an error that says why and leaves no file."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whisper_service.core.domain import Preset, Task
from whisper_service.core.errors import InvalidRequest, ServiceError, TooLarge
from whisper_service.storage.uploads import Received, UploadLimits, Uploads
from whisper_service.web.compat import openai_form, whisper_asr, whisper_cpp
from whisper_service.web.compat.form_values import Given
from whisper_service.web.http.multipart import Fields, Form

SERVICE: Any = SimpleNamespace(config=SimpleNamespace(speech=SimpleNamespace(preset=Preset.BALANCED)))
PARSERS: dict[str, Callable[[Given], Any]] = {
    "openai": partial(openai_form.parse, task=Task.TRANSCRIBE, preset=Preset.BALANCED),
    "asr": partial(whisper_asr.parse, service=SERVICE),
    "inference": partial(whisper_cpp.parse, preset=Preset.BALANCED),
}
NAMES = sorted(openai_form.KNOWN | whisper_asr.KNOWN | whisper_cpp.KNOWN)
VALUES = st.text(max_size=12) | st.sampled_from(
    ["true", "0", "1e999", "nan", "-1", "en", "zh-TW", "srt", "json", "verbose_json", "auto", "word,segment", "x" * 400]
)


@pytest.mark.parametrize("name", PARSERS)
@given(given_fields=st.dictionaries(st.sampled_from(NAMES), st.lists(VALUES, max_size=3), max_size=6))
def test_any_fields_are_understood_or_refused_by_name(name: str, given_fields: dict[str, list[str]]) -> None:
    try:
        asked = PARSERS[name](given_fields)
    except InvalidRequest as error:
        assert error.params["field"] in {field.removesuffix("[]") for field in NAMES}  # noqa: PT017
        assert error.advice, "every refusal says what to do"  # noqa: PT017
    else:
        assert len(asked.options.prompt or "") <= 2_000
        assert asked.options.model


def part(name: str, value: bytes, more: str = "") -> bytes:
    return f'--b\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + value + b"\r\n"


def read(root: Path, body: bytes, step: int, **keywords: Any) -> tuple[Received, Fields]:
    """Read the body as a form, in pieces of `step` bytes."""
    pieces = [body[at : at + step] for at in range(0, len(body), step)] or [b""]
    messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    messages[-1]["more_body"] = False

    async def receive() -> dict[str, Any]:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    request: Any = SimpleNamespace(headers={}, content_type=("multipart/form-data", {"boundary": "b"}), receive=receive)

    form = Form(Uploads(root, UploadLimits(100_000, 0)), lambda fields: None, **keywords)
    return anyio.run(form.read, request), form.fields


WHOLE = (
    part("language", b"en")
    + part("file", b"sound" * 10, '; filename="a.wav"')
    + part("prompt", "é".encode())
    + b"--b--\r\n"
)


def test_a_field_is_as_long_as_its_reader_wants(tmp_path: Path) -> None:
    body = part("long[]", b"x" * 20_000) + part("file", b"sound", '; filename="a.wav"') + b"--b--\r\n"
    _, fields = read(tmp_path, body, 4_096, longer={"long[]": 20_000})
    assert fields == {"long[]": ["x" * 20_000]}
    for longer in ({"long[]": 19_999}, {"other": 20_000}, {}):
        with pytest.raises(TooLarge, match="is too long"):
            read(tmp_path, body, 4_096, longer=longer)
    assert len(list(tmp_path.iterdir())) == 1, "nothing is kept of a form that is refused"


@given(step=st.integers(1, 300))
@settings(max_examples=25)
def test_it_does_not_matter_how_a_form_arrives(step: int) -> None:
    with tempfile.TemporaryDirectory() as root:
        received, fields = read(Path(root), WHOLE, step)
        assert received.path.read_bytes() == b"sound" * 10
        assert fields == {"language": ["en"], "prompt": ["é"]}


@given(cut=st.integers(0, len(WHOLE)), junk=st.binary(max_size=40), skip=st.integers(0, 30), step=st.integers(1, 300))
@settings(max_examples=150)
def test_a_broken_form_has_a_reason_and_leaves_nothing(cut: int, junk: bytes, skip: int, step: int) -> None:
    with tempfile.TemporaryDirectory() as root:
        try:
            received, _ = read(Path(root), WHOLE[:cut] + junk + WHOLE[cut + skip :], step)
        except ServiceError as error:
            assert error.message  # noqa: PT017
            assert list(Path(root).iterdir()) == []
        else:
            assert list(Path(root).iterdir()) == [received.path]


def test_fields_that_nobody_knows_are_passed_over_unread(tmp_path: Path) -> None:
    body = part("noise", b"x" * 50_000) + part("file", b"sound") + part("a[]", b"1") + part("a[]", b"2") + b"--b--\r\n"
    received, fields = read(tmp_path, body, 1_000, known={"a[]"})
    assert fields == {"a[]": ["1", "2"]}
    assert received.bytes == 5


@pytest.mark.parametrize(
    ("header", "name"),
    [
        (b'; filename="r\xe9union.wav"', "réunion.wav"),
        ('; filename="会议.wav"'.encode("gbk"), "会议.wav"),
        ('; filename="会议.wav"'.encode(), "会议.wav"),
        (b"; filename*=UTF-8''%E4%BC%9A.wav", "会.wav"),
        (b"; filename*=UTF-8''%E4%BC%9A.wav; filename=\"x.wav\"", "会.wav"),
        (b"", "recording"),
    ],
)
def test_a_file_keeps_its_name_in_every_encoding(tmp_path: Path, header: bytes, name: str) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="file"' + header + b"\r\n\r\nsound\r\n--b--\r\n"
    assert read(tmp_path, body, 50)[0].name == name


def test_items_of_a_list_may_be_numbered(tmp_path: Path) -> None:
    body = part("file", b"sound") + part("a[0]", b"1") + part("a[12]", b"2") + part("b[x]", b"3") + b"--b--\r\n"
    assert read(tmp_path, body, 1_000)[1] == {"a[]": ["1", "2"], "b[x]": ["3"]}
