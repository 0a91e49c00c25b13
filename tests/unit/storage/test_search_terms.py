"""Queries become terms, texts become words of the index, and finds are marked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_service.storage.search_terms import AROUND, MAX_TERMS, excerpt, grams, is_short, marked, match, terms


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("", ()),
        ("  \t\n ", ()),
        ("budget", ("budget",)),
        ("of  the budget", ("budget", "the", "of")),
        ("会议 预算 会议", ("会议", "预算")),
        ("a\x00b", ("a", "b")),
    ],
)
def test_terms(query: str, wanted: tuple[str, ...]) -> None:
    assert terms(query) == wanted


def test_the_number_of_terms_is_limited() -> None:
    assert len(terms(" ".join(f"term{n}" for n in range(100)))) == MAX_TERMS


def test_grams_are_characters_and_pairs_without_spaces_in_lower_case() -> None:
    assert grams("A b中") == "x61 x62 x4e2d x62x4e2d"
    assert grams("") == grams(" \n") == ""


@given(st.text(), st.text(min_size=1, max_size=2).filter(lambda term: terms(term) == (term,)))
def test_a_short_term_is_found_exactly_where_it_stands(text: str, term: str) -> None:
    folded = term.casefold()
    inside = (
        any(folded in part for part in " ".join(terms(text)).casefold().split())
        if len(text.split()) <= MAX_TERMS
        else None
    )
    words = set(grams(text).split())
    wanted = {word.strip('"') for word in match(term).split(" AND ")}
    if inside is not None and len(folded) <= 2:
        assert (wanted <= words) == inside


def test_a_long_term_is_one_quoted_phrase() -> None:
    assert match('say "hi" OR x') == '"say ""hi"" OR x"'
    assert is_short("会议")
    assert not is_short("会议室")


@given(st.text(), st.lists(st.text(min_size=1), min_size=1, max_size=3))
def test_marks_lose_nothing(text: str, wanted: list[str]) -> None:
    parts = marked(text, wanted)
    assert "".join(parts) == text
    assert len(parts) % 2 == 1
    assert all(parts[1::2])


def test_marks_are_every_find_without_regard_to_case() -> None:
    assert marked("The cat, THE dog", ["the"]) == ["", "The", " cat, ", "THE", " dog"]
    assert marked("断点写在数据库里", ["写在", "库"]) == ["断点", "写在", "数据", "库", "里"]
    assert marked("nothing", ["x."]) == ["nothing"]


@given(st.text(max_size=2_000), st.text(alphabet="ab ", max_size=400))
def test_an_excerpt_is_short_and_shows_the_first_find(before: str, after: str) -> None:
    parts = excerpt(f"{before}needle{after}", ["needle"])
    assert sum(map(len, parts)) <= 4 * AROUND
    assert "needle" in [part.lower() for part in parts[1::2]]
    assert len(parts) % 2 == 1


def test_an_excerpt_shows_that_text_was_left_out() -> None:
    assert excerpt("a" * 200 + " needle " + "b" * 200, ["needle"]) == [
        "…" + "a" * 79 + " ",
        "needle",
        " " + "b" * 153 + "…",
    ]
