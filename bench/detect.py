"""How long a caller waits for a language, and for the text of a short clip, while a long recording is in work.

    python -m bench.detect [--audio FILE] [--hours 1] [--rounds 10] [--model DIR]

The long recording keeps every slot of the speech actor busy with full batches. Each round asks `/detect-language` and
`/v1/audio/transcriptions` about clips that were not sent before; the clock runs from the request to the whole answer.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from contextlib import aclosing
from pathlib import Path

import anyio
import httpx

from bench import audio, harness

BUSY_CHUNKS = 16
"""Chunks after which the batches of the long recording are full."""
CLIP_S = 30.0


async def busy(client: httpx.AsyncClient, job_id: str) -> None:
    """Wait until the long recording is in full work."""
    async with aclosing(harness.follow(client, job_id)) as events:
        async for event in events:
            if event.kind == "update" and event.data["chunks_done"] >= BUSY_CHUNKS:
                return


async def asked(client: httpx.AsyncClient, path: str, field: str, clip: bytes) -> float:
    """Seconds until the answer is there."""
    began = time.monotonic()
    answer = await client.post(path, files={field: ("clip.mp3", clip)}, timeout=300)
    answer.raise_for_status()
    return time.monotonic() - began


async def measure(given: argparse.Namespace, path: Path, clips: list[bytes], model: Path) -> None:
    languages, texts = [], []
    async with harness.warm(model) as (_, client):
        job = await harness.upload(client, path)
        await busy(client, job["id"])
        for clip in clips:
            languages.append(await asked(client, "/detect-language", "audio_file", clip))
            texts.append(await asked(client, "/v1/audio/transcriptions", "file", clip))
        left = (await client.get(f"/api/jobs/{job['id']}")).json()
        if left["status"] != "processing":
            raise SystemExit("The long recording ended first: give it more --hours.")
    rows = [
        [name, f"{statistics.median(seconds):.2f} s", f"{max(seconds):.2f} s"]
        for name, seconds in (("/detect-language", languages), ("/v1/audio/transcriptions", texts))
    ]
    harness.table(["call", "median", "longest"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audio", type=Path, help="what is repeated (default: Debian's asterisk prompts)")
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--model", type=Path, help="a CTranslate2 model directory (default: the built-in one)")
    given = parser.parse_args()
    print(harness.machine())
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        model = harness.model(given.model, Path(scratch))
        made = audio.speech(given.hours * 3600, Path(scratch) / "long.mp3", given.audio)
        clip = audio.speech(CLIP_S, Path(scratch) / "clip.mp3", given.audio).path.read_bytes()
        clips = [clip + bytes(number) for number in range(given.rounds)]  # silence to a player, another file to the service
        print(f"long: {made.seconds / 3600:.2f} h; clips: {CLIP_S:.0f} s; model: {model.name}; {given.rounds} rounds\n", flush=True)
        anyio.run(measure, given, made.path, clips, model)
    print(harness.machine())


if __name__ == "__main__":
    main()
