"""Whether the channels of a recording are different people, as in calls that were recorded on both sides.

Microphones in one room get louder and quieter together, whoever speaks. The channels of a call do not: there one person
waits while the other speaks, and nobody stresses the words of somebody else.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
import numpy.typing as npt

from whisper_service.actors.media.decoder import Recording
from whisper_service.actors.media.resampler import SoundBlock
from whisper_service.actors.vad import FRAME, ONSET, SpeechDetector
from whisper_service.core.domain import SAMPLE_RATE, Channels, Problem
from whisper_service.core.errors import ServiceError
from whisper_service.supervision.messages.media import Decode

MOST: Final = 8
"""The most channels that are kept apart. More are a surround mix or a field recording, not a call."""
LOOK_S: Final = 180.0
"""Seconds of the recording that are looked at."""
ENOUGH_S: Final = 2.0
"""A channel with so much speech may be a person."""
TOGETHER: Final = 0.5
"""The correlation of the loudness of two channels from which they hear the same people. Measured: rooms have 0.78 (with
1.2 s of reverberation) to 1.0; calls have -0.7 to 0.17, also where the others are heard 10 dB quieter."""
RANGE_DB: Final = 40.0
"""What is so much quieter than the loudest sound of a channel counts as equally quiet."""

Samples = npt.NDArray[np.int16]


def channels_of(command: Decode) -> int:
    """Return how many channels of a recording are to be kept apart, 2 to `MOST`. 0: none, the mix is transcribed."""
    if command.channels is Channels.MIX:
        return 0
    try:
        return _count(command)
    except ServiceError:  # the decode meets it as well, and tells of it
        return 0


def _count(command: Decode) -> int:
    planes: list[Samples] = []
    with Recording(command.source, track=command.track, language=command.language, name=command.name) as recording:
        for block in recording.blocks_by_channel():
            if not 2 <= len(block.channels) <= MOST:
                return 0
            if command.channels is Channels.APART:
                return len(block.channels)
            if recording.samples > LOOK_S * SAMPLE_RATE or (planes and len(planes[0]) != len(block.channels)):
                break
            planes.append(block.channels)
    return len(planes[0]) if are_people(np.concatenate(planes, axis=1)) else 0


def are_people(channels: Samples) -> bool:
    """Return whether at least two channels have speech, each of other people. Shape (channels, samples)."""
    speech = np.array([_speech(channel) for channel in channels])
    spoken = speech.any(axis=0)
    people = np.flatnonzero(speech.sum(axis=1) * FRAME >= ENOUGH_S * SAMPLE_RATE)
    loudness = np.array([_loudness(channels[person])[spoken] for person in people])
    if len(people) < 2 or not loudness.std(axis=1).all():
        return False
    correlations = np.corrcoef(loudness)
    return bool((correlations[~np.eye(len(people), dtype=bool)] < TOGETHER).all())


def interleaved(block: SoundBlock, count: int) -> bytes:
    """Return the samples of a block, the `count` channels of each sample together.

    Where the recording changes its channels, the mix is in the first one.
    """
    planes = block.channels
    if len(planes) != count:
        planes = np.zeros((count, len(block.mono)), dtype=np.int16)
        planes[0] = block.mono
    return np.ascontiguousarray(planes.T).tobytes()


def remark(command: Decode, count: int) -> Iterable[Problem]:
    """Yield what the user should know of a wish that could not be fulfilled."""
    if command.channels is Channels.APART and not count:
        yield Problem(
            code="channels_mixed",
            message=f"The channels were not kept apart: the recording does not have 2 to {MOST} channels.",
            hint="All of it is transcribed. To tell the speakers of one channel apart, use the option speakers.",
        )


def _speech(samples: Samples) -> npt.NDArray[np.bool_]:
    """Return for each frame of 32 ms whether somebody speaks."""
    detector = SpeechDetector()
    return np.array(detector.feed(samples) + detector.finish()) >= ONSET


def _loudness(samples: Samples) -> npt.NDArray[np.float64]:
    """Return the level of each frame of 32 ms in dB."""
    frames = np.pad(samples, (0, -len(samples) % FRAME)).reshape(-1, FRAME).astype(np.float64)
    level = 10 * np.log10(np.maximum((frames**2).sum(axis=1), 1.0))
    result: npt.NDArray[np.float64] = np.maximum(level, level.max() - RANGE_DB)
    return result
