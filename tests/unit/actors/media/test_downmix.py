"""Many channels to one."""

from __future__ import annotations

import numpy as np
import pytest

from testkit.sounds import Samples, babble, hiss, silence
from whisper_service.actors.media.downmix import BLOCK, Downmix

STEREO = ("FL", "FR")
SURROUND = ("FL", "FR", "FC", "LFE", "BL", "BR")
VOICE = babble(3)


def mix(names: tuple[str, ...], *channels: Samples, portion: int = 5 * BLOCK) -> Samples:
    planes = np.stack(channels)
    mixer = Downmix(names)
    return np.concatenate([mixer.feed(planes[:, at : at + portion]) for at in range(0, planes.shape[1], portion)])


def loudness(sound: Samples) -> float:
    """Decibels relative to the voice."""
    return float(10 * np.log10(np.mean(sound.astype(float) ** 2) / np.mean(VOICE.astype(float) ** 2)))


def test_mono_passes_unchanged() -> None:
    assert mix(("FC",), VOICE) is not VOICE
    assert (mix(("FC",), VOICE) == VOICE).all()


def test_the_same_in_both_channels_stays_the_same() -> None:
    assert np.abs(mix(STEREO, VOICE, VOICE).astype(int) - VOICE).max() <= 1


def test_opposite_phase_does_not_cancel() -> None:
    assert loudness(mix(STEREO, VOICE, -VOICE)) == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("side", [0, 1])
def test_a_voice_on_one_side_keeps_its_loudness(side: int) -> None:
    channels = [silence(3), silence(3)]
    channels[side] = VOICE
    assert loudness(mix(STEREO, *channels)) == pytest.approx(0, abs=0.1)


def test_a_voice_in_the_centre_of_surround_keeps_its_loudness() -> None:
    channels = [hiss(3, seed) for seed in range(6)]
    channels[2] = VOICE
    assert loudness(mix(SURROUND, *channels)) == pytest.approx(0, abs=0.5)


def test_rumble_is_left_out() -> None:
    channels = [silence(3)] * 6
    channels[3] = VOICE
    assert not mix(SURROUND, *channels).any()


def test_a_channel_that_turns_over_in_the_middle_is_followed() -> None:
    turning = VOICE.copy()
    turning[len(VOICE) // 2 :] *= -1
    mixed = mix(STEREO, VOICE, turning)
    assert loudness(mixed[-len(VOICE) // 4 :]) > -1.5


def test_two_voices_are_both_heard() -> None:
    other = babble(3, seed=5)
    mixed = mix(STEREO, VOICE, other).astype(float)
    for voice in (VOICE, other):
        assert np.corrcoef(mixed, voice)[0, 1] > 0.5


@pytest.mark.parametrize("portion", [BLOCK, 3 * BLOCK, 10**6])
def test_portions_do_not_matter(portion: int) -> None:
    left, right = VOICE, hiss(3)
    assert (mix(STEREO, left, right, portion=portion) == mix(STEREO, left, right)).all()


def test_full_scale_is_clipped_not_wrapped() -> None:
    loud = np.full(BLOCK * 4, 32_767, dtype=np.int16)
    lone = loud.copy()
    lone[: BLOCK * 2] = 0
    assert mix(STEREO, loud, lone).min() > 0
