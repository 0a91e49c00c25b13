"""A short storm over the whole service in every run of the tests: nothing is lost. `bench.chaos` has longer ones.

Seeds and seconds can be given: CHAOS_SEEDS=7,8 CHAOS_SECONDS=60. A finding names the seed; the machine's own timing is not in it.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests import recordings
from tests.chaos import storm
from tests.e2e.program import BUNDLED, NOT_BUNDLED
from whisper_service.catalog import Catalog

SEEDS = list(storm.seeds(os.environ.get("CHAOS_SEEDS", "1,2")))
SECONDS = float(os.environ.get("CHAOS_SECONDS", "20"))

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.timeout(60 + 20 * SECONDS),
    pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks into /proc and limits memory as only Linux does"),
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


@pytest.mark.model
@pytest.mark.skipif(not recordings.PROMPTS.exists(), reason=recordings.NO_PROMPTS)
@pytest.mark.skipif(not BUNDLED, reason=NOT_BUNDLED)
async def test_nothing_is_lost_with_the_real_model(tmp_path: Path) -> None:
    model = Catalog(tmp_path / "models", default="auto").locate("base").path
    home = tmp_path / "home"
    home.mkdir()
    judge(await storm.run(storm.Plan(SEEDS[0], SECONDS, model), home), home)
