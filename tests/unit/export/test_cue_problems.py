"""What is wrong with a cue is what the page says: both have the same cases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from whisper_service.core.timecode import milliseconds
from whisper_service.export.captions.problems import CueProblem, characters_per_s, problems
from whisper_service.export.captions.style import Style

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parents[2] / "ui" / "cues.json").read_text("utf-8"))


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_problems(case: dict[str, Any]) -> None:
    start, end = milliseconds(case["start"]), milliseconds(case["end"])
    after = None if case["after"] is None else milliseconds(case["after"])
    assert list(problems(case["rows"], start, end, after, Style())) == case["problems"]
    assert round(characters_per_s(case["rows"], start, end), 2) == case["speed"]


def test_every_problem_has_a_case() -> None:
    assert {each for case in CASES for each in case["problems"]} == set(CueProblem)
