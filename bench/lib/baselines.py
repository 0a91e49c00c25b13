"""faster-whisper as its users run it, in a process of its own: load the model, then one file against the clock.

    python -m bench.lib.baselines --system batched|sequential[+words] --model DIR --audio FILE

Prints one JSON object. The model is loaded and has encoded once before the clock starts; decoding the file, finding
speech and recognising are inside. CPU seconds are those of this process, all threads.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench.lib.services import Device
from bench.lib.usage import Spent
from testkit.repository import ROOT

SYSTEMS = ("batched", "sequential")
WORDS = "+words"
"""Behind a system: with the time of every word, which the service always gives."""


def run(
    system: str, model_dir: Path, audio: Path, language: str | None, *, device: Device, rows: int, first: bool
) -> dict[str, Any]:
    """Transcribe a file once; with `first`, only up to the first segment. Seconds count from the call."""
    import numpy as np
    from faster_whisper import BatchedInferencePipeline

    model = loaded(model_dir, device)
    model.encode(np.zeros((model.model.n_mels, 3000), dtype=np.float32))
    began, cpu = time.monotonic(), time.process_time()
    words = system.endswith(WORDS)
    if system.startswith("batched"):
        segments, _ = BatchedInferencePipeline(model).transcribe(
            str(audio), language=language, beam_size=5, batch_size=rows, word_timestamps=words
        )
    else:
        segments, _ = model.transcribe(
            str(audio), language=language, beam_size=5, vad_filter=True, word_timestamps=words
        )
    said: list[str] = []
    first_s: float | None = None
    for segment in segments:
        if first_s is None:
            first_s = time.monotonic() - began
        said.append(segment.text.strip())
        if first:
            break
    spent = {"wall": time.monotonic() - began, "cpu": time.process_time() - cpu}
    return {**spent, "first_s": first_s, "segments": len(said), "text": " ".join(said)}


def loaded(model_dir: Path, device: Device) -> Any:
    """Return the model of faster-whisper, with a thread for every core."""
    from faster_whisper import WhisperModel

    kind, _, index = device.name.partition(":")
    cores = len(os.sched_getaffinity(0))
    return WhisperModel(
        str(model_dir), device=kind, device_index=int(index or 0), compute_type=device.compute_type, cpu_threads=cores
    )


async def apart(
    system: str,
    model_dir: Path,
    audio: Path,
    language: str | None,
    *,
    device: Device = Device(),  # noqa: B008  it never changes
    rows: int = 8,
    first: bool = False,
) -> tuple[Spent, dict[str, Any]]:
    """Transcribe a file once in a fresh process."""
    words = [
        sys.executable,
        "-m",
        "bench.lib.baselines",
        "--system",
        system,
        "--model",
        str(model_dir),
        "--audio",
        str(audio),
    ]
    words += ["--language", language or "auto", "--rows", str(rows), *device.words, *(["--first"] if first else [])]
    done = await asyncio.create_subprocess_exec(*words, cwd=ROOT, stdout=subprocess.PIPE)
    output, _ = await done.communicate()
    if done.returncode:
        raise SystemExit(f"faster-whisper ({system}) ended with exit code {done.returncode}.")
    result: dict[str, Any] = json.loads(output.splitlines()[-1])
    return Spent(result["wall"], result["cpu"]), result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--system", choices=[*SYSTEMS, *(name + WORDS for name in SYSTEMS)], required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--audio", type=Path, required=True)
    parser.add_argument("--language", default="auto", help="code of the language spoken; auto: detect it")
    parser.add_argument("--first", action="store_true", help="stop at the first segment")
    parser.add_argument("--rows", type=int, default=8, help="batch size of the batched system (default: 8)")
    Device.ask(parser)
    given = parser.parse_args()
    language = None if given.language == "auto" else given.language
    print(
        json.dumps(
            run(
                given.system,
                given.model,
                given.audio,
                language,
                device=Device.given(given),
                rows=given.rows,
                first=given.first,
            )
        )
    )


if __name__ == "__main__":
    main()
