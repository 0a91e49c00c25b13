"""File names on their way in, in any encoding, and on their way out, for every disk."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_service.core.file_names import (
    MAX_BYTES,
    decode_name,
    disposition_parameters,
    portable_name,
    portable_recording,
    stem_of,
)

WESTERN = [
    "réunion.wav",
    "créée.wav",
    "ÖFFNEN.wav",
    "Übung.wav",
    "señor ñandú.wav",
    "für größte Äpfel.wav",
    "«Été».wav",
]
CHINESE = ["会议.wav", "会议纪要 2024（终稿）.mp3", "會議.wav", "關於語言.wav", "鑫.wav", "a会b.wav"]


@pytest.mark.parametrize("name", WESTERN)
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "cp1252"])
def test_western_names_are_read_in_each_encoding(name: str, encoding: str) -> None:
    assert decode_name(name.encode(encoding)) == name


@pytest.mark.parametrize("name", CHINESE)
@pytest.mark.parametrize("encoding", ["utf-8", "gbk"])
def test_chinese_names_are_read_in_each_encoding(name: str, encoding: str) -> None:
    assert decode_name(name.encode(encoding)) == name


def test_quotes_and_dashes_of_windows_are_read() -> None:
    assert decode_name("L’été – Œuvre.wav".encode("cp1252")) == "L’été – Œuvre.wav"


@given(st.binary(max_size=40))
def test_any_bytes_are_a_name(raw: bytes) -> None:
    decode_name(raw).encode()


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("form-data; name=file; filename=a.wav", "a.wav"),
        ('form-data; name="file"; filename="a;b.wav"', "a;b.wav"),
        ('form-data; name="file"; filename="a\\"b.wav"', 'a"b.wav'),
        ('form-data; name="file"; filename="a%22b 50%25.wav"', 'a"b 50%25.wav'),
        ('form-data; name="file"; filename="C:\\Users\\me\\a.wav"', "C:\\Users\\me\\a.wav"),
        ("form-data; name=\"file\"; filename*=UTF-8''%E4%BC%9A%E8%AE%AE.wav", "会议.wav"),
        ('form-data; name="file"; filename*=UTF-8\'\'%E4%BC%9A.wav; filename="x.wav"', "会.wav"),
        ('form-data; name="file"; filename="x.wav"; filename*=UTF-8\'\'%E4%BC%9A.wav', "会.wav"),
        ("form-data; name=\"file\"; FileName*=iso-8859-1'fr'r%E9union.wav", "réunion.wav"),
        ("form-data; name=\"file\"; filename*=no-such''r%C3%A9union.wav", "réunion.wav"),
        ('form-data; name="file"; filename*=broken; filename="ok.wav"', "ok.wav"),
        ('form-data; name="file"; filename="=?utf-8?B?5Lya6K6uLndhdg==?="', "会议.wav"),
        ('form-data; name="file"', ""),
    ],
)
def test_the_name_in_a_content_disposition(header: str, name: str) -> None:
    found = disposition_parameters(header.encode())
    assert found.get("filename", "") == name
    assert found["name"] == "file"


@given(st.binary(max_size=80))
def test_any_header_is_read(raw: bytes) -> None:
    for value in disposition_parameters(b"form-data;" + raw).values():
        value.encode()


@pytest.mark.parametrize(
    ("recording", "name"),
    [
        ("talk.wav", "talk.srt"),
        ("Talk 1.2", "Talk 1.2.srt"),
        ("会议 1.m4a", "会议 1.srt"),
        ('12:30 "Q"?.wav', "12_30 _Q__.srt"),
        ("CON.wav", "CON_.srt"),
        ("con", "con_.srt"),
        ("aux.part.wav", "aux_.part.srt"),
        ("LPT1.wav", "LPT1_.srt"),
        ("console.wav", "console.srt"),
        ("end. .wav", "end.srt"),
        ("...", "transcript.srt"),
        ("", "transcript.srt"),
        (".wav", ".wav.srt"),
        ("e\u0301te\u0301.wav", "été.srt"),
    ],
)
def test_a_name_that_every_system_takes(recording: str, name: str) -> None:
    assert portable_name(stem_of(recording), "srt") == name


@given(st.text(max_size=400), st.sampled_from(["", "srt", "docx"]))
def test_a_portable_name_is_legal_everywhere(stem: str, extension: str) -> None:
    name = portable_name(stem, extension)
    assert 0 < len(name.encode(errors="surrogateescape")) <= MAX_BYTES
    assert not set(name) & set('<>:"/\\|?*\x00\n\t')
    assert name[-1] not in ". "
    assert portable_name(name.removesuffix(f".{extension}"), extension) == name


def test_a_name_is_cut_between_characters() -> None:
    assert portable_name("长" * 100, "srt") == "长" * 83 + ".srt"
    family = "👩‍👩‍👧"
    cut = portable_name(family * 20, "srt").removesuffix(".srt")
    assert not cut.endswith("\u200d")
    assert (family * 20).startswith(cut)


def test_a_recording_keeps_its_ending() -> None:
    assert portable_recording("长" * 100 + ".flac") == "长" * 83 + ".flac"
    assert portable_recording("a:b.wav") == "a_b.wav"
