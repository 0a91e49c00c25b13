"""Files of recordings in which at most one speaker is known: byte for byte as before speakers were told apart.

`without_speakers.json` has the files that the service wrote then.
"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest
from msgspec.structs import replace

from whisper_service.core.domain import Gap, Segment, Transcript, Word
from whisper_service.export import render
from whisper_service.export.captions.style import Style
from whisper_service.export.layout import Layout
from whisper_service.export.render import Format

GOLDEN = Path(__file__).with_name("without_speakers.json")


def said(start: float, text: str, *, language: str = "en", index: int = 0, parts: tuple[str, ...] = ()) -> Segment:
    """Return a segment with words of 0.4 s; without `parts`, those between spaces."""
    words = tuple(
        Word(round(start + at * 0.4, 3), round(start + at * 0.4 + 0.4, 3), part, 0.9)
        for at, part in enumerate(parts or [f" {word}" for word in text.split()])
    )
    return Segment(0, index, start, words[-1].end, text, words, language, -0.25, 0.01, 1.3)


TALK = Transcript(
    name="a talk.wav",
    duration_s=60.0,
    language="en",
    model="base",
    segments=(
        said(0.5, " We went down to the river. Nobody had seen the boat: <b>&</b> --> for days."),
        said(9.0, " When the rain had stopped, we packed our things into the old car.", index=1),
        Segment(1, 0, 40.0, 42.5, " No words here,\n[only] {text}."),
        Segment(1, 1, 42.5, 43.0, " "),
    ),
    gaps=(Gap(20.0, 30.5, "it killed\nthe model"),),
)
CHINESE = Transcript(
    name="会议.mp3",
    duration_s=30.0,
    language="zh",
    model="base",
    segments=(
        said(1.0, "今天我们来讨论人工智能。", language="zh", parts=("今天", "我们", "来", "讨论", "人工", "智能。")),
        said(4.0, "谢谢大家!", language="zh", index=1, parts=("谢谢", "大家!")),
    ),
)
ONE = replace(TALK, segments=tuple(replace(segment, speaker="Anna, <A>") for segment in TALK.segments))
"""A talk in which a person gave every line one speaker."""
TRANSCRIPTS = {"talk": TALK, "chinese": CHINESE, "one": ONE, "empty": replace(TALK, segments=(), gaps=())}
LAYOUTS = {
    "plain": Layout(),
    "other": Layout(Style(line_columns=24, lines=1), word_times=True, times=False, bom=True, author="Li"),
}
CASES = [(name, kind, look) for name in TRANSCRIPTS for kind in Format for look in LAYOUTS]


def content(file: bytes, kind: Format) -> str:
    """Return all bytes of a file as text. Of a docx, those of its parts: compression may differ between machines."""
    if kind is not Format.DOCX:
        return file.decode()
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        return "\n".join(f"{name}\n{archive.read(name).decode()}" for name in archive.namelist())


@pytest.mark.parametrize(("name", "kind", "look"), CASES)
def test_the_file_is_as_it_was(name: str, kind: Format, look: str) -> None:
    golden = json.loads(GOLDEN.read_text("utf-8"))
    assert len(golden) == len(CASES)
    file = render.render(TRANSCRIPTS[name], kind, LAYOUTS[look])
    assert content(file, kind) == golden[f"{name}.{look}.{kind.value}"]
