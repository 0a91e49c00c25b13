"""Reads the samples of a chunk from a spool."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from whisper_service.core.domain import Problem, Span

HINT = "Retry the job. The service then decodes the recording again."


class UnreadableChunk(Exception):
    """The audio of one chunk cannot be read. Other chunks may be readable."""

    def __init__(self, code: str, message: str, span: Span, detail: str = "") -> None:
        super().__init__(message)
        params: dict[str, object] = {"at_s": round(span.start, 3)}
        if detail:
            params["detail"] = detail
        self.problem = Problem(code, message, HINT, params)


def read_samples(spool: str, span: Span) -> npt.NDArray[np.float32]:
    """Return the audio of a chunk, 16 kHz mono, -1..1. Raises `UnreadableChunk` unless all of it is in the spool."""
    mono: npt.NDArray[np.float32] = read_channels(spool, span, 1)[0]
    return mono


def read_channels(spool: str, span: Span, channels: int) -> npt.NDArray[np.float32]:
    """Return the audio of a chunk by channel, shape (channels, samples). Raises as `read_samples`."""
    try:
        pcm = np.fromfile(spool, dtype="<i2", count=span.samples * channels, offset=2 * span.start_sample * channels)
    except FileNotFoundError:
        message = "The decoded sound of the recording is no longer on the disk."
        raise UnreadableChunk("spool_missing", message, span) from None
    except OSError as error:
        message = "The decoded sound of the recording cannot be read."
        raise UnreadableChunk("spool_unreadable", message, span, error.strerror or str(error)) from error
    if len(pcm) < span.samples * channels:
        message = f"The decoded sound of the recording ends before {span.end:.1f} s."
        raise UnreadableChunk("spool_short", message, span, f"{len(pcm) // channels} of {span.samples} samples")
    return np.ascontiguousarray(pcm.reshape(-1, channels).T).astype(np.float32) / np.float32(32768)
