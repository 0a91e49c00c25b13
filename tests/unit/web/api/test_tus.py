"""The headers of tus, with any content."""

from __future__ import annotations

import base64
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_service.core.errors import InvalidRequest
from whisper_service.web.api.tus import checksum, filename


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@given(st.text(min_size=1), st.lists(st.text(alphabet="abcdef0123=, ", max_size=20)))
def test_a_name_comes_through_whatever_stands_beside_it(name: str, others: list[str]) -> None:
    beside = [f"x{n} {b64(other)}" for n, other in enumerate(others)]
    try:
        encoded = b64(name)
    except UnicodeEncodeError:
        return
    assert filename(",".join([*beside, f"filename {encoded}"])) == name
    assert filename(",".join([f"name {encoded}", *beside])) == name


@pytest.mark.parametrize(
    "metadata", ["", "filename", "filename ", "is_confidential", "x ???", "filename,name " + b64("")]
)
def test_without_a_name_there_is_none(metadata: str) -> None:
    assert filename(metadata) == ""


@given(st.text(max_size=300))
def test_odd_metadata_is_a_name_or_refused(metadata: str) -> None:
    with suppress(InvalidRequest):
        assert isinstance(filename(metadata), str)


@given(st.none() | st.text(max_size=100))
def test_odd_checksums_are_read_or_refused(value: str | None) -> None:
    with suppress(InvalidRequest):
        said = checksum(value)
        assert said is None or said[0] in ("sha1", "sha256")


def test_a_checksum() -> None:
    assert checksum(f"sha1 {b64('x' * 20)}") == ("sha1", b"x" * 20)
