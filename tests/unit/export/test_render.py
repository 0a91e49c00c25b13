"""Exports: the content of the files, and that other parsers read back the same."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise

import docx
import msgspec
import pysubs2
import pytest
import srt  # type: ignore[import-untyped]
import webvtt
from hypothesis import given, settings
from hypothesis import strategies as st
from lrcparser import LrcParser  # type: ignore[import-untyped]
from markdown_it import MarkdownIt

from whisper_service.core.chinese import convert
from whisper_service.core.domain import Gap, Script, Segment, Transcript, Word
from whisper_service.core.errors import InvalidRequest
from whisper_service.core.text import clean
from whisper_service.core.timecode import clock
from whisper_service.export import documents, render, subtitles
from whisper_service.export.captions.pieces import line
from whisper_service.export.captions.style import Style
from whisper_service.export.captions.timing import Cue, cues
from whisper_service.export.layout import OPTIONS, Layout, layout_of
from whisper_service.export.render import Format
from whisper_service.export.speaker_names import names_shown


def transcript(*segments: Segment, gaps: tuple[Gap, ...] = ()) -> Transcript:
    return Transcript(name="a.wav", duration_s=10.0, language="en", model="base", segments=segments, gaps=gaps)


def segment(start: float, end: float, text: str, speaker: str | None = None) -> Segment:
    return Segment(chunk=0, index=0, start=start, end=end, text=text, speaker=speaker)


EMPTY = transcript()
TALK = transcript(
    segment(0.0, 2.5, " Hello there."),
    segment(360_061.0405, 360_062.0, " 你好,\n世界 <b>&</b> --> x\ty"),
    gaps=(Gap(start=60.0, end=90.5, reason="it killed\nthe model"),),
)
HEBREW = transcript(segment(1.0, 3.0, "שלום (עולם) 123!"))


def text(value: Transcript, format: Format, layout: Layout | None = None) -> str:
    return render.render(value, format, layout).decode()


@pytest.mark.parametrize(
    ("format", "said"),
    [
        (Format.TXT, ""),
        (Format.SRT, ""),
        (Format.VTT, "WEBVTT\n"),
        (Format.TSV, "start\tend\ttext\n"),
        (Format.LRC, "[ti:a.wav]\n[re:whisper_service]\n"),
        (Format.MD, "# a\n"),
    ],
)
def test_a_transcript_without_speech_is_a_valid_file(format: Format, said: str) -> None:
    assert text(EMPTY, format) == said
    assert text(transcript(segment(0, 1, "  \n ")), format) == said


def test_empty_ass_and_docx_open() -> None:
    assert pysubs2.SSAFile.from_string(text(EMPTY, Format.ASS)).events == []
    assert [p.text for p in open_docx(EMPTY).paragraphs] == ["a"]


def test_txt() -> None:
    assert text(TALK, Format.TXT).splitlines() == [
        "Hello there.",
        "[00:01:00.000 - 00:01:30.500 not transcribed: it killed the model]",
        "你好, 世界 <b>&</b> --> x y",
    ]


def test_srt() -> None:
    assert text(TALK, Format.SRT) == (
        "1\n00:00:00,000 --> 00:00:02,500\nHello there.\n\n"
        "2\n00:01:00,000 --> 00:01:30,500\n[not transcribed: it killed the model]\n\n"
        "3\n100:01:01,040 --> 100:01:02,602\n你好, 世界 <b>&</b> → x y\n\n"
    )


def test_vtt() -> None:
    assert text(TALK, Format.VTT) == (
        "WEBVTT\n"
        "\n00:00:00.000 --> 00:00:02.500\nHello there.\n"
        "\n00:01:00.000 --> 00:01:30.500\n[not transcribed: it killed the model]\n"
        "\n100:01:01.040 --> 100:01:02.602\n你好, 世界 &lt;b&gt;&amp;&lt;/b&gt; --&gt; x y\n"
    )


def test_vtt_with_the_time_of_every_word() -> None:
    words = (Word(1.0, 1.4, " Hello", 0.9), Word(1.4, 1.6, " <you>", 0.9), Word(1.6, 2.0, " there.", 0.9))
    value = transcript(Segment(0, 0, 1.0, 2.0, "Hello <you> there.", words))
    said = text(value, Format.VTT, Layout(word_times=True))
    assert "Hello <00:00:01.400>&lt;you&gt; <00:00:01.600>there.\n" in said
    (caption,) = webvtt.from_buffer(io.BytesIO(said.encode())).captions
    assert unescape(caption.text) == "Hello <you> there."


def test_speakers_are_voices_in_vtt_and_names_in_ass() -> None:
    value = transcript(segment(0, 2, "Good morning.", "Anna <A>, B"), segment(2, 4, "Hello."))
    first, second = webvtt.from_buffer(io.BytesIO(render.render(value, Format.VTT))).captions
    assert (unescape(str(first.voice)), first.text, second.voice) == ("Anna <A>, B", "Good morning.", None)
    events = pysubs2.SSAFile.from_string(text(value, Format.ASS)).events
    assert [(event.name, event.plaintext) for event in events] == [("Anna <A> B", "Good morning."), ("", "Hello.")]
    assert "**00:00:00** **Anna \\<A\\>, B:** Good morning." in text(value, Format.MD)
    assert [p.text for p in open_docx(value).paragraphs][1] == "00:00:00 Anna <A>, B: Good morning."


def test_ass() -> None:
    *_, gap, last = text(TALK, Format.ASS).splitlines()
    assert gap == "Dialogue: 0,0:01:00.00,0:01:30.50,Default,,0,0,0,,[not transcribed: it killed the model]"
    assert last == "Dialogue: 0,100:01:01.04,100:01:02.60,Default,,0,0,0,,你好, 世界 <b>&</b> --> x y"


def test_what_ass_takes_for_syntax() -> None:
    (event,) = pysubs2.SSAFile.from_string(text(transcript(segment(0, 1, r"a\Nb {\b1}c")), Format.ASS)).events
    assert event.plaintext.replace("\u2060", "") == r"a\Nb ｛\b1｝c"


def test_lrc() -> None:
    assert text(TALK, Format.LRC).splitlines()[2:] == [
        "[00:00.00]Hello there.",
        "[00:02.50]",
        "[01:00.00]［not transcribed: it killed the model］",
        "[01:30.50]",
        "[6001:01.04]你好, 世界 <b>&</b> --> x y",
        "[6001:02.60]",
    ]
    assert "［00:01.00］ ＜1:2> ［x］" in text(transcript(segment(0, 1, "[00:01.00] <1:2> [x]")), Format.LRC)


def test_tsv() -> None:
    assert text(TALK, Format.TSV).splitlines()[1] == "0\t2500\tHello there."
    assert text(TALK, Format.TSV).splitlines()[3] == "360061040\t360062000\t你好, 世界 <b>&</b> --> x y"


def test_md_has_paragraphs_with_their_time() -> None:
    value = transcript(
        segment(0, 2, "*One*."), segment(2.5, 4, "Two."), segment(9, 10, "Three."), gaps=(Gap(20, 30, "x"),)
    )
    assert text(value, Format.MD) == (
        "# a\n\n**00:00:00** \\*One\\*. Two.\n\n**00:00:09** Three.\n\n"
        "**00:00:20** \\[00:00:20.000 - 00:00:30.000 not transcribed: x\\]\n"
    )
    assert text(value, Format.MD, Layout(times=False)).splitlines()[2] == "\\*One\\*. Two."


def test_chinese_sentences_stand_together_in_a_paragraph() -> None:
    value = transcript(segment(0, 1, "你好。"), segment(1, 2, "再见"), segment(2, 3, "Bye."))
    assert text(value, Format.MD, Layout(times=False)).splitlines()[2] == "你好。再见 Bye."


def test_docx_runs_from_right_to_left_where_its_text_does() -> None:
    document = open_docx(HEBREW)
    paragraph = document.paragraphs[1]
    assert paragraph.text == "00:00:01 שלום (עולם) 123!"
    assert paragraph.runs[-1].font.rtl
    assert "<w:bidi/>" in paragraph._p.xml
    assert not open_docx(TALK).paragraphs[1].runs[-1].font.rtl


def test_docx_has_a_title_and_is_the_same_every_time() -> None:
    document = open_docx(TALK)
    assert (document.core_properties.title, document.paragraphs[0].style.name) == ("a", "Title")
    assert document.core_properties.author == "whisper_service"
    named = render.render(TALK, Format.DOCX, Layout(author="Acme & <Sons>"))
    assert docx.Document(io.BytesIO(named)).core_properties.author == "Acme & <Sons>"
    assert [run.bold for run in document.paragraphs[1].runs] == [True, None]
    assert render.render(TALK, Format.DOCX) == render.render(TALK, Format.DOCX)
    assert zipfile.ZipFile(io.BytesIO(render.render(TALK, Format.DOCX))).testzip() is None


@pytest.mark.parametrize("format", [Format.SRT, Format.VTT, Format.ASS, Format.LRC, Format.TXT, Format.TSV])
def test_right_to_left_text_stays_in_logical_order(format: Format) -> None:
    assert "שלום (עולם) 123!" in text(HEBREW, format)


def test_the_style_of_captions_can_be_chosen() -> None:
    value = transcript(segment(0, 4, "one two three four five six"))
    assert "one two three four five six" in text(value, Format.SRT)
    narrow = text(value, Format.SRT, Layout(style=Style(line_columns=14)))
    rows = [row for cue in srt.parse(narrow) for row in cue.content.splitlines()]
    assert " ".join(rows) == "one two three four five six"
    assert max(map(len, rows)) <= 14


def test_json_is_the_whole_transcript() -> None:
    whole = msgspec.structs.replace(TALK, segments=(Segment(0, 0, 0.0, 1.0, "a", (Word(0.0, 1.0, " a", 0.5),)),))
    assert msgspec.json.decode(render.render(whole, Format.JSON), type=Transcript) == whole


def test_every_format_has_a_media_type_that_names_the_encoding_of_its_text() -> None:
    kinds = [format.exporter.media_type for format in Format]
    assert len(set(kinds)) == len(kinds)
    assert all(kind.startswith("application/") or kind.endswith("charset=utf-8") for kind in kinds)


@pytest.mark.parametrize("format", Format)
def test_a_format_has_the_options_that_it_names_and_no_others(format: Format) -> None:
    chinese = msgspec.structs.replace(segment(6.0, 9.0, "这些头发"), language="zh")
    named = (msgspec.structs.replace(each, speaker=str(at)) for at, each in enumerate([*TALK.segments, chinese]))
    value = msgspec.structs.replace(TALK, segments=tuple(named))
    plain = render.render(value, format)
    others = {
        "line_columns": 9,
        "word_times": True,
        "times": False,
        "script": "traditional",
        "bom": True,
        "author": "Li",
        "speakers": format is Format.TSV,  # the only format that has names on request only
    }
    for name, other in others.items():
        assert (render.render(value, format, layout_of(Style(), {name: other})) != plain) == (
            name in format.exporter.options
        ), name
    assert set(format.exporter.options) <= set(OPTIONS)


@pytest.mark.parametrize(
    ("milliseconds", "said"),
    [(0, "00:00:00,000"), (59_999, "00:00:59,999"), (3_600_000, "01:00:00,000"), (360_000_000, "100:00:00,000")],
)
def test_clock(milliseconds: int, said: str) -> None:
    assert clock(milliseconds, ",") == said


def test_rounding_carries_over() -> None:
    (passage,) = documents.passages(transcript(segment(59.9996, 59.9997, "x")))
    assert (passage.start, passage.end) == (60_000, 60_001)


texts = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=60),
    st.lists(
        st.sampled_from(
            [
                "-->",
                "\n",
                "\r\n",
                "1",
                "00:00:01,000 --> 00:00:02,000",
                "WEBVTT",
                "NOTE x",
                "STYLE",
                "<i>",
                "&amp;",
                "&",
                " ",
                "\t",
                "\x0b",
                "\u2028",
                "\x00",
                "好",
                "[x]",
                "{\\b1}",
                "\\N",
                "[00:01.00]",
                "<01:02.03>",
                "# ",
                "**",
                "_a_",
                "`",
                "1. ",
                "שלום",
                "[a](b)",
                '"',
                ",",
                "<!--",
                "https://a.b/_c_",
            ]
        ),
        max_size=8,
    ).map("".join),
)
speakers = st.sampled_from([None, None, "A", " B,<>&\n"])


def talks(times: st.SearchStrategy[float]) -> st.SearchStrategy[Transcript]:
    gaps = st.lists(st.builds(Gap, times, times, texts), max_size=2).map(tuple)
    return st.builds(transcript, *([st.builds(segment, times, times, texts, speakers)] * 3), gaps=gaps)


transcripts = talks(st.floats(0, 400_000))
early = talks(st.floats(0, 58_000))


def within(seconds: int) -> Callable[[Transcript], bool]:
    """Return a check that all times are below `seconds`: ass has two digits of hours, lrc three of minutes."""
    return lambda value: all(max(item.start, item.end) < seconds for item in [*value.segments, *value.gaps])


choices = st.fixed_dictionaries(
    {},
    optional={
        "line_columns": st.integers(8, 120).map(str),
        "cjk_line_columns": st.integers(8, 120),
        "lines": st.sampled_from(["1", "2"]),
        "chars_per_s": st.floats(1, 100).map(str),
        "min_s": st.floats(0, 0.5),
        "max_s": st.floats(1, 60),
        "word_times": st.sampled_from(["true", "false"]),
        "script": st.sampled_from([*Script]),
        "bom": st.booleans(),
        "times": st.sampled_from(["0", "1"]),
        "speakers": st.booleans(),
    },
)


@pytest.mark.parametrize("format", Format)
@settings(max_examples=20)
@given(value=transcripts.filter(within(359_000)), given=choices)
def test_whatever_is_chosen_every_format_opens_and_says_the_same(
    value: Transcript, given: dict[str, str], format: Format
) -> None:
    layout = layout_of(Style(), given)
    said = render.render(value, format, layout)
    marked = layout.bom and format not in (Format.JSON, Format.DOCX)
    assert said.startswith(b"\xef\xbb\xbf") == marked
    chosen = value if layout.script is None else convert(value, layout.script)
    found = cues(chosen, layout.style, named=format is Format.SRT and names_shown(value, layout))
    match format:
        case Format.SRT:
            times = [
                (c.start // timedelta(milliseconds=1), c.end // timedelta(milliseconds=1))
                for c in srt.parse(said.decode("utf-8-sig"))
            ]
            assert times == [(c.start, c.end) for c in found]
        case Format.VTT:
            read = webvtt.from_buffer(io.BytesIO(said)).captions
            assert [(c.start, c.end) for c in read] == [(clock(c.start), clock(c.end)) for c in found]
        case Format.ASS:
            assert len(pysubs2.SSAFile.from_string(said.decode("utf-8-sig")).events) == len(found)
        case Format.LRC:
            assert said.decode("utf-8-sig").count("\n") >= len(found)
        case Format.JSON:
            assert msgspec.json.decode(said, type=Transcript).name == value.name
        case Format.DOCX:
            assert docx.Document(io.BytesIO(said)).paragraphs[0].text == "a"
        case Format.TXT | Format.TSV | Format.MD:
            assert said.decode("utf-8-sig").endswith("\n") or not list(documents.passages(value))


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"line_columns": "7"}, "line_columns"),
        ({"lines": "three"}, "lines"),
        ({"min_s": "9"}, "min_s"),
        ({"script": "pinyin"}, "script"),
        ({"bom": "maybe"}, "bom"),
        ({"speakers": "2"}, "speakers"),
        ({"colour": "red"}, "colour"),
        ({"style": "big"}, "style"),
    ],
)
def test_a_choice_that_there_is_not_is_named(given: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        layout_of(Style(), given)
    assert refused.value.params["field"] == field


def test_chinese_is_exported_in_the_script_that_is_wanted() -> None:
    said = transcript(msgspec.structs.replace(segment(0.0, 3.0, "这些头发"), language="zh"))
    assert text(said, Format.TXT, Layout(script=Script.TRADITIONAL)) == "這些頭髮\n"
    assert text(said, Format.SRT, Layout(script=Script.TRADITIONAL)).splitlines()[2] == "這些頭髮"
    assert text(said, Format.TXT) == "这些头发\n"


@given(transcripts)
def test_passages_are_in_order_and_last(value: Transcript) -> None:
    found = list(documents.passages(value))
    assert [passage.start for passage in found] == sorted(passage.start for passage in found)
    assert all(passage.end > passage.start >= 0 and passage.text for passage in found)
    assert len(found) == len(value.gaps) + sum(1 for s in value.segments if clean(s.text))


@given(transcripts)
def test_srt_is_read_back(value: Transcript) -> None:
    read = [(c.start, c.end, c.content) for c in srt.parse(text(value, Format.SRT))]
    assert read == [
        (timedelta(milliseconds=c.start), timedelta(milliseconds=c.end), "\n".join(c.lines).replace("-->", "→"))
        for c in cues(value, named=names_shown(value, Layout()))
    ]


@given(transcripts)
def test_vtt_is_read_back(value: Transcript) -> None:
    read = webvtt.from_buffer(io.BytesIO(render.render(value, Format.VTT))).captions
    found = cues(value)
    assert [(c.start, c.end) for c in read] == [(clock(c.start), clock(c.end)) for c in found]
    assert [unescape(re.sub("^<v [^>]*>", "", c.raw_text)) for c in read] == ["\n".join(c.lines) for c in found]


@given(transcripts)
def test_vtt_with_word_times_says_the_same(value: Transcript) -> None:
    said = subtitles.to_vtt(value, Layout(word_times=True))
    plain = re.sub(r"<\d\d+:\d\d:\d\d\.\d{3}>", "", said)
    assert plain == subtitles.to_vtt(value, Layout())
    for caption, cue in zip(webvtt.from_buffer(io.BytesIO(said.encode())).captions, cues(value), strict=True):
        tags = [parsed(tag) for tag in re.findall(r"<(\d\d+:\d\d:\d\d\.\d{3})>", caption.raw_text)]
        assert all(before < after for before, after in pairwise([cue.start, *tags, cue.end]))


@given(transcripts.filter(within(359_000)))
def test_ass_is_read_back(value: Transcript) -> None:
    read = pysubs2.SSAFile.from_string(text(value, Format.ASS)).events
    found = cues(value)
    assert [event.start for event in read] == [c.start // 10 * 10 for c in found]
    assert all(event.end > event.start for event in read)
    assert [event.plaintext.replace("\\\u2060", "\\") for event in read] == [
        "\n".join(c.lines).replace("{", "｛").replace("}", "｝").replace("\\\u2060", "\\") for c in found
    ]


@given(early.filter(within(59_000)))
def test_lrc_is_read_back(value: Transcript) -> None:
    read = LrcParser.parse(text(value, Format.LRC))["lrc_lines"]
    spoken = [item for item in read if str(item.text)]
    found = cues(value)
    times = [
        (item.start_time.minutes * 60 + item.start_time.seconds) * 1000 + item.start_time.microseconds // 1000
        for item in spoken
    ]
    assert [str(item.text) for item in spoken] == [lyric(cue) for cue in found]
    assert times == [cue.start // 10 * 10 for cue in found]


@given(transcripts)
def test_tsv_and_txt_have_one_line_per_passage(value: Transcript) -> None:
    found = list(documents.passages(value))
    rows = list(csv.reader(io.StringIO(text(value, Format.TSV), newline=""), delimiter="\t", quoting=csv.QUOTE_NONE))
    assert rows == [["start", "end", "text"], *([str(p.start), str(p.end), p.text] for p in found)]
    assert text(value, Format.TXT, Layout(speakers=False)).split("\n")[:-1] == [p.text for p in found]
    lines = text(value, Format.TXT).split("\n")[:-1]
    assert all(line in (p.text, f"{p.name}: {p.text}") for line, p in zip(lines, found, strict=True))


@given(transcripts)
def test_md_shows_the_text_as_it_is(value: Transcript) -> None:
    tokens = MarkdownIt("commonmark").parse(text(value, Format.MD, Layout(times=False)))
    shown = ["".join(child.content for child in token.children or ()) for token in tokens if token.type == "inline"]
    heading, *paragraphs = shown
    assert heading == "a"
    assert "".join("".join(paragraphs).split()) == wanted(value)


@given(transcripts)
def test_docx_is_read_back(value: Transcript) -> None:
    title, *paragraphs = [p.text for p in open_docx(value, times=False).paragraphs]
    assert title == "a"
    assert "".join("".join(paragraphs).split()) == wanted(value)


def wanted(value: Transcript) -> str:
    """Return the paragraphs with the names of speakers, without spaces."""
    found = map(documents.joined, documents.paragraphs(value))
    said = "".join("".join([*p.marks(Layout(times=False)), p.text]) for p in found).translate(
        {0xFFFE: None, 0xFFFF: None}
    )
    return "".join(said.split())


def open_docx(value: Transcript, *, times: bool = True) -> docx.document.Document:
    return docx.Document(io.BytesIO(render.render(value, Format.DOCX, Layout(times=times))))


def lyric(cue: Cue) -> str:
    said = line([piece for row in cue.rows for piece in row])
    return re.sub(r"<(?=\d+:\d)", "＜", said.replace("[", "［").replace("]", "］"))


def parsed(tag: str) -> int:
    hours, minutes, seconds = tag.split(":")
    return (int(hours) * 60 + int(minutes)) * 60_000 + round(float(seconds) * 1000)


def unescape(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
