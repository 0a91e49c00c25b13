"""Measure the time from the start of the process to its first answer.

    python -m bench.latency.startup [--starts 10] [--model DIR]

Each start has a fresh data directory. The files of Python and of the packages are in the page cache. The clock starts
before the process does and stops when `GET /api/health/live` has answered 200. The request is sent when the service
prints its address. The actors start meanwhile, as they do for users. One more start counts the modules that the
serving process has loaded at its end, after it answered, started its actors and held a warm model.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import anyio
import httpx

from bench.lib import api, report, services

HEAVY = ("numpy", "ctranslate2", "faster_whisper", "onnxruntime", "av", "tokenizers", "huggingface_hub", "torch")
"""What only actors may load."""


def once(model: Path) -> float:
    """Seconds to the first answer."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as scratch,
        httpx.Client() as client,
    ):  # which takes a while to make
        began = time.monotonic()
        with services.service(Path(scratch) / "data", model=model) as live:
            answer = client.get(f"{live.url}/api/health/live")
            seconds = time.monotonic() - began
            if answer.status_code != 200:
                raise SystemExit(f"It answered {answer.status_code}.")
    return seconds


async def modules(model: Path) -> list[str]:
    """What the serving process has imported at its end."""
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        told = Path(scratch) / "modules"
        module = ("bench.lib.loaded_modules", str(told), "serve")
        with services.service(Path(scratch) / "data", model=model, module=module) as live:
            async with live.client as client:
                await api.loaded(client)
                await api.get(client, "/api/state")
        return told.read_text(encoding="utf-8").split()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=10)
    parser.add_argument("--model", type=Path, help="a CTranslate2 model directory (default: the built-in one)")
    given = parser.parse_args()
    print(report.machine())
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        model = services.model(given.model, Path(scratch))
        once(model)  # compiles what was not
        seconds = [once(model) for _ in range(given.starts)]
        loaded = anyio.run(modules, model)
    heavy = sorted(name for name in loaded if name.partition(".")[0] in HEAVY)
    report.table(
        ["figure", "value"],
        [
            [f"process start to first 200, median (range) of {given.starts}", report.spread(seconds, "s")],
            ["mean", f"{statistics.mean(seconds):.2f} s"],
            ["modules in the serving process at its end", len(loaded)],
            [f"of these, of {', '.join(HEAVY)}", ", ".join(heavy) or "none"],
        ],
    )
    print(report.machine())


if __name__ == "__main__":
    main()
