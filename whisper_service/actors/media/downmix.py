"""The downmix: many channels to one by energy, so that speech in any channel keeps its loudness.

Plain averaging loses speech: two channels in opposite phase cancel, a voice in one of two channels loses 6 dB, and
one in the centre of a 5.1 track 11 dB. Here every 0.1 s the Gram matrix of the channels (their energies and
correlations, with a time constant of 0.5 s) decides

- which channels are opposite in phase to the loudest one: these are inverted before the sum, and
- the gain of the sum: it gets the energy of the loudest channel.

Coefficients change linearly over a block, so that there are no clicks. Sums are of integers in float64, so they are
exact and do not depend on their order: equal input gives equal output, bit by bit.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from whisper_service.core.domain import SAMPLE_RATE

BLOCK: Final = SAMPLE_RATE // 10
"""Samples between two decisions."""
FADE: Final = 0.82
"""The share of the statistics that a decision keeps from the one before: exp(-0.1 s / 0.5 s)."""
OPPOSED: Final = -0.6
ALIGNED: Final = 0.0
"""Correlations at which a channel is inverted, and no longer inverted."""
SHARE: Final = {"FC": 1.0, "FL": 0.71, "FR": 0.71, "LFE": 0.0, "LFE2": 0.0}
"""Share of each channel in the sum if there are more than two, after ITU-R BS.775. Dialogue is in the centre; the LFE
channels carry no speech."""
SURROUND: Final = 0.5
MAX_GAIN: Final = 1 / SURROUND
"""Enough for a voice in one surround channel. More would only amplify the remainder of channels that cancel."""


class MixState(NamedTuple):
    """Where a mix is in a recording, as bytes that can be stored."""

    gram: bytes  # float64
    inverted: bytes  # bool
    loudest: int
    coefficients: bytes  # float64; empty: none yet


class Downmix:
    """The mix of one recording, block by block.

    `channels` are FFmpeg's names of the channels ("FL", "FR", "FC", "LFE", ...), unknown ones included.
    """

    def __init__(self, channels: tuple[str, ...]) -> None:
        positioned = len(channels) > 2 and "FC" in channels
        self._shares = np.array([SHARE.get(name, SURROUND) if positioned else 1.0 for name in channels])
        self._gram = np.zeros((len(channels), len(channels)))
        self._inverted = np.zeros(len(channels), dtype=bool)
        self._loudest = 0
        self._coefficients: npt.NDArray[np.float64] | None = None

    def state(self) -> MixState:
        """Return where this mix is."""
        coefficients = b"" if self._coefficients is None else self._coefficients.tobytes()
        return MixState(self._gram.tobytes(), self._inverted.tobytes(), self._loudest, coefficients)

    def restore(self, state: MixState) -> None:
        """Go on from where a mix of equal channels was."""
        self._gram = np.frombuffer(state.gram).reshape(self._gram.shape)
        self._inverted = np.frombuffer(state.inverted, bool)
        self._loudest = state.loudest
        self._coefficients = np.frombuffer(state.coefficients) if state.coefficients else None

    def feed(self, planes: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
        """Mix the next samples, shape (channels, samples), and return as many.

        The number of samples must be a multiple of `BLOCK`, except in the last call.
        """
        channels, samples = planes.shape
        if channels == 1:
            mono: npt.NDArray[np.int16] = planes[0]
            return mono
        blocks = np.zeros((channels, -(-samples // BLOCK), BLOCK))
        blocks.reshape(channels, -1)[:, :samples] = planes
        knots = self._decide(np.einsum("cbs,dbs->bcd", blocks, blocks))
        ramp = np.arange(1, BLOCK + 1) / BLOCK
        mixed = np.zeros(blocks.shape[1:])
        for channel in range(channels):
            before, after = knots[:-1, channel, None], knots[1:, channel, None]
            mixed += (before + (after - before) * ramp) * blocks[channel]
        result: npt.NDArray[np.int16] = np.clip(np.rint(mixed.reshape(-1)[:samples]), -32768, 32767).astype(np.int16)
        return result

    def _decide(self, grams: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the coefficients at the borders of blocks, shape (blocks + 1, channels), from the Gram matrices."""
        decided = []
        for gram in grams:
            self._gram = self._gram * FADE + gram
            decided.append(self._coefficients_now())
        first = decided[0] if self._coefficients is None else self._coefficients
        self._coefficients = decided[-1]
        return np.array([first, *decided])

    def _coefficients_now(self) -> npt.NDArray[np.float64]:
        energy = np.diagonal(self._gram)
        audible = energy * (self._shares > 0)
        if audible.max() > 2 * audible[self._loudest]:  # keep the reference while it is nearly as loud
            self._loudest = int(audible.argmax())
        scale = np.sqrt(energy * energy[self._loudest])
        correlation = np.divide(self._gram[self._loudest], scale, out=np.zeros_like(scale), where=scale > 0)
        self._inverted = correlation < np.where(self._inverted, ALIGNED, OPPOSED)
        signed = np.where(self._inverted, -self._shares, self._shares)
        mixed = float(signed @ self._gram @ signed)
        gain = min(np.sqrt(audible.max() / mixed), MAX_GAIN) if mixed > 0 else 1 / self._shares.sum()
        coefficients: npt.NDArray[np.float64] = signed * gain
        return coefficients
