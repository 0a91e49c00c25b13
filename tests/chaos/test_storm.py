"""A short storm over the whole service in every run of the tests: nothing is lost.

`bench.robustness.storm` has longer ones.

Seeds and seconds can be given: CHAOS_SEEDS=7,8 CHAOS_SECONDS=60. A finding names the seed; the machine's own timing is
not in it.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from testkit import prompts
from testkit.chaos import storm
from testkit.chaos.host import Host
from testkit.chaos.verdict import files
from testkit.program import BUNDLED, NOT_BUNDLED
from testkit.scripted_actors import script
from whisper_service.models.catalog import Catalog

SEEDS = list(storm.seeds(os.environ.get("CHAOS_SEEDS", "1,2")))
SECONDS = float(os.environ.get("CHAOS_SECONDS", "20"))

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.timeout(60 + 20 * SECONDS),
    pytest.mark.skipif(
        not Path("/proc/self/fd").exists(), reason="looks into /proc and limits memory as only Linux does"
    ),
]


def judge(report: storm.Report, home: Path) -> None:
    print(report)
    if report.findings:
        print("the last words of the service:", (home / "log").read_text("utf-8", "replace")[-4_000:], sep="\n")
    assert not report.findings
    shutil.rmtree(home)


@pytest.mark.parametrize("seed", SEEDS)
async def test_nothing_is_lost_with_scripted_actors(tmp_path: Path, seed: int) -> None:
    judge(await storm.run(storm.Plan(seed, SECONDS), tmp_path), tmp_path)


async def test_nothing_is_lost_with_two_seats_of_which_one_is_struck(tmp_path: Path) -> None:
    judge(await storm.run(storm.Plan(SEEDS[0], SECONDS, seats=2), tmp_path), tmp_path)


@pytest.mark.model
@pytest.mark.skipif(not prompts.PROMPTS.exists(), reason=prompts.NO_PROMPTS)
@pytest.mark.skipif(not BUNDLED, reason=NOT_BUNDLED)
async def test_nothing_is_lost_with_the_real_model(tmp_path: Path) -> None:
    model = Catalog(tmp_path / "models", default="auto").locate("base").path
    home = tmp_path / "home"
    home.mkdir()
    judge(await storm.run(storm.Plan(SEEDS[0], SECONDS, model), home), home)


async def test_an_actor_that_hears_late_of_a_cancelled_job_leaves_nothing(tmp_path: Path) -> None:
    settings = {**storm.Plan(0, 0).settings, "supervision__decode_stall_s": 120, "media__workers": 1}
    host = Host(tmp_path, tmp_path, storm.FAKES, settings)
    await host.start()
    try:
        async with httpx.AsyncClient(base_url=host.url, timeout=30) as client:
            found = await until(client, "/api/system", lambda value: actor_of(value)["state"] == "ready")
            pid = int(actor_of(found)["pid"])
            os.kill(pid, signal.SIGSTOP)
            job = (await client.post("/api/jobs?filename=talk", content=script(chunks=3))).json()
            await until(client, f"/api/jobs/{job['id']}", lambda value: value["status"] == "processing")
            (await client.post(f"/api/jobs/{job['id']}/cancel")).raise_for_status()
            os.kill(pid, signal.SIGCONT)
            other = (await client.post("/api/jobs?filename=next", content=script(chunks=1))).json()  # done after it
            await until(client, f"/api/jobs/{other['id']}", lambda value: value["status"] == "completed")
        assert not list(files(host))
    finally:
        host.abandon()


def actor_of(system: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(actor for actor in system["actors"] if actor["name"] == "media-1")
    return found


async def until(client: httpx.AsyncClient, path: str, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """What is at `path`, once it is as wanted."""
    while True:
        value: dict[str, Any] = (await client.get(path)).json()
        if wanted(value):
            return value
        await anyio.sleep(0.1)
