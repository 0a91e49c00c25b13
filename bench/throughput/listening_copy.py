"""Measure what a listening copy costs, and how exactly its times are those of the samples.

    python -m bench.throughput.listening_copy [--minutes 60] [--rounds 3]

The recording is read by the media actor's own code in a process of its own, with a copy and without, in turns. A WMA
file would need one. CPU seconds are those of that process. The lag is that of the copy behind the samples, found by
cross-correlation of four seconds at the beginning, in the middle and at the end.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import numpy.typing as npt

from bench.lib import report
from testkit.media_files import encode
from testkit.sounds import RATE, babble, silence
from whisper_service.core.files import draft_of
from whisper_service.supervision.messages.media import ChunkFound, Decode, Decoded

REACH = RATE // 2


class Read(NamedTuple):
    """One reading of the recording: seconds until the first chunk and until the end, CPU seconds, bytes of the copy."""

    first: float
    wall: float
    cpu: float
    copy_bytes: int


def read(source: str, directory: str, *, with_copy: bool) -> Read:
    """Read the recording."""
    from whisper_service.actors.media.main import decode
    from whisper_service.actors.vad import SpeechDetector

    folder = Path(directory)
    copy = folder / "copy"
    copy.unlink(missing_ok=True)
    for path in (folder / "pcm", folder / "peaks", draft_of(copy)):
        path.write_bytes(b"")
    command = Decode(
        job_id="job",
        source=source,
        spool=str(folder / "pcm"),
        peaks=str(folder / "peaks"),
        copy=str(copy) if with_copy else "",
    )
    detector = SpeechDetector()
    began, cpu = time.perf_counter(), time.process_time()
    first, copy_bytes = 0.0, 0
    for message in decode(command, detector=detector):
        if isinstance(message, ChunkFound) and not first:
            first = time.perf_counter() - began
        if isinstance(message, Decoded):
            copy_bytes = message.copy_bytes
    return Read(first, time.perf_counter() - began, time.process_time() - cpu, copy_bytes)


def sound_at(path: Path, second: float, samples: int) -> npt.NDArray[np.float64]:
    """Return samples of a copy, 16 kHz, from a second on. A player goes there in the same way."""
    with av.open(str(path)) as container:
        stream: Any = container.streams.audio[0]
        container.seek(int(max(0.0, second - 1) * av.time_base))
        resampler: Any = av.AudioResampler("s16", "mono", RATE)
        pieces: list[Any] = []
        begin: float | None = None
        for frame in container.decode(stream):
            begin = frame.time if begin is None else begin
            pieces += [ready.to_ndarray()[0] for ready in resampler.resample(frame)]
            if frame.time > second + samples / RATE + 1:
                break
    skipped = round((second - (begin or 0.0)) * RATE)
    return np.concatenate(pieces)[skipped : skipped + samples].astype(np.float64)


def lag_ms(copy: Path, spool: Path, at: int) -> float:
    """Return by how many milliseconds the copy is behind the samples, at a sample."""
    width = 4 * RATE
    a = np.memmap(spool, dtype=np.int16, mode="r")[at : at + width].astype(np.float64)
    b = sound_at(copy, (at - REACH) / RATE, width + 2 * REACH)
    size = 1 << (len(a) + len(b)).bit_length()
    likeness = np.fft.irfft(np.fft.rfft(b, size) * np.conj(np.fft.rfft(a, size)), size)[: 2 * REACH]
    return (int(likeness.argmax()) - REACH) * 1000 / RATE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    print(report.machine())
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        folder = Path(scratch)
        minute = np.concatenate([babble(54), silence(6)])
        source = encode(folder / "talk.wma", np.tile(minute, given.minutes), "wmav2", format="asf")
        found: dict[bool, list[Read]] = {True: [], False: []}
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            for _ in range(given.rounds):
                for with_copy in (False, True):
                    words = {"with_copy": with_copy}
                    found[with_copy].append(pool.apply(read, (str(source), scratch), words))
        minutes = (0, given.minutes // 2, given.minutes - 1)
        lags = [lag_ms(folder / "copy", folder / "pcm", (60 * minute + 2) * RATE) for minute in minutes]
    rows = []
    for with_copy, reads in found.items():
        first, wall, cpu, copy_bytes = map(statistics.median, zip(*reads, strict=True))
        size = f"{copy_bytes * 60 / given.minutes / 1e6:.1f}" if with_copy else ""
        rows.append(["with" if with_copy else "without", f"{first:.2f}", f"{wall:.1f}", f"{cpu:.1f}", size])
    report.table(["copy", "first chunk, s", "all read, s", "CPU s", "MB an hour"], rows)
    print(f"lag of the copy at the beginning, in the middle, at the end: {', '.join(f'{lag:.1f} ms' for lag in lags)}")
    print(report.machine())


if __name__ == "__main__":
    main()
