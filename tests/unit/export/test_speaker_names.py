"""Names of speakers in files: where they stand, and how they are switched on and off."""

from __future__ import annotations

import io

import docx
import msgspec
import pysubs2
import pytest
import srt  # type: ignore[import-untyped]
import webvtt  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from whisper_service.core.domain import Gap, Segment, Transcript, Word
from whisper_service.core.text import columns
from whisper_service.export import render
from whisper_service.export.captions.style import Style
from whisper_service.export.captions.timing import cues
from whisper_service.export.layout import Layout, layout_of
from whisper_service.export.render import Format


def spoken(start: float, text: str, speaker: str | None, *, word_s: float = 0.3) -> Segment:
    words = tuple(
        Word(round(start + at * word_s, 3), round(start + (at + 1) * word_s, 3), f" {word}", 0.9)
        for at, word in enumerate(text.split())
    )
    return Segment(0, 0, start, words[-1].end, f" {text}", words, "en", speaker=speaker)


def transcript(*segments: Segment, gaps: tuple[Gap, ...] = ()) -> Transcript:
    return Transcript("call.wav", 60.0, "en", "base", segments, gaps)


TALK = transcript(
    spoken(0.0, "Good morning.", "Anna"),
    spoken(2.0, "How are you?", "Anna"),
    spoken(4.0, "Fine.", "Speaker 2"),
    spoken(30.0, "And you?", "Speaker 2"),
    spoken(32.0, "Well.", "Anna"),
    gaps=(Gap(10.0, 20.0, "it took too long"),),
)
HIDDEN = Layout(speakers=False)
GAP = "[00:00:10.000 - 00:00:20.000 not transcribed: it took too long]"


def written(kind: Format, layout: Layout | None = None, value: Transcript = TALK) -> str:
    return render.render(value, kind, layout).decode()


def test_srt_names_a_speaker_where_another_one_spoke_before() -> None:
    assert [cue.content for cue in srt.parse(written(Format.SRT))] == [
        "Anna: Good morning.",
        "How are you?",
        "Speaker 2: Fine.",
        "[not transcribed: it took too long]",
        "And you?",
        "Anna: Well.",
    ]


def test_txt_names_a_speaker_where_another_one_spoke_before() -> None:
    assert written(Format.TXT).splitlines() == [
        "Anna: Good morning.",
        "How are you?",
        "Speaker 2: Fine.",
        GAP,
        "And you?",
        "Anna: Well.",
    ]


def test_after_words_of_nobody_the_speaker_is_named_again() -> None:
    value = transcript(
        spoken(0.0, "One.", "Anna"), spoken(2.0, "Two.", None), spoken(4.0, "Three.", "Anna"), spoken(6.0, "Four.", "B")
    )
    lines = ["Anna: One.", "Two.", "Anna: Three.", "B: Four."]
    assert written(Format.TXT, value=value).splitlines() == lines
    assert [cue.content for cue in srt.parse(written(Format.SRT, value=value))] == lines


def test_names_are_switched_off() -> None:
    plain = ["Good morning.", "How are you?", "Fine.", GAP, "And you?", "Well."]
    assert written(Format.TXT, HIDDEN).splitlines() == plain
    assert [cue.content for cue in srt.parse(written(Format.SRT, HIDDEN))] == [
        row if row != GAP else "[not transcribed: it took too long]" for row in plain
    ]
    for kind in Format:
        file = render.render(TALK, kind, HIDDEN)
        if kind is Format.DOCX:
            assert "Anna" not in " ".join(p.text for p in docx.Document(io.BytesIO(file)).paragraphs)
        else:
            assert b"Anna" not in file, kind


def test_with_the_names_off_two_speakers_still_share_no_caption_and_no_paragraph() -> None:
    value = transcript(spoken(0.0, "Yes", "Anna"), spoken(0.3, "No", "B"))
    assert [cue.content for cue in srt.parse(written(Format.SRT, HIDDEN, value))] == ["Yes", "No"]
    assert [cue.text for cue in webvtt.from_string(written(Format.VTT, HIDDEN, value))] == ["Yes", "No"]
    paragraphs = docx.Document(io.BytesIO(render.render(value, Format.DOCX, HIDDEN))).paragraphs
    assert [p.text for p in paragraphs[1:]] == ["00:00:00 Yes", "00:00:00 No"]


def test_vtt_ass_md_and_docx_have_names_of_their_own() -> None:
    voices = [(cue.voice, cue.text) for cue in webvtt.from_string(written(Format.VTT))]
    assert voices[:3] == [("Anna", "Good morning."), ("Anna", "How are you?"), ("Speaker 2", "Fine.")]
    events = pysubs2.SSAFile.from_string(written(Format.ASS)).events
    assert [(event.name, event.plaintext) for event in events][2] == ("Speaker 2", "Fine.")
    assert "**00:00:00** **Anna:** Good morning. How are you?" in written(Format.MD)
    paragraphs = docx.Document(io.BytesIO(render.render(TALK, Format.DOCX))).paragraphs
    assert paragraphs[2].text == "00:00:04 Speaker 2: Fine."


