"""Measure live sessions on a running service by the wall clock: drafts of several sessions, and a job beside them.

    python -m bench.latency.live [--audio FILE] [--language en] [--seconds 45] [--sessions 1] [--beside] [--model DIR]

Each session sends the recording as a microphone does, in pieces of a quarter of a second, and reads its events. With
`--beside`, an hour of the same sound is transcribed meanwhile. Latencies count from the end of a word in the final
text. *Rests*: the longest times between two drafts while somebody speaks; all sessions slow down alike. *CPU*: of
service and actors, drafts and final text together, in cores.
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
import msgspec

from bench.lib import api, recordings, report, services
from bench.lib.draft_trial import Trial, samples
from testkit import scoring
from testkit.prompts import prompts
from testkit.sounds import Samples
from whisper_service.core.domain import SAMPLE_RATE
from whisper_service.core.drafts import DraftWord, ShownDraft

PIECE_S = 0.25
APART_S = 0.3
"""Seconds between the beginnings of two sessions."""


class Session:
    """One session: what was sent, and when its words came."""

    def __init__(self, client: httpx.AsyncClient, sound: Samples, language: str) -> None:
        self.client, self.sound, self.language = client, sound, language
        self.trial = Trial(len(sound) / SAMPLE_RATE)
        self.rests: list[float] = []
        self.job_id = ""
        self.began = 0.0

    async def run(self) -> None:
        """Send the sound and read what comes, until the session has ended."""
        answer = await self.client.post("/api/live", json={"language": self.language, "name": "bench.wav"})
        answer.raise_for_status()
        self.job_id = answer.json()["id"]
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.read)
            await anyio.sleep(0.5)  # the reader is there before anybody speaks
            self.began = time.monotonic()
            await self.send()

    async def send(self) -> None:
        step = int(PIECE_S * SAMPLE_RATE)
        for first in range(0, len(self.sound), step):
            piece = self.sound[first : first + step].tobytes()
            await anyio.sleep(max(0.0, self.began + (first + step) / SAMPLE_RATE - time.monotonic()))
            headers = {"upload-offset": str(2 * first), "content-type": "application/offset+octet-stream"}
            answer = await self.client.patch(f"/api/live/{self.job_id}", content=piece, headers=headers)
            answer.raise_for_status()
        await anyio.sleep(2.0)  # the last draft
        (await self.client.post(f"/api/live/{self.job_id}/end")).raise_for_status()

    async def read(self) -> None:
        trial, spoke_at = self.trial, None
        async with aclosing(api.follow(self.client, self.job_id)) as events:
            async for event in events:
                at = event.at - self.began
                if event.kind == "segment":
                    words = event.data["segment"]["words"]
                    trial.final += [DraftWord(word["start"], word["end"], word["word"]) for word in words]
                elif event.kind == "draft":
                    draft = msgspec.convert(event.data, ShownDraft)
                    last = trial.stable[-1][1].start if trial.stable else -1.0
                    trial.stable += [(at, word) for word in draft.stable if word.start > last]
                    trial.shown.append((at, draft))
                    if spoke_at is not None and draft.speaking:
                        self.rests.append(at - spoke_at)
                    spoke_at = at if draft.speaking else None
        trial.final.sort(key=lambda word: word.start)


def row(number: int, session: Session) -> list[str]:
    """Return one line of the table."""
    trial = session.trial

    def latency(values: list[float]) -> str:
        return f"{statistics.mean(values):.2f} / {report.quantile(values, 0.95):.2f}" if values else "none"

    differs = scoring.score(session.language, *trial.texts)
    return [
        str(number),
        latency(trial.stable_latencies),
        latency(trial.shown_latencies),
        f"{trial.erased:.2f}",
        f"{100 * differs.errors / max(1, differs.units):.1f} of {differs.units}",
        f"{report.quantile(session.rests, 0.95):.2f} s" if session.rests else "none",
        str(len(trial.shown)),
    ]


async def measure(given: argparse.Namespace, sound: Samples, model: Path, scratch: Path) -> None:
    async with services.warm(model) as (service, client):
        if given.beside:
            long = recordings.speech(3600, scratch / "long.mp3", given.audio)
            await api.upload(client, long.path, language=given.language)
            await anyio.sleep(3)
        sessions = [Session(client, sound, given.language) for _ in range(given.sessions)]
        began, cpu = time.monotonic(), service.cpu()
        async with anyio.create_task_group() as tasks:
            for session in sessions:
                tasks.start_soon(session.run)
                await anyio.sleep(APART_S)
        cores = (service.cpu() - cpu) / (time.monotonic() - began)
        jobs = (await api.get(client, "/api/jobs"))["jobs"]
    head = ["session", "stable, mean / p95 s", "shown, mean / p95 s", "erased", "differs %", "rests, p95", "drafts"]
    report.table(head, [row(number, session) for number, session in enumerate(sessions, start=1)])
    print(f"\nCPU: {cores:.2f} cores")
    for job in jobs:
        if job["name"] != "bench.wav":
            print(f"beside: {job['speed']} times real time, {job['position_s']:.0f} s done")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audio", type=Path, help="a recording (default: Debian's asterisk prompts)")
    parser.add_argument("--language", default="en", help="what is spoken in it")
    parser.add_argument("--seconds", type=float, default=45.0, help="of the recording")
    parser.add_argument("--sessions", type=int, default=1)
    parser.add_argument("--beside", action="store_true", help="with a long recording in work")
    parser.add_argument("--model", type=Path, help="a CTranslate2 model directory (default: the built-in one)")
    given = parser.parse_args()
    print(report.machine())
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        model = services.model(given.model, Path(scratch))
        sound = samples(given.audio, given.seconds) if given.audio else prompts(given.seconds)[0]
        anyio.run(measure, given, sound, model, Path(scratch))
    print(report.machine())


if __name__ == "__main__":
    main()
