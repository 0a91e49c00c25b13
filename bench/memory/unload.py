"""Measure memory before a model is loaded, while it is loaded, after work and after it is unloaded.

    python -m bench.memory.unload [--model DIR] [--rounds 3]

The figures are the resident memory of the whole process tree and of the speech actor alone, as the kernel counts it,
with the real model. The table also shows how long the next job waits for the model.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import anyio
import httpx
import psutil

from bench.lib import api, recordings, report, services, usage

SECONDS = 30.0


async def look(live: services.Service, client: httpx.AsyncClient, when: str, rows: list[list[object]]) -> None:
    pid = (await api.actors(client)).get("speech")
    service = psutil.Process(live.process.pid)
    whole = sum(process.memory_info().rss for process in (service, *service.children(recursive=True))) / usage.MB
    alone = psutil.Process(pid).memory_info().rss / usage.MB if pid and psutil.pid_exists(pid) else 0.0
    rows.append([when, f"{whole:.1f}", f"{alone:.1f}"])


async def gone(client: httpx.AsyncClient) -> None:
    """The speech actor has left."""
    with anyio.fail_after(30):
        while "speech" in await api.actors(client):  # noqa: ASYNC110 - nobody tells the end of an idle actor
            await anyio.sleep(0.05)


async def measure(model: Path, rounds: int) -> None:
    rows: list[list[object]] = []
    waits: list[float] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        made = recordings.speech(SECONDS, Path(scratch) / "talk.mp3", None)
        with services.service(Path(scratch) / "data", model=model, SPEECH__PRELOAD="false") as live:
            async with live.client as client:
                await anyio.sleep(3)  # imports of the media actor
                await look(live, client, "before any model", rows)
                for number in range(1, rounds + 1):
                    began = time.monotonic()
                    job = await api.upload(client, made.path, language="en")
                    async for event in api.follow(client, job["id"]):
                        if event.kind == "segment":
                            waits.append(event.at - began)
                            break
                    await api.finished(client, job["id"])
                    await look(live, client, f"round {number}: loaded, after {SECONDS:.0f} s of speech", rows)
                    name = (await api.get(client, "/api/system"))["model"]
                    (await client.post(f"/api/models/{name}/unload")).raise_for_status()
                    await gone(client)
                    await look(live, client, f"round {number}: unloaded", rows)
    report.table(["when", "RSS of all processes, MB", "RSS of the speech actor, MB"], rows)
    print()
    report.table(
        ["round", "upload to first text with the model not loaded, s"],
        [[n + 1, f"{wait:.1f}"] for n, wait in enumerate(waits)],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a CTranslate2 model directory (default: the built-in one)")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    print(report.machine())
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        anyio.run(measure, services.model(given.model, Path(scratch)), given.rounds)
    print(report.machine())


if __name__ == "__main__":
    main()
