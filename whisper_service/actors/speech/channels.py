"""The channels of a chunk, each of them another person: what each says, and one text of it all.

A microphone hears the other people too, more quietly and a little later. That is silenced before the channel is
recognised, or the same words would come twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from whisper_service.actors.speech.coverage import Interval
from whisper_service.core.domain import SAMPLE_RATE, Segment

if TYPE_CHECKING:
    from whisper_service.actors.speech.recognition import FindSpeech

PIECE_S: Final = 1.0
"""Seconds of speech that are compared with the other channels at once."""
PAD_S: Final = 0.1
"""Sound that is kept around speech."""
QUIETER: Final = 0.1
"""Speech with less than this share of the energy of another channel, 10 dB less, may be that of the other one."""
ALIKE: Final = 0.22
"""The correlation with the other channel from which it is. Measured with seconds of speech: two people have at most
0.17 in 99 of 100, one person through rooms that reverberate for 0.2 to 0.7 s has at least 0.24 in 99 of 100."""
LATER_S: Final = 0.05
"""The most that sound is late in another microphone: 17 m of air."""

Audio = npt.NDArray[np.float32]


def speaker_of(channel: int) -> str:
    """Return the ID of the speaker of a channel: "s1" for the first one."""
    return f"s{channel + 1}"


def spoken(channels: Audio, find_speech: FindSpeech) -> list[tuple[int, Audio]]:
    """Return the channels with speech of their own, each with the number of the channel.

    `channels` has the shape (channels, samples). What is of others is silence in the result. A chunk in which no
    channel has speech gives its loudest channel: something was found in the mix.
    """
    result: list[tuple[int, Audio]] = []
    for number, audio in enumerate(channels):
        others = np.delete(channels, number, axis=0)
        own = [piece for piece in _pieces(find_speech(audio)) if not _is_of_others(audio, others, piece)]
        if own:
            result.append((number, _only(audio, own)))
    if not result:
        loudest = int(np.argmax((channels.astype(np.float64) ** 2).sum(axis=1)))
        result.append((loudest, channels[loudest]))
    return result


def in_order(texts: Iterable[tuple[int, Sequence[Segment]]]) -> tuple[Segment, ...]:
    """Return the segments of all channels in order of time, numbered anew, each with the speaker of its channel."""
    said = [(segment.start, number, segment) for number, segments in texts for segment in segments]
    ordered = sorted(said, key=lambda each: (each[0], each[1], each[2].index))
    return tuple(
        replace(segment, index=index, speaker=speaker_of(number)) for index, (_, number, segment) in enumerate(ordered)
    )


def _pieces(speech: Iterable[Interval]) -> Iterator[Interval]:
    """Cut stretches of speech into pieces of at most `PIECE_S`."""
    for begin, end in speech:
        count = max(1, round((end - begin) / PIECE_S))
        edges = np.linspace(begin, end, count + 1).tolist()
        yield from pairwise(edges)


def _is_of_others(audio: Audio, others: Audio, piece: Interval) -> bool:
    """Return whether a piece of speech is what another channel says, heard from afar."""
    begin, end = (round(seconds * SAMPLE_RATE) for seconds in piece)
    own = audio[begin:end].astype(np.float64)
    energy = float(own @ own)
    for other in others:
        said = other[begin:end].astype(np.float64)
        loud = float(said @ said)
        if energy < QUIETER * loud and _correlation(own, said) > ALIKE * np.sqrt(energy * loud):
            return True
    return False


def _correlation(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    """Return the greatest sum of products of two sounds, one of them up to `LATER_S` later than the other."""
    size = 1 << (len(one) + len(other)).bit_length()
    products = np.fft.irfft(np.fft.rfft(one, size) * np.conj(np.fft.rfft(other, size)), size)
    lags = round(LATER_S * SAMPLE_RATE)
    return float(np.abs(np.concatenate((products[: lags + 1], products[-lags:]))).max())


def _only(audio: Audio, pieces: Sequence[Interval]) -> Audio:
    """Return the audio with silence outside of these pieces."""
    result = np.zeros_like(audio)
    for begin, end in pieces:
        first, after = (max(0, round(seconds * SAMPLE_RATE)) for seconds in (begin - PAD_S, end + PAD_S))
        result[first:after] = audio[first:after]
    return result
