"""Speech detection with Silero VAD: the probability of speech for each 32 ms of a stream.

This module runs the network and keeps its state from block to block. Cutting into chunks is left to `media.chunker`.

The network comes with faster-whisper. It takes frames of 512 samples, each after the last 64 samples of the frame
before, and a recurrent state. Both are kept between blocks, with one exception: the state settles on silence, so that
speech after half a minute of it is heard late or never. After `STALE` blocks without speech each block therefore begins
with a new state. Blocks lie at fixed places of the recording, so the same samples always give the same probabilities.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import onnxruntime

FRAME: Final = 512
"""Samples per probability: Silero's window at 16 kHz, 32 ms."""
ONSET: Final = 0.5
"""Silence becomes speech at this probability."""
OFFSET: Final = 0.35
"""Speech becomes silence below this probability."""
CONTEXT: Final = 64
"""Samples of the frame before that the network gets again."""
BLOCK: Final = 128
"""Frames in a call, 4.1 s: large enough to be cheap, small enough for the CPU's cache and for a quick cancel."""

STALE: Final = 2
"""Blocks without speech, 8 s, after which the state is new in each block. Of 30 sentences after 30 s of a quiet tone,
22 began more than 0.35 s late without this, and none with it. The work is the same."""


class DetectorState(NamedTuple):
    """Where a detector is in a recording, as bytes that can be stored."""

    h: bytes  # float32
    c: bytes
    tail: bytes  # int16
    silent: int
    done: int
    loudest: float


class SpeechDetector:
    """The speech probabilities of one recording, in order. `reset` prepares for the next recording.

    `step`: the frames of a call of the network. Smaller ones are earlier and cost more; the probabilities are equal.
    """

    def __init__(self, *, like: SpeechDetector | None = None, step: int = BLOCK) -> None:
        """Load the network, or share that of the detector `like`. `BLOCK` is a multiple of `step`."""
        if BLOCK % step:
            raise ValueError("a block must consist of whole steps")
        self._step = step
        self._session: onnxruntime.InferenceSession = self._load() if like is None else like._session
        self.reset()

    @staticmethod
    def _load() -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        # One thread: four are at most a fifth faster for three times the work, and the speech actor needs cores.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        return onnxruntime.InferenceSession(
            str(network_path()), providers=["CPUExecutionProvider"], sess_options=options
        )

    def reset(self) -> None:
        """Start a new recording."""
        self._forget()
        self._silent = 0  # blocks in a row without speech
        self._done, self._loudest = 0, 0.0  # frames of the present block, and the greatest of their probabilities
        self._tail = np.zeros(CONTEXT, dtype=np.int16)  # context, then samples that fill no block yet

    def state(self) -> DetectorState:
        """Return where this detector is."""
        h, c, tail = (array.tobytes() for array in (self._h, self._c, self._tail))
        return DetectorState(h, c, tail, self._silent, self._done, self._loudest)

    def restore(self, state: DetectorState) -> None:
        """Go on from where a detector with an equal step was."""
        self._h, self._c = (np.frombuffer(each, np.float32).reshape(1, 1, 128) for each in (state.h, state.c))
        self._tail = np.frombuffer(state.tail, np.int16)
        self._silent, self._done, self._loudest = state.silent, state.done, state.loudest

    def feed(self, samples: npt.NDArray[np.int16]) -> list[float]:
        """Take the next samples (16 kHz mono) and return the probabilities of the frames that are ready."""
        self._tail = np.concatenate((self._tail, samples))
        step = self._step * FRAME
        probabilities: list[float] = []
        while len(self._tail) - CONTEXT >= step:
            probabilities += self._run(self._tail[: CONTEXT + step])
            self._tail = self._tail[step:]
        return probabilities

    def finish(self) -> list[float]:
        """Return the probabilities of the remaining frames. The last frame is filled up with silence."""
        left = len(self._tail) - CONTEXT
        padded = np.pad(self._tail, (0, -left % FRAME))
        self._tail = self._tail[:CONTEXT]
        return self._run(padded) if left else []

    def _forget(self) -> None:
        """Begin with a new state."""
        self._h = self._c = np.zeros((1, 1, 128), dtype=np.float32)

    def _run(self, samples: npt.NDArray[np.int16]) -> list[float]:
        if self._done == 0 and self._silent >= STALE:
            self._forget()
        scaled = samples.astype(np.float32) / 32768
        frames = np.lib.stride_tricks.sliding_window_view(scaled, CONTEXT + FRAME)[::FRAME]
        inputs = {"input": np.ascontiguousarray(frames), "h": self._h, "c": self._c}
        output, self._h, self._c = self._session.run(None, inputs)
        probabilities: list[float] = output.ravel().tolist()
        self._done, self._loudest = self._done + len(probabilities), max(self._loudest, *probabilities)
        if self._done >= BLOCK:
            self._silent = self._silent + 1 if self._loudest < OFFSET else 0
            self._done, self._loudest = 0, 0.0
        return probabilities


def network_path() -> Path:
    """Return where faster-whisper keeps the network: a private file of that package, used nowhere else.

    The package is found without being imported: that would load the whole of CTranslate2.
    """
    spec = importlib.util.find_spec("faster_whisper")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("faster-whisper is not installed", name="faster_whisper")
    return Path(spec.submodule_search_locations[0]) / "assets" / "silero_vad_v6.onnx"
