"""Silero over a stream."""

from __future__ import annotations

import faster_whisper
import numpy as np
import onnxruntime
import pytest

from testkit.sounds import Samples, babble, chords, gusts, hiss, join, silence, speechless
from whisper_service.actors.media.chunker import Chunker, policy_for
from whisper_service.actors.vad import FRAME, SpeechDetector, network_path

SOUND = join(hiss(1), babble(7), silence(1.3), babble(11, seed=1), hiss(3), babble(2.017, seed=2))


def probabilities(sound: Samples, portion: int, detector: SpeechDetector | None = None) -> list[float]:
    detector = detector or SpeechDetector()
    found: list[float] = []
    for begin in range(0, len(sound), portion):
        found += detector.feed(sound[begin : begin + portion])
    return found + detector.finish()


def test_streaming_gives_exactly_what_the_library_gives_for_the_whole_file() -> None:
    from faster_whisper.vad import get_vad_model

    padded = np.pad(SOUND, (0, FRAME - len(SOUND) % FRAME)).astype(np.float32) / 32768
    whole = get_vad_model()(padded).ravel()
    assert probabilities(SOUND, 8_000) == whole.tolist()


@pytest.mark.parametrize("portion", [1_601, 70_000, 10**9])
def test_it_does_not_matter_in_what_portions_the_sound_comes(portion: int) -> None:
    assert probabilities(SOUND, portion) == probabilities(SOUND, 8_000)


@pytest.mark.parametrize("step", [1, 8])
def test_smaller_steps_give_the_same_probabilities_also_where_the_state_is_new(step: int) -> None:
    sound = join(SOUND, silence(21.3), babble(6), silence(9), babble(3))
    whole = SpeechDetector()
    assert probabilities(sound, 8_000, SpeechDetector(like=whole, step=step)) == probabilities(sound, 8_000, whole)


def test_a_block_consists_of_whole_steps() -> None:
    with pytest.raises(ValueError, match="whole steps"):
        SpeechDetector(step=3)


def test_one_probability_per_frame_and_one_for_the_rest() -> None:
    assert [len(probabilities(silence(1)[:samples], 100)) for samples in (0, 1, 512, 513)] == [0, 1, 1, 2]


def test_speech_is_told_from_noise_and_silence() -> None:
    assert np.mean(np.array(probabilities(babble(10), 8_000)) > 0.5) > 0.95
    assert max(probabilities(hiss(10), 8_000)) < 0.5
    assert max(probabilities(silence(10), 8_000)) < 0.5


def test_six_minutes_of_noise_music_and_silence_have_no_chunk_and_nothing_to_draft() -> None:
    heard = speechless(360.0)
    assert len(heard) == 360 * 16_000
    assert (
        min(np.abs(kind).max() for kind in (hiss(30.0), gusts(30.0), chords(30.0))) > 300
    )  # there is something to hear
    detector, chunker = SpeechDetector(step=8), Chunker(policy_for(None))
    spoken = []
    for begin in range(0, len(heard), 8_000):  # as the live actor does
        assert list(chunker.feed(detector.feed(heard[begin : begin + 8_000]))) == []
        spoken.append(chunker.speech)
    assert [*chunker.feed(detector.finish()), *chunker.finish(len(heard))] == []
    assert spoken == [None] * 720


def test_a_recording_leaves_no_trace_in_the_next() -> None:
    detector = SpeechDetector()
    probabilities(SOUND, 8_000, detector)
    detector.feed(SOUND[:1_000])
    detector.reset()
    assert probabilities(SOUND, 8_000, detector) == probabilities(SOUND, 8_000)


def test_the_network_is_where_the_library_keeps_it_and_takes_what_it_is_given() -> None:
    changed = f"faster-whisper {faster_whisper.__version__} has changed; adapt actors/vad.py: "
    assert network_path().is_file(), f"{changed}there is no {network_path()}"
    network = onnxruntime.InferenceSession(str(network_path()), providers=["CPUExecutionProvider"])
    names = {value.name for value in network.get_inputs()}
    assert names == {"input", "h", "c"}, f"{changed}the network takes {names}"
    assert len(network.get_outputs()) == 3, f"{changed}the network gives {len(network.get_outputs())} values"


def test_speech_after_a_long_quiet_beginning_is_found_where_it_begins() -> None:
    voice = babble(3, seed=4)
    tone = (300 * np.sin(2 * np.pi * 440 * np.arange(31 * 16_000) / 16_000)).astype(np.int16)
    for quiet in (silence(31), tone):
        found = np.array(probabilities(join(quiet, voice), 8_000)) >= 0.5
        begin = len(quiet) // FRAME
        assert not found[: begin - 1].any()
        fresh = np.array(probabilities(join(quiet[-16_000:], voice), 8_000)) >= 0.5
        late = int(np.flatnonzero(found[begin:])[0]) - int(np.flatnonzero(fresh[16_000 // FRAME :])[0])
        assert abs(late) <= 3


def test_portions_do_not_change_what_is_found_after_silence() -> None:
    sound = join(silence(20), babble(3), hiss(15), babble(2))
    assert probabilities(sound, 8_000) == probabilities(sound, 1_234) == probabilities(sound, len(sound))
