"""Terms as hints and as corrections."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_service.core.domain import Options, Segment, Task
from whisper_service.editing.lines import Line, line_of
from whisper_service.editing.vocabulary import (
    ANY,
    MAX_TOKENS,
    PROMPT_TOKENS,
    Term,
    corrections,
    hints,
    most_tokens,
    prompt_with,
)


def term(text: str, *heard: str, **fields: Any) -> Term:
    return Term(fields.pop("id", 1), text, heard, **fields)


def line(text: str, index: int = 0, version: int = 0, language: str | None = "en") -> Line:
    found = line_of(Segment(0, index, index, index + 0.5, text, language=language))
    return Line(**{field: getattr(found, field) for field in Line.__struct_fields__} | {"version": version})


def test_the_most_used_terms_of_the_language_are_told_first() -> None:
    terms = [
        term("Istio", uses=1, language="en"),
        term("Kubernetes", uses=9),
        term("李雷", language="zh", uses=20),
        term("Secret", uses=99, hint=False),
    ]
    assert hints(terms, Options(language="en")) == {ANY: "Kubernetes, Istio."}
    assert hints(terms, Options(language="zh")) == {ANY: "李雷、Kubernetes。"}
    assert hints(terms, Options(language="de")) == {ANY: "Kubernetes."}
    assert hints([], Options()) == {}


def test_a_language_that_is_to_be_detected_has_hints_once_it_is_known() -> None:
    terms = [term("Istio", language="en"), term("Kubernetes"), term("李雷", language="zh")]
    told = hints(terms, Options())
    assert told == {ANY: "Kubernetes.", "en": "Istio, Kubernetes.", "zh": "Kubernetes、李雷。"}
    assert prompt_with("About Go.", told, None) == "About Go. Kubernetes."
    assert prompt_with(None, told, "zh") == "Kubernetes、李雷。"
    assert prompt_with(None, told, "fr") == "Kubernetes."
    assert prompt_with(" ", {}, "fr") is None


def test_a_translation_has_english_terms_and_a_detection_none() -> None:
    terms = [term("Istio", language="en"), term("李雷", language="zh")]
    assert hints(terms, Options(task=Task.TRANSLATE, language="zh")) == {ANY: "Istio."}
    assert hints(terms, Options(task=Task.DETECT)) == {}


def test_hints_leave_the_prompt_of_the_job_whole() -> None:
    terms = [term(f"Name{number}", uses=-number) for number in range(500)]
    for prompt in ("", "Ärzte in Bad Tölz. " * 5, "word " * 60, "word " * 400):
        told = hints(terms, Options(language="en", prompt=prompt)).get(ANY, "")
        assert most_tokens(told) <= MAX_TOKENS
        assert most_tokens(prompt) + most_tokens(told) <= max(PROMPT_TOKENS, most_tokens(prompt))
        assert bool(told) == (most_tokens(prompt) < PROMPT_TOKENS - 10), prompt
    assert hints(terms, Options(language="en"))[ANY].startswith("Name0, Name1, Name2")


def test_a_term_that_is_too_long_does_not_keep_others_out() -> None:
    terms = [term("x" * 500, uses=5), term("Istio")]
    assert hints(terms, Options(language="en")) == {ANY: "Istio."}


@pytest.mark.parametrize(
    ("text", "wanted", "expected"),
    [
        (
            "We use cooper netties today.",
            term("Kubernetes", "cooper netties", replace=True),
            "We use Kubernetes today.",
        ),
        ("Cooper Netties", term("Kubernetes", "cooper netties", replace=True), "Kubernetes"),
        ("part of art", term("craft", "art", replace=True), "part of craft"),
        ("我们用平果。", term("苹果", "平果", replace=True), "我们用苹果。"),
        ("nothing", term("Kubernetes", "cooper netties", replace=True), None),
        ("cooper netties", term("Kubernetes", "cooper netties"), None),
        ("cooper netties", term("Kubernetes", "cooper netties", replace=True, language="de"), None),
        ("a Kubernetes cluster", term("Kubernetes cluster", "Kubernetes", replace=True), None),
        ("kubernetes and Kubernetes", term("Kubernetes", "kubernetes", replace=True), "Kubernetes and Kubernetes"),
    ],
)
def test_what_was_heard_instead_is_corrected(text: str, wanted: Term, expected: str | None) -> None:
    found = corrections([line(text)], [wanted], None)
    assert [operation.text for operation in found.operations] == ([expected] if expected else [])
    assert found.uses == ({1: 1} if expected else {})


def test_both_scripts_are_corrected() -> None:
    found = corrections([line("我用蘋菓。", language="zh")], [term("苹果", "苹菓", replace=True, language="zh")], None)
    assert [operation.text for operation in found.operations] == ["我用苹果。"]


def test_a_line_that_somebody_changed_stays() -> None:
    wanted = [term("Kubernetes", "cooper", "cooper netties", replace=True, id=7)]
    lines = [line("cooper netties, cooper", 0), line("cooper", 1, version=2), line("cooper", 2, language=None)]
    found = corrections(lines, wanted, "en")
    assert [(one.id, one.v, one.text) for one in found.operations] == [
        ("c0.0", 0, "Kubernetes, Kubernetes"), ("c0.2", 0, "Kubernetes")
    ]  # fmt: skip
    assert found.uses == {7: 3}


@given(st.text(st.sampled_from("ab cooperKubn"), max_size=40))
def test_a_corrected_text_is_not_corrected_again(text: str) -> None:
    wanted = [term("Kubernetes", "cooper", "co", "b", replace=True)]
    first = corrections([line(text)], wanted, None)
    for operation in first.operations:
        assert corrections([line(operation.text)], wanted, None).operations == ()
