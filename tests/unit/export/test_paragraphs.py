"""Paragraphs of files are those that the page shows: both have the same cases."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from whisper_service.core.domain import Gap, Segment, Transcript
from whisper_service.export.documents import paragraphs, passages

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parents[2] / "ui" / "paragraphs.json").read_text())


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_paragraphs(case: dict[str, Any]) -> None:
    segments, gaps = [], []
    for number, (start, end, text, *speaker) in enumerate(case["passages"]):
        if text is None:
            gaps.append(Gap(start, end, "It crashed."))
        else:
            long = re.sub(r"(.)\*(\d+)", lambda found: found[1] * int(found[2]), text)
            segments.append(Segment(0, number, start, end, long, speaker=speaker[0] if speaker else None))
    transcript = Transcript("a", 60.0, "en", "base", tuple(segments), tuple(gaps))
    numbers = {passage: number for number, passage in enumerate(passages(transcript))}
    assert [[numbers[passage] for passage in held] for held in paragraphs(transcript)] == case["paragraphs"]
