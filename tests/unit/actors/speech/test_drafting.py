"""The words in the newest sound of a session: behind a prefix, in narrow windows, and heard again where they loop."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from whisper_service.actors.speech import draft_io
from whisper_service.actors.speech.drafting import (
    LEAST_TOKENS,
    SILENCE_S,
    DraftAudio,
    DraftText,
    draft,
    repeated_at,
)
from whisper_service.actors.speech.engine import BRIEF_WIDTHS_S, Audio, DecodedWindow, Hypothesis, UnalignableText
from whisper_service.core.domain import SAMPLE_RATE, Script, Word
from whisper_service.supervision.faults import FaultKind
from whisper_service.supervision.messages.base import Fault
from whisper_service.supervision.messages.drafts import DraftDone, DraftRow, DraftSound


class FakeEngine:
    """Says the texts of a script, one for each width of the window; a word is a token."""

    def __init__(self, *texts: str, **fields: Any) -> None:
        self.said = list(texts)
        self.fields = {"avg_logprob": -0.2, "no_speech_prob": 0.1, "complete": True} | fields
        self.widths: list[tuple[int, ...]] = []
        self.seconds: list[list[float]] = []  # of the sounds of each call of `encode`
        self.limits: list[int] = []
        self.prefixes: list[tuple[int, ...]] = []
        self.languages: list[str] = []
        self.vocabulary: list[str] = []

    def tokens(self, text: str) -> tuple[int, ...]:
        for word in text.split():
            if word not in self.vocabulary:
                self.vocabulary.append(word)
        return tuple(map(self.vocabulary.index, text.split()))

    def encode(self, windows: Sequence[Audio], *, widths: Sequence[int]) -> list[int]:
        self.widths.append(tuple(widths))
        self.seconds.append([len(audio) / SAMPLE_RATE for audio in windows])
        return list(range(len(windows)))

    def known_language(self, wanted: str | None) -> str | None:
        return wanted

    def detect_languages(self, states: Sequence[int]) -> list[dict[str, float]]:
        return [{"de": 0.9, "en": 0.1} for _ in states]

    def decode(
        self,
        states: Sequence[int],
        languages: Sequence[str],
        tasks: Sequence[Any],
        search: Any,
        *,
        limits: Sequence[int],
        prefixes: Sequence[Sequence[int]],
    ) -> list[Hypothesis]:
        self.limits += limits
        self.prefixes += map(tuple, prefixes)
        self.languages += languages
        return [Hypothesis((*prefix, *self.tokens(self.said.pop(0))), **self.fields) for prefix in prefixes]

    def text(self, hypothesis: Hypothesis) -> str:
        return "".join(f" {self.vocabulary[token]}" for token in hypothesis.tokens)

    def words_behind(self, window: DecodedWindow, forced: int) -> list[tuple[Word, tuple[int, ...]]]:
        tokens = window.hypothesis.tokens[forced:]
        return [
            (Word(float(n), n + 0.5, f" {self.vocabulary[token]}", 0.9), (token,)) for n, token in enumerate(tokens)
        ]


def sound(seconds: float = 4.0, **fields: Any) -> DraftAudio:
    return DraftAudio(np.zeros(round(seconds * SAMPLE_RATE), np.float32), **{"language": "en", **fields})


def heard(engine: FakeEngine, *sounds: DraftAudio) -> list[str]:
    return ["".join(word.word for word, _ in text.words) for text in draft(engine, sounds)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("lift your eyes lift your eyes and see", 3),
        ("and lift your Eyes. Lift your eyes", 4),
        ("lift your eyes and lift your hands", None),
        ("no no no no", None),
        ("it was what it was", None),
        ("a b a b", 2),
        ("a b a", None),
        ("", None),
    ],
)
def test_a_phrase_that_is_said_twice_in_a_row_is_found(text: str, place: int | None) -> None:
    assert repeated_at(text.split()) == place


def test_all_sessions_are_heard_together_in_narrow_windows() -> None:
    engine = FakeEngine("one two", "drei")
    prefix = engine.tokens("zero")
    assert heard(engine, sound(prefix=prefix), sound(language=None)) == [" one two", " drei"]
    assert engine.widths == [BRIEF_WIDTHS_S]
    assert (engine.prefixes, engine.languages) == ([prefix, ()], ["en", "de"])


def test_a_text_has_a_few_tokens_a_second_and_more_where_characters_have_several() -> None:
    engine = FakeEngine("a", "b", "c")
    heard(engine, sound(4.0), sound(4.0, language="zh"), sound(1.0, prefix=tuple([0] * 50)))
    assert engine.limits == [LEAST_TOKENS + 24, LEAST_TOKENS + 48, 50 + LEAST_TOKENS]


def test_a_text_that_says_something_twice_is_heard_again_with_more_silence() -> None:
    engine = FakeEngine("lift your eyes lift your eyes", "well", "lift your eyes and see")
    assert heard(engine, sound(3.0), sound(5.0)) == [" lift your eyes and see", " well"]
    assert engine.widths == [BRIEF_WIDTHS_S, BRIEF_WIDTHS_S]
    assert engine.seconds == [[3.0, 5.0], [3.0 + SILENCE_S]]
    really = FakeEngine("so be it so be it", "so be it so be it")
    assert heard(really, sound()) == [" so be it so be it"]


def test_what_the_prefix_says_twice_is_known_already() -> None:
    engine = FakeEngine("then")
    assert heard(engine, sound(prefix=engine.tokens("so be it so be it"))) == [" then"]
    assert len(engine.widths) == 1
    goes_on = FakeEngine("lift your eyes up", "up")
    assert heard(goes_on, sound(prefix=goes_on.tokens("lift your eyes"))) == [" up"]


def test_a_text_without_an_end_is_cut_where_it_repeats_itself() -> None:
    loop = "I see you there I see you there"
    assert heard(FakeEngine(loop, loop, complete=False), sound()) == [" I see you there"]
    assert heard(FakeEngine(*[" ".join(["ah"] * 60)] * 2, complete=False), sound()) == [""]


def test_improbable_texts_and_those_for_silence_are_dropped() -> None:
    assert heard(FakeEngine("thanks", avg_logprob=-1.2, no_speech_prob=0.9), sound()) == [""]
    assert heard(FakeEngine("thanks", avg_logprob=-1.2, no_speech_prob=0.1), sound()) == [" thanks"]
    assert heard(FakeEngine("thanks", avg_logprob=-1.6, no_speech_prob=0.1), sound()) == [""]
    assert heard(FakeEngine(""), sound()) == [""]


def test_half_a_character_waits_for_its_other_half() -> None:
    assert heard(FakeEngine("good caf\ufffd more"), sound()) == [" good"]


class FakeRecognizer:
    """Gives two words for each sound, or raises."""

    def __init__(self, error: Exception | None = None, language: str = "en") -> None:
        self.error, self.language = error, language
        self.got: list[DraftAudio] = []

    def draft(self, sounds: Sequence[DraftAudio]) -> list[DraftText]:
        if self.error is not None:
            raise self.error
        self.got += sounds
        words = ((Word(0.5, 1.0, "漢", 0.9), (7, 8)), (Word(1.0, 1.5, "字", 0.9), (9,)))
        return [DraftText(words, self.language) for _ in sounds]


def rows(tmp_path: Path, **fields: Any) -> tuple[DraftRow, DraftRow]:
    """Rows of a spool with 4 s, the second one beyond it."""
    spool = tmp_path / "spool"
    np.arange(4 * SAMPLE_RATE, dtype="<i2").tofile(spool)
    good = DraftRow("good", str(spool), SAMPLE_RATE, 2 * SAMPLE_RATE, **fields)
    return good, DraftRow("short", str(spool), 3 * SAMPLE_RATE, 2 * SAMPLE_RATE)


def answer(recognizer: FakeRecognizer, *rows: DraftRow, cancelled: tuple[str, ...] = ()) -> DraftDone | Fault:
    return draft_io.answer(DraftSound(3, rows), recognizer, cancelled.__contains__)  # type: ignore[arg-type]


def test_an_answer_has_the_times_of_the_session_and_the_script_of_the_job(tmp_path: Path) -> None:
    recognizer = FakeRecognizer(language="zh")
    good, short = rows(tmp_path, prefix=(1, 2), script=Script.SIMPLIFIED)
    done = answer(recognizer, good, short)
    assert isinstance(done, DraftDone)
    (row,) = done.rows  # the other could not be read
    assert (done.request, row.job_id, row.language) == (3, "good", "zh")
    assert [(word.start, word.end, word.word, word.tokens) for word in row.words] == [
        (1.5, 2.0, "汉", (7, 8)),
        (2.0, 2.5, "字", (9,)),
    ]
    (heard,) = recognizer.got
    assert (len(heard.audio), heard.prefix) == (2 * SAMPLE_RATE, (1, 2))


def test_a_cancelled_session_is_not_heard(tmp_path: Path) -> None:
    recognizer = FakeRecognizer()
    done = answer(recognizer, *rows(tmp_path), cancelled=("good",))
    assert isinstance(done, DraftDone)
    assert (done.rows, recognizer.got) == ((), [])


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (UnalignableText(), FaultKind.UNKNOWN, "unalignable"),
        (RuntimeError("CUDA failed with error out of memory"), FaultKind.OOM, "oom"),
        (ValueError("odd"), FaultKind.UNKNOWN, "unknown"),
    ],
)
def test_a_failure_is_a_fault_of_the_draft(tmp_path: Path, error: Exception, kind: FaultKind, code: str) -> None:
    fault = answer(FakeRecognizer(error), rows(tmp_path)[0])
    assert isinstance(fault, Fault)
    assert (fault.scope, fault.kind, fault.problem.code, fault.request) == ("draft", kind, code, 3)
    assert not fault.fatal
