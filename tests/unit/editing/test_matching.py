"""A phrase in a line. tests/ui/find.test.ts runs the same cases."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_service.core.chinese import variants
from whisper_service.editing.matching import Phrase, occurrences, with_replacement

CASES = json.loads(Path(__file__).with_name("find.json").read_text("utf-8"))
TEXTS = st.text(st.sampled_from("aAbBéİßσςΣ'’“\" ！Ａｶﾞe\u0301苹蘋发髮𠮷🍎가\u1100\u1161_1"), max_size=30)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_finds(case: dict[str, Any]) -> None:
    phrase = Phrase(case["find"], case=case.get("case", False), whole=case.get("whole", False))
    text, found = case["text"], occurrences(case["text"], phrase, variants() if case.get("scripts") else None)
    bounds = [0, *(at for place in found for at in place), len(text)]
    assert [text[first:last] for first, last in pairwise(bounds)] == case["parts"]


def test_the_cases_are_there() -> None:
    assert len(CASES) > 20
    assert all("".join(case["parts"]) == case["text"] for case in CASES)


def test_a_replacement_takes_the_place_of_each_find() -> None:
    found = occurrences("The pound, pound!", Phrase("pound"))
    assert with_replacement("The pound, pound!", found, "hash") == "The hash, hash!"
    assert with_replacement("The pound, pound!", found, "") == "The , !"
    assert with_replacement("nothing", [], "hash") == "nothing"


@given(TEXTS, TEXTS, st.booleans(), st.booleans())
def test_finds_are_in_order_and_do_not_overlap(text: str, wanted: str, case: bool, whole: bool) -> None:
    found = occurrences(text, Phrase(wanted, case=case, whole=whole), variants())
    bounds = [at for place in found for at in place]
    assert bounds == sorted(bounds)
    assert all(0 <= first < last <= len(text) for first, last in found)


@given(TEXTS.map(str.strip))
def test_a_text_is_found_in_itself(text: str) -> None:
    assert occurrences(text, Phrase(text)) == ([(0, len(text))] if text else [])


@given(TEXTS)
def test_a_script_changes_nothing_but_characters(text: str) -> None:
    changed = text.translate(variants())
    assert len(changed) == len(text)
    assert changed.translate(variants()) == changed
