"""Silero VAD over a stream: how much each 32 ms of sound is like speech.

Owns the network and the state it carries from block to block; knows nothing of thresholds or chunks (that is `chunker`).
The network is the one that ships with faster-whisper. It takes frames of 512 samples, each preceded by the last 64 of the
frame before, and a recurrent state; fed block by block with both carried over, it gives the very probabilities it gives
for the whole recording at once.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Final

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
"""Samples of the previous frame that the network wants to see again."""
BLOCK: Final = 128
"""Frames per call, 4.1 s: large enough to be cheap, small enough to stay in the cache and to be given up at once."""


class SpeechDetector:
    """The probabilities of one recording, in order. Make a new one per recording, or call `reset`."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        # One thread: the cores belong to the speech actor, and four are no more than a fifth faster, for three times the work.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        self._session = onnxruntime.InferenceSession(
            str(network_path()), providers=["CPUExecutionProvider"], sess_options=options
        )
        self.reset()

    def reset(self) -> None:
        """Forget the recording so far."""
        self._h = self._c = np.zeros((1, 1, 128), dtype=np.float32)
        self._tail = np.zeros(CONTEXT, dtype=np.int16)  # context, then samples that do not fill a block yet

    def feed(self, samples: npt.NDArray[np.int16]) -> list[float]:
        """Take the next samples (16 kHz mono); give the probabilities of the frames that came together, perhaps none."""
        self._tail = np.concatenate((self._tail, samples))
        block = BLOCK * FRAME
        probabilities: list[float] = []
        while len(self._tail) - CONTEXT >= block:
            probabilities += self._run(self._tail[: CONTEXT + block])
            self._tail = self._tail[block:]
        return probabilities

    def finish(self) -> list[float]:
        """Give the probabilities of what is left; the last frame is filled up with silence."""
        left = len(self._tail) - CONTEXT
        padded = np.pad(self._tail, (0, -left % FRAME))
        self._tail = self._tail[:CONTEXT]
        return self._run(padded) if left else []

    def _run(self, samples: npt.NDArray[np.int16]) -> list[float]:
        scaled = samples.astype(np.float32) / 32768
        frames = np.lib.stride_tricks.sliding_window_view(scaled, CONTEXT + FRAME)[::FRAME]
        inputs = {"input": np.ascontiguousarray(frames), "h": self._h, "c": self._c}
        output, self._h, self._c = self._session.run(None, inputs)
        probabilities: list[float] = output.ravel().tolist()
        return probabilities


def network_path() -> Path:
    """Return where faster-whisper keeps the network: a private file of that package, used nowhere else.

    The package is found without being imported: that would load the whole of CTranslate2.
    """
    spec = importlib.util.find_spec("faster_whisper")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("faster-whisper is not installed", name="faster_whisper")
    return Path(spec.submodule_search_locations[0]) / "assets" / "silero_vad_v6.onnx"
