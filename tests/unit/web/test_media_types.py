"""The media type of a recording: by its first bytes, and always audio, video or unknown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_service.web.api.media import HEAD, UNKNOWN, media_type


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"RIFF\0\0\0\0WAVEfmt ", "audio/wav"),
        (b"RF64\xff\xff\xff\xffWAVEds64", "audio/wav"),
        (b"RIFF\0\0\0\0AVI LIST", "video/x-msvideo"),
        (b"ID3\x04\0", "audio/mpeg"),
        (b"\xff\xfb\x90\x64", "audio/mpeg"),
        (b"\xff\xf1\x50\x80", "audio/aac"),
        (b"\xff\xf9\x50\x80", "audio/aac"),
        (b"fLaC\0", "audio/flac"),
        (b"OggS\0\x02" + b"\0" * 22 + b"\x01\x13OpusHead", "audio/ogg"),
        (b"OggS\0\x02" + b"\0" * 22 + b"\x01\x2a\x80theora", "video/ogg"),
        (b"\0\0\0\x20ftypisom", "video/mp4"),
        (b"\0\0\0\x20ftypM4A ", "audio/mp4"),
        (b"\0\0\0\x14ftypqt  ", "video/quicktime"),
        (b"\x1a\x45\xdf\xa3\x9fB\x86\x81\x01B\x82\x84webm", "video/webm"),
        (b"\x1a\x45\xdf\xa3\xa3B\x86\x81\x01B\x82\x88matroska", "video/x-matroska"),
        (b"#!AMR\n", "audio/amr"),
        (b"FORM\0\0\0\0AIFF", "audio/aiff"),
        (b"<!doctype html><script>", UNKNOWN),
        (b"", UNKNOWN),
        (b"\xff", UNKNOWN),
    ],
)
def test_known_beginnings(head: bytes, kind: str) -> None:
    assert media_type(head) == kind


@given(st.binary(max_size=HEAD))
def test_no_bytes_are_ever_a_page(head: bytes) -> None:
    assert media_type(head) == UNKNOWN or media_type(head).startswith(("audio/", "video/"))
