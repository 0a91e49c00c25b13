"""Exports: what the files say, and that other people's parsers read back exactly that."""

from __future__ import annotations

import io
from datetime import timedelta
from functools import partial

import msgspec
import pytest
import srt  # type: ignore[import-untyped]
import webvtt
from hypothesis import given
from hypothesis import strategies as st

from whisper_service import formats
from whisper_service.domain import Gap, Segment, Transcript, Word
from whisper_service.formats import Format


def transcript(*segments: Segment, gaps: tuple[Gap, ...] = ()) -> Transcript:
    return Transcript(name="a.wav", duration_s=10.0, language="en", model="base", segments=segments, gaps=gaps)


def segment(start: float, end: float, text: str) -> Segment:
    return Segment(chunk=0, index=0, start=start, end=end, text=text)


EMPTY = transcript()
TALK = transcript(
    segment(0.0, 2.5, " Hello there."),
    segment(90_061.0405, 90_062.0, " 你好,\n世界 <b>&</b> --> x\ty"),
    gaps=(Gap(start=60.0, end=90.5, reason="it killed\nthe model"),),
)


@pytest.mark.parametrize(
    ("format", "text"),
    [(Format.TXT, ""), (Format.SRT, ""), (Format.VTT, "WEBVTT\n"), (Format.TSV, "start\tend\ttext\n")],
)
def test_a_transcript_without_speech_is_a_valid_file(format: Format, text: str) -> None:
    assert formats.render(EMPTY, format) == text
    assert formats.render(transcript(segment(0, 1, "  \n ")), format) == text


def test_txt() -> None:
    assert formats.to_txt(TALK).splitlines() == [
        "Hello there.",
        "[00:01:00.000 - 00:01:30.500 not transcribed: it killed the model]",
        "你好, 世界 <b>&</b> --> x y",
    ]


def test_srt() -> None:
    assert formats.to_srt(TALK) == (
        "1\n00:00:00,000 --> 00:00:02,500\nHello there.\n\n"
        "2\n00:01:00,000 --> 00:01:30,500\n[00:01:00.000 - 00:01:30.500 not transcribed: it killed the model]\n\n"
        "3\n25:01:01,040 --> 25:01:02,000\n你好,\n世界 <b>&</b> → x y\n\n"
    )


def test_vtt() -> None:
    assert formats.to_vtt(TALK) == (
        "WEBVTT\n"
        "\n00:00:00.000 --> 00:00:02.500\nHello there.\n"
        "\n00:01:00.000 --> 00:01:30.500\n[00:01:00.000 - 00:01:30.500 not transcribed: it killed the model]\n"
        "\n25:01:01.040 --> 25:01:02.000\n你好,\n世界 &lt;b&gt;&amp;&lt;/b&gt; --&gt; x y\n"
    )


def test_tsv() -> None:
    assert formats.to_tsv(TALK).splitlines()[1] == "0\t2500\tHello there."
    assert formats.to_tsv(TALK).splitlines()[3] == "90061040\t90062000\t你好, 世界 <b>&</b> --> x y"


def test_json_is_the_whole_transcript() -> None:
    whole = msgspec.structs.replace(TALK, segments=(Segment(0, 0, 0.0, 1.0, "a", (Word(0.0, 1.0, " a", 0.5),)),))
    assert msgspec.json.decode(formats.to_json(whole), type=Transcript) == whole


def test_every_format_has_a_writer_and_a_media_type() -> None:
    assert set(formats.MEDIA_TYPES) == set(formats._WRITERS) == set(Format)
    assert all(kind == "application/json" or kind.endswith("charset=utf-8") for kind in formats.MEDIA_TYPES.values())


@pytest.mark.parametrize(
    ("milliseconds", "clock"),
    [(0, "00:00:00,000"), (59_999, "00:00:59,999"), (3_600_000, "01:00:00,000"), (360_000_000, "100:00:00,000")],
)
def test_clock(milliseconds: int, clock: str) -> None:
    assert formats._clock(milliseconds, ",") == clock


def test_rounding_carries_over() -> None:
    (cue,) = formats.cues(transcript(segment(59.9996, 59.9997, "x")))
    assert (cue.start, cue.end) == (60_000, 60_001)


DROPPED = dict.fromkeys([*range(9), *range(14, 28), 127, 0xFEFF])  # control characters and the byte order mark
times = st.floats(min_value=0, max_value=400_000, allow_nan=False)
texts = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=60),
    st.lists(
        st.sampled_from(
            ["-->", "\n", "\r\n", "1", "00:00:01,000 --> 00:00:02,000", "WEBVTT", "NOTE x", "STYLE", "<i>", "&amp;", "&", " ", "\t", "\x0b", "\u2028", "\x00", "好", "[x]"]
        ),
        max_size=8,
    ).map("".join),
)
transcripts = st.builds(
    transcript,
    *([st.builds(segment, times, times, texts)] * 3),
    gaps=st.lists(st.builds(Gap, times, times, texts), max_size=2).map(tuple),
)


@given(transcripts)
def test_cues_are_in_order_and_last(value: Transcript) -> None:
    found = list(formats.cues(value))
    assert [cue.start for cue in found] == sorted(cue.start for cue in found)
    assert all(cue.end > cue.start >= 0 and all(cue.lines) for cue in found)
    assert len(found) == len(value.gaps) + sum(1 for s in value.segments if s.text.translate(DROPPED).strip())


@given(transcripts)
def test_srt_is_read_back(value: Transcript) -> None:
    read = [(c.start, c.end, c.content) for c in srt.parse(formats.to_srt(value))]
    assert read == [
        (timedelta(milliseconds=c.start), timedelta(milliseconds=c.end), "\n".join(c.lines).replace("-->", "→"))
        for c in formats.cues(value)
    ]


@given(transcripts)
def test_vtt_is_read_back(value: Transcript) -> None:
    read = [
        (c.start, c.end, unescape(c.raw_text))
        for c in webvtt.from_buffer(io.BytesIO(formats.to_vtt(value).encode())).captions
    ]
    clock = partial(formats._clock, point=".")
    assert read == [(clock(c.start), clock(c.end), "\n".join(c.lines)) for c in formats.cues(value)]


@given(transcripts)
def test_tsv_and_txt_have_one_line_per_cue(value: Transcript) -> None:
    found = list(formats.cues(value))
    rows = [line.split("\t") for line in formats.to_tsv(value).split("\n")[1:-1]]
    assert rows == [[str(c.start), str(c.end), " ".join(c.lines)] for c in found]
    assert formats.to_txt(value).split("\n")[:-1] == [" ".join(c.lines) for c in found]


def unescape(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
