"""Two edits of one text. The page merges by the same cases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_service.editing.merging import merge_texts

CASES: list[dict[str, Any]] = msgspec.json.decode(Path(__file__).with_name("merge.json").read_bytes())
TEXT = st.lists(st.sampled_from(["so", "we", "go", "是", "好"]), max_size=6).map(" ".join)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_edits_apart_are_both_kept_and_others_are_left_to_a_person(case: dict[str, Any]) -> None:
    assert merge_texts(case["base"], case["mine"], case["theirs"]) == case["merged"]
    assert merge_texts(case["base"], case["theirs"], case["mine"]) == case["merged"]


@given(TEXT, TEXT, TEXT)
def test_it_does_not_matter_who_was_first(base: str, mine: str, theirs: str) -> None:
    assert merge_texts(base, mine, theirs) == merge_texts(base, theirs, mine)


@given(TEXT, TEXT)
def test_a_side_without_changes_takes_what_the_other_wrote(base: str, theirs: str) -> None:
    assert merge_texts(base, base, theirs) == merge_texts(base, theirs, theirs) == theirs
