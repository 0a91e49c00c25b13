"""Serve with other actors. Everything else is the real service, and prints its address as `serve` does.

    python -m testkit.serve --data-dir DIR --port 0 [--model DIR] [--speech ENTRY] [--media ENTRY] [--speakers ENTRY]
                            [--gateway ENTRY] [--commits FILE] [--sync-ms MS] [--cut N]

With `--commits` it writes when each change was committed, one `seq nanoseconds kind job` a line, to be compared with
when clients got it. The time is taken by the thread that writes the database, the moment SQLite's COMMIT returns, on
the monotonic clock of the machine. With `--sync-ms` every commit takes so much longer, as on a disk that syncs slowly.
With `--cut` the process is killed when the text of N chunks is committed and the newest of it is not told yet.
"""

from __future__ import annotations

import argparse
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import aiosqlite
import anyio

from whisper_service.app.service import Service
from whisper_service.app.wiring import GATEWAY, MEDIA, SPEAKERS_ENTRY, SPEECH
from whisper_service.config.load import load
from whisper_service.config.schema import Config
from whisper_service.core import logs
from whisper_service.core.domain import Change
from whisper_service.storage.change_feed import ChangeFeed
from whisper_service.web.server import serving, tune_garbage_collector

FAKE_MODEL = ("model.bin", "config.json", "tokenizer.json", "vocabulary.json")


class Commits:
    """When each change was committed.

    One writer commits, then publishes: the last commit before a publication is its own.
    """

    def __init__(self) -> None:
        self.last = 0
        self.stamps: list[tuple[int, int, str, str]] = []

    def watch(self) -> None:
        """Note the time of every commit and publication of this process from now on."""
        commits = self

        class Stamping(sqlite3.Connection):
            def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
                cursor = super().execute(sql, *parameters)
                if sql == "COMMIT":
                    commits.last = time.monotonic_ns()
                return cursor

        def publish(broadcast: ChangeFeed, changes: Sequence[Change]) -> None:
            commits.stamps += [(change.seq, commits.last, change.kind, change.job_id) for change in changes]
            original(broadcast, changes)

        original = ChangeFeed.publish
        ChangeFeed.publish = publish  # type: ignore[assignment, method-assign]
        aiosqlite.connect = partial(aiosqlite.connect, factory=Stamping)

    def write(self, path: Path) -> None:
        path.write_text("".join(f"{seq} {at} {kind} {job}\n" for seq, at, kind, job in self.stamps), encoding="utf-8")


def slow_commits(sync_ms: float) -> None:
    """Let every commit of this process take so much longer from now on."""

    class Slow(sqlite3.Connection):
        def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
            if sql == "COMMIT":
                time.sleep(sync_ms / 1000)
            return super().execute(sql, *parameters)

    aiosqlite.connect = partial(aiosqlite.connect, factory=Slow)


def cut_before_publishing(number: int) -> None:
    """Let this process be killed once the text of `number` chunks is committed, before the newest is published."""
    publish = ChangeFeed.publish
    told = 0

    def cut(feed: ChangeFeed, changes: Sequence[Change]) -> None:
        nonlocal told
        told += sum(change.kind == "segment" for change in changes)
        if told >= number:
            os.kill(os.getpid(), signal.SIGKILL)
        publish(feed, changes)

    ChangeFeed.publish = cut  # type: ignore[assignment, method-assign]


async def serve(settings: Config, speech: str, media: str, speakers: str, gateway: str) -> None:
    """Serve until SIGTERM or SIGINT."""
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with (
            Service.open(
                settings, speech_entry=speech, media_entry=media, speakers_entry=speakers, gateway_entry=gateway
            ) as service,
            serving(service, settings.server.host, settings.server.port) as url,
        ):
            tune_garbage_collector()
            print(f"whisper_service is at {url}", flush=True)
            async for _ in signals:
                break


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument(
        "--model", type=Path, help="a model directory; without one an empty one, for actors that load none"
    )
    parser.add_argument("--speech", default=SPEECH, help=f"module:function (default: {SPEECH})")
    parser.add_argument("--media", default=MEDIA, help=f"module:function (default: {MEDIA})")
    parser.add_argument("--speakers", default=SPEAKERS_ENTRY, help=f"module:function (default: {SPEAKERS_ENTRY})")
    parser.add_argument("--gateway", default=GATEWAY, help=f"module:function (default: {GATEWAY})")
    parser.add_argument("--commits", type=Path, help="write here when each change was committed")
    parser.add_argument("--sync-ms", type=float, default=0.0, help="more for each commit; not with --commits")
    parser.add_argument("--cut", type=int, default=0, help="die between the commit and the event of this many chunks")
    given = parser.parse_args()
    model = given.model or given.data_dir.parent / "no-model"
    if given.model is None:
        model.mkdir(parents=True, exist_ok=True)
        for name in FAKE_MODEL:
            (model / name).write_bytes(b"{}")
    overrides = {
        "data_dir": str(given.data_dir.resolve()),
        "server.port": given.port,
        "speech.model": str(model.resolve()),
    }
    settings = load(overrides=overrides)
    logs.configure(settings.log.level, json=settings.log.json)
    commits = Commits()
    if given.commits:
        commits.watch()
    elif given.sync_ms:
        slow_commits(given.sync_ms)
    if given.cut:
        cut_before_publishing(given.cut)
    anyio.run(serve, settings, given.speech, given.media, given.speakers, given.gateway)
    if given.commits:
        commits.write(given.commits)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
