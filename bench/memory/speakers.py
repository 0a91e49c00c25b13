"""Measure the memory of the speakers actor over hours of talk, and what naming the speakers of a long recording costs.

    python -m bench.memory.speakers --audio FILE [--hours 1.5] [--named 10] [--networks DIR]

The actor hears chunks of FILE (any sound file with speech) again and again, as if it were a recording of so many hours.
Each chunk has as much text as that much speech has. Then it names the speakers of `--named` hours, made of the voices
that it heard. The output is one Markdown row for each stage:

- resident memory of the actor, and the most that it ever had;
- CPU seconds, and per second of sound;
- wall seconds.

Without `--networks` they come from the package index (`testkit.speaker_networks`).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Final

import psutil

from bench.lib import report, usage
from bench.lib.actors import sentences
from testkit.actor_process import ActorProcess
from testkit.speaker_networks import NoNetworks, speaker_networks
from whisper_service.actors.media.main import decode
from whisper_service.app.wiring import SPEAKERS_ENTRY
from whisper_service.core.domain import SAMPLE_RATE, Span
from whisper_service.supervision.messages.base import Ready
from whisper_service.supervision.messages.media import ChunkFound, Decode
from whisper_service.supervision.messages.speakers import Assign, Assigned, Heard, Listen

HEAD: Final = ("stage", "memory, MB", "most so far, MB", "CPU s", "CPU s per s of sound", "wall s")
CHUNK_S: Final = 30.0
"""Seconds of a recording for each chunk of it, about."""
HOUR_S: Final = 3600.0


class Watched:
    """The actor, and what it spent since the last row."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._cpu, self._at = self._spent(), time.monotonic()

    def _spent(self) -> float:
        return float(sum(self._process.cpu_times()[:2]))

    def row(self, stage: str, sound_s: float) -> list[str]:
        """Return the row of a stage that ended just now."""
        cpu, wall = self._spent() - self._cpu, time.monotonic() - self._at
        self._cpu, self._at = self._spent(), time.monotonic()
        memory = self._process.memory_info().rss / usage.MB
        most = usage.high_water(self._process.pid) / usage.MB
        each = f"{cpu / sound_s:.4f}" if sound_s else "-"
        return [stage, f"{memory:.0f}", f"{most:.0f}", f"{cpu:.1f}", each, f"{wall:.1f}"]


def chunks_of(audio: Path, scratch: Path) -> tuple[Path, list[Span]]:
    """Decode a file as the service does. Return the spool and the places of its chunks."""
    spool = scratch / "spool"
    for path in (spool, scratch / "peaks"):
        path.touch()
    command = Decode(job_id="bench", source=str(audio), spool=str(spool), peaks=str(scratch / "peaks"))
    return spool, [said.span for said in decode(command) if isinstance(said, ChunkFound)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audio", type=Path, required=True)
    parser.add_argument("--hours", type=float, default=1.5)
    parser.add_argument("--named", type=float, default=10.0, help="hours of the recording whose speakers are named")
    parser.add_argument("--networks", type=Path)
    options = parser.parse_args()
    try:
        networks = options.networks or speaker_networks()
    except NoNetworks as error:
        raise SystemExit(f"There are no networks: {error}.") from None
    print(report.machine())
    report.table(HEAD, [])
    with tempfile.TemporaryDirectory() as name, ActorProcess(SPEAKERS_ENTRY, Path(name) / "log") as actor:
        spool, spans = chunks_of(options.audio, Path(name))
        actor.expect(Ready)
        watched = Watched(actor.process.pid or 0)
        voices: list[bytes] = []
        heard_s = quarter_s = 0.0
        while heard_s < options.hours * HOUR_S:
            span = spans[len(voices) % len(spans)]
            actor.send(Listen("job", span, str(spool), str(networks), tuple(sentences(span))))
            voices.append(actor.expect(Heard).voices)
            heard_s += span.samples / SAMPLE_RATE
            if heard_s - quarter_s >= HOUR_S / 4:
                print(
                    "|",
                    " | ".join(watched.row(f"{heard_s / HOUR_S:.2f} h heard", heard_s - quarter_s)),
                    "|",
                    flush=True,
                )
                quarter_s = heard_s
        count = round(options.named * HOUR_S / CHUNK_S)
        whole = tuple((index, voices[index % len(voices)]) for index in range(count))
        watched.row("", 0.0)
        actor.send(Assign("job", 1, whole))
        answer = actor.next(within_s=600.0)
        assert isinstance(answer, Assigned), answer
        size = sum(len(data) for _, data in whole) / usage.MB
        stage = f"{options.named:g} h named: {count} chunks, {size:.1f} MB, {len(answer.speakers)} speakers"
        print("|", " | ".join(watched.row(stage, options.named * HOUR_S)), "|", flush=True)


if __name__ == "__main__":
    main()