def test_lrc_has_no_names() -> None:
    anonymous = replace(TALK, segments=tuple(replace(each, speaker=None) for each in TALK.segments))
    assert written(Format.LRC) == written(Format.LRC, value=anonymous)


def test_tsv_has_a_column_of_names_only_if_that_is_asked_for() -> None:
    anonymous = replace(TALK, segments=tuple(replace(each, speaker=None) for each in TALK.segments))
    assert written(Format.TSV) == written(Format.TSV, HIDDEN) == written(Format.TSV, value=anonymous)
    rows = [line.split("\t") for line in written(Format.TSV, Layout(speakers=True)).splitlines()]
    assert rows[0] == ["start", "end", "text", "speaker"]
    assert [row[3] for row in rows[1:]] == ["Anna", "Anna", "Speaker 2", "", "Speaker 2", "Anna"]
    assert [row[:3] for row in rows] == [line.split("\t") for line in written(Format.TSV).splitlines()]


def test_json_has_the_speakers_with_their_seconds() -> None:
    whole = msgspec.json.decode(written(Format.JSON))
    assert whole["speakers"] == [{"name": "Anna", "seconds": 1.8}, {"name": "Speaker 2", "seconds": 0.9}]
    assert [segment["speaker"] for segment in whole["segments"]][:3] == ["Anna", "Anna", "Speaker 2"]
    hidden = msgspec.json.decode(written(Format.JSON, HIDDEN))
    assert "speakers" not in hidden
    assert {segment["speaker"] for segment in hidden["segments"]} == {None}


def test_a_name_counts_in_the_width_of_a_line_and_stays_with_its_first_word() -> None:
    value = transcript(
        spoken(0.0, "We went down to the river in the morning.", "Doctor Anna Schmidt"), spoken(9.0, "Oh.", "B")
    )
    rows = [
        row
        for cue in srt.parse(written(Format.SRT, Layout(Style(line_columns=30)), value))
        for row in cue.content.splitlines()
    ]
    assert rows[0].startswith("Doctor Anna Schmidt: We")
    assert max(map(columns, rows)) <= 30
    long = transcript(spoken(0.0, "Yes indeed.", "N" * 60), spoken(9.0, "Oh.", "B"))
    first, *_ = srt.parse(written(Format.SRT, value=long))
    assert first.content.startswith(f"{'N' * 60}: Yes")


def test_a_name_is_text_and_no_syntax() -> None:
    value = transcript(spoken(0.0, "One.", "A --> B\n\n2"), spoken(2.0, "Two.", "C\tD"))
    assert [cue.content for cue in srt.parse(written(Format.SRT, value=value))] == ["A → B 2: One.", "C D: Two."]
    assert written(Format.TXT, value=value).splitlines() == ["A --> B 2: One.", "C D: Two."]
    rows = written(Format.TSV, Layout(speakers=True), value).splitlines()
    assert [len(row.split("\t")) for row in rows] == [4, 4, 4]


@pytest.mark.parametrize("speaker", ["Anna", "  ", None])
def test_one_speaker_is_not_named_in_plain_text(speaker: str | None) -> None:
    value = transcript(spoken(0.0, "One.", speaker), spoken(2.0, "Two.", speaker), spoken(4.0, "Three.", " "))
    assert written(Format.TXT, value=value) == "One.\nTwo.\nThree.\n"
    assert [cue.content for cue in srt.parse(written(Format.SRT, value=value))] == ["One.", "Two.", "Three."]


def test_a_request_asks_for_names_or_refuses_them() -> None:
    assert layout_of(Style(), {}).speakers is None
    assert layout_of(Style(), {"speakers": "true"}).speakers is True
    assert layout_of(Style(), {"speakers": "false"}).speakers is False


talks = st.lists(
    st.tuples(st.sampled_from([None, "Anna", "Bert", "发言人 3"]), st.integers(1, 12), st.floats(0.0, 3.0)), max_size=8
)


@given(talks)
def test_every_caption_is_of_one_speaker_and_names_change_no_word(rows: list[tuple[str | None, int, float]]) -> None:
    segments, at = [], 0.0
    for number, (speaker, count, pause) in enumerate(rows):
        at += pause
        segments.append(spoken(round(at, 3), " ".join(f"w{number}x{n}" for n in range(count)), speaker))
        at = segments[-1].end
    value = transcript(*segments)
    owner = {f"w{number}": speaker for number, (speaker, _, _) in enumerate(rows)}
    last: str | None = None
    for cue in cues(value, named=True):
        text = " ".join(cue.lines)
        name = f"{cue.speaker}: " if cue.speaker and cue.speaker != last else ""
        assert text.startswith(name)
        words = text.removeprefix(name).split()
        assert {owner[word.partition("x")[0]] for word in words} == {cue.speaker}
        last = cue.speaker
    said = [word for cue in cues(value) for row in cue.lines for word in row.split()]
    assert said == [f"w{number}x{n}" for number, (_, count, _) in enumerate(rows) for n in range(count)]
