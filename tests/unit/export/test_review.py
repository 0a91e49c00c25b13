"""Files with what people did: notes, lines that nobody checked, changes against the text of the model."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Sequence
from xml.etree import ElementTree as ET

import docx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from whisper_service.core.domain import Gap, Script, Segment, Transcript
from whisper_service.editing.marks import MarkKind
from whisper_service.export.documents import joined, paragraphs
from whisper_service.export.layout import Layout
from whisper_service.export.notes import Remark, TextPlace, notes_as_csv
from whisper_service.export.render import Format, render
from whisper_service.export.review import Review

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"


def transcript(*texts: tuple[int, str], language: str = "en", gaps: tuple[Gap, ...] = ()) -> Transcript:
    """Return a transcript of numbered lines, 1 s each. Those with a number above 100 come 10 s later."""
    segments = [
        Segment(0, number, at + (10.0 if number > 100 else 0.0), at + (11.0 if number > 100 else 1.0), text)
        for at, (number, text) in enumerate(texts)
    ]
    return Transcript("talk.wav", 60.0, language, "base", tuple(segments), gaps)


def xml_of(file: bytes, name: str = "word/document.xml") -> ET.Element:
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        assert archive.testzip() is None
        return ET.fromstring(archive.read(name))


def text_of(file: bytes, *, accept: bool) -> list[str]:
    """Return the paragraphs behind the title, with all changes accepted or rejected, by the rules of the format."""
    drop, keep = (f"{W}del", f"{W}ins") if accept else (f"{W}ins", f"{W}del")
    found, held = [], ""
    for paragraph in list(xml_of(file).iter(f"{W}p"))[1:]:
        for child in paragraph:
            if child.tag == drop:
                continue
            runs = list(child) if child.tag == keep else [child]
            held += "".join(part.text or "" for run in runs for part in run if part.tag in (f"{W}t", f"{W}delText"))
        if not accept and paragraph.find(f"{W}pPr/{W}rPr/{W}ins") is not None:
            continue  # the end of this paragraph was inserted
        found.append(held)
        held = ""
    return [*found, held] if held else found


def plain(value: Transcript) -> list[str]:
    return [joined(held).text for held in paragraphs(value)]


def said(texts: Sequence[str]) -> str:
    return " ".join(" ".join(texts).split())


def compared(current: Transcript, machine: Transcript, **layout: object) -> bytes:
    return render(current, Format.DOCX, Layout(compare=True, times=False, **layout), Review(machine=machine))  # type: ignore[arg-type]


SEVEN, NINE, APPLE = OLD_LINES = ((0, "Use the seven key."), (1, "And the nine key for said."), (102, "那么苹果呢？"))
OLD = transcript(*OLD_LINES)


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(OLD_LINES, id="nothing"),
        pytest.param([(0, "Use the 7 key."), (1, "And the nine key for Z."), (102, "那么香蕉呢？")], id="words"),
        pytest.param([(0, "Use the seven key. And the nine key for said."), APPLE], id="joined"),
        pytest.param([(0, "Use the"), (2048, "seven key."), NINE, APPLE], id="split"),
        pytest.param([SEVEN, (2148, "And."), NINE, APPLE], id="split into paragraphs"),
        pytest.param([NINE, APPLE], id="first deleted"),
        pytest.param([(2050, "Hello."), (1, "And the nine key"), (102, "那么苹果呢？ Well.")], id="first written"),
        pytest.param([(2050, "All new.")], id="all"),
        pytest.param([], id="none"),
    ],
)
def test_accepted_changes_are_the_current_text_and_rejected_ones_the_models(
    lines: Sequence[tuple[int, str]],
) -> None:
    new = transcript(*lines)
    file = compared(new, OLD)
    assert text_of(file, accept=True) == (plain(new) or [""])
    assert said(text_of(file, accept=False)) == said(plain(OLD))
    docx.Document(io.BytesIO(file))


def test_gaps_are_in_both_texts() -> None:
    gap = (Gap(1.2, 1.4, "It crashed."),)
    new, old = transcript((0, "One."), (1, "Two!"), gaps=gap), transcript((0, "One."), (1, "Two."), gaps=gap)
    file = compared(new, old)
    assert text_of(file, accept=True) == ["One. Two!", "[00:00:01.200 - 00:00:01.400 not transcribed: It crashed.]"]
    assert text_of(file, accept=False) == plain(old)


def test_only_changed_words_are_tracked() -> None:
    new = transcript((0, "Use the 7 key."), (1, "And the nine key for said."), (102, "那么香蕉呢？"))
    root = xml_of(compared(new, OLD, author="Council"))
    tracked = [
        (change.tag, "".join(change.itertext())) for change in root.iter() if change.tag in (f"{W}ins", f"{W}del")
    ]
    assert tracked == [
        (f"{W}del", "seven"), (f"{W}ins", "7"), (f"{W}del", "苹果"), (f"{W}ins", "香蕉"),
    ]  # fmt: skip
    changes = [change for change in root.iter() if change.tag in (f"{W}ins", f"{W}del")]
    assert {change.get(f"{W}author") for change in changes} == {"Council"}
    assert len({change.get(f"{W}id") for change in changes}) == 4


def test_the_times_of_paragraphs_are_no_changes_unless_they_are_new() -> None:
    new = transcript((0, "Use the seven key."), (2148, "Hm."), (1, "And the nine key for said."), (102, "那么苹果呢？"))
    root = xml_of(render(new, Format.DOCX, Layout(compare=True), Review(machine=OLD)))
    inserted = ["".join(change.itertext()) for change in root.iter(f"{W}ins")]
    assert [text for text in inserted if text] == ["00:00:11 ", "Hm."]


words = st.lists(st.sampled_from(["key", "the", "nine", "那", "么", "Z.", "<b>&"]), min_size=1, max_size=6).map(
    " ".join
)


@given(st.lists(words, max_size=5), st.data())
def test_any_change_can_be_accepted_and_rejected(texts: list[str], data: st.DataObject) -> None:
    old = transcript(*enumerate(texts))
    lines = [
        (number, data.draw(st.just(text) | words)) for number, text in enumerate(texts) if data.draw(st.integers(0, 3))
    ]
    for number in range(data.draw(st.integers(0, 2))):
        lines.insert(data.draw(st.integers(0, len(lines))), (2048 + number, data.draw(words)))
    new = transcript(*lines)
    file = compared(new, old)
    assert text_of(file, accept=True) == (plain(new) or [""])
    assert said(text_of(file, accept=False)).replace(" ", "") == said(plain(old)).replace(" ", "")


NOTE = Remark(
    MarkKind.NOTE, 12.5, "the *seven*", TextPlace((0, 0), 4), TextPlace((0, 1), 3),
    speaker="Anna", colour=3, text="Which one?", author="Li", at=1_700_000_000.0,
)  # fmt: skip
LOST = Remark(MarkKind.HIGHLIGHT, 3.0, "um", TextPlace((0, 1), 0), TextPlace((0, 1), 26), lost=True, at=1_700_000_000.0)


def test_notes_are_comments_on_their_words_in_a_docx() -> None:
    file = render(OLD, Format.DOCX, Layout(notes=True), Review(remarks=(NOTE, LOST)))
    root, comments = xml_of(file), xml_of(file, "word/comments.xml")
    assert [(c.get(f"{W}author"), "".join(c.itertext())) for c in comments] == [
        ("Li", "Which one?"),
        ("?", "Highlight[um]"),
    ]
    on, open_ = {}, set()
    for element in root.iter():
        number = element.get(f"{W}id")
        if element.tag == f"{W}commentRangeStart":
            open_.add(number)
        elif element.tag == f"{W}commentRangeEnd":
            open_.remove(number)
        elif element.tag == f"{W}t":
            for each in open_:
                on[each] = on.get(each, "") + (element.text or "")
    assert on == {"0": "the seven key. And", "1": "And the nine key for said."}
    assert {element.get(f"{W}fill") for element in root.iter(f"{W}shd")} == {"CBE3FF", "FFF2A8"}
    assert [p.text for p in docx.Document(io.BytesIO(file)).paragraphs] == [
        p.text for p in docx.Document(io.BytesIO(render(OLD, Format.DOCX))).paragraphs
    ]


def test_notes_changes_and_unchecked_lines_go_together() -> None:
    new = transcript((0, "Use the 7 key."), (1, "And the nine key for said."), (102, "那么苹果呢？"))
    layout = Layout(notes=True, unchecked=True, compare=True, times=False)
    file = render(new, Format.DOCX, layout, Review((NOTE,), frozenset({(0, 1)}), OLD))
    assert text_of(file, accept=True) == [
        "[unchecked] Use the 7 key. And the nine key for said.", "[unchecked] 那么苹果呢？",
    ]  # fmt: skip
    runs, on = xml_of(file), False
    marked = ""
    for element in runs.iter():
        on = (on or element.tag == f"{W}commentRangeStart") and element.tag != f"{W}commentRangeEnd"
        marked += (element.text or "") if on and element.tag == f"{W}t" else ""
    assert marked == "the 7 key. And"


def test_notes_stand_at_the_end_of_a_markdown_file() -> None:
    text = render(OLD, Format.MD, Layout(notes=True), Review((NOTE, LOST))).decode()
    assert text.startswith(render(OLD, Format.MD).decode())
    section = text.removeprefix(render(OLD, Format.MD).decode())
    assert section == (
        "\n## Notes\n\n- **00:00:12** Anna: “the \\*seven\\*” — Which one? (Li)\n- **00:00:03** ~~um~~\n"
    )
    assert "<h2>Notes</h2>" in MarkdownIt().render(text)
    assert (
        "## 备注"
        in render(transcript((0, "好"), language="zh"), Format.MD, Layout(notes=True), Review((NOTE,))).decode()
    )
    assert render(OLD, Format.MD, Layout(notes=True), Review()) == render(OLD, Format.MD)


def test_notes_are_a_table_in_csv() -> None:
    odd = Remark(MarkKind.BOOKMARK, 1.0, 'He said "no", twice', text="a\nb", author="王", at=0.0)
    header, first, second = csv.reader(io.StringIO(notes_as_csv([NOTE, odd]), newline=""))
    assert header == ["time", "kind", "colour", "speaker", "words", "deleted", "note", "author", "written"]
    assert first == [
        "00:00:12.500", "note", "blue", "Anna", "the *seven*", "", "Which one?", "Li", "2023-11-14T22:13:20Z",
    ]  # fmt: skip
    assert second[1:8] == ["bookmark", "", "", 'He said "no", twice', "", "a\nb", "王"]


def test_lines_that_nobody_checked_say_so_once() -> None:
    cut = transcript((0, "One."), (0, "Two."), (1, "Three."), (2, " "))
    layout = Layout(unchecked=True)
    review = Review(checked=frozenset({(0, 1)}))
    assert render(cut, Format.TXT, layout, review).decode() == "[unchecked] One.\nTwo.\nThree.\n"
    chinese = transcript((0, "你好。"), language="zh")
    assert render(chinese, Format.TXT, layout, Review()).decode() == "[未校对] 你好。\n"
    assert render(cut, Format.SRT, layout, review) == render(cut, Format.SRT)
    assert "[unchecked] One. Two. Three." in render(cut, Format.MD, layout, review).decode().replace("\\", "")


def test_both_texts_are_in_the_script_that_is_asked_for() -> None:
    new, old = transcript((0, "这里说。"), language="zh"), transcript((0, "这边说。"), language="zh")
    file = compared(new, old, script=Script.TRADITIONAL)
    assert (text_of(file, accept=True), text_of(file, accept=False)) == (["這裏說。"], ["這邊說。"])


def test_without_a_review_the_options_change_nothing() -> None:
    for kind in (Format.DOCX, Format.MD, Format.TXT):
        assert render(OLD, kind, Layout(notes=True, unchecked=True, compare=True)) == render(OLD, kind)
