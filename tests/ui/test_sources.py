"""What the sources of the page promise by themselves: types, and the tests of the parts that need no browser."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.ui.stage import need

STATIC = Path(__file__).parents[2] / "static"

pytestmark = pytest.mark.ui


@pytest.fixture(scope="module", autouse=True)
def _tools() -> None:
    """The developers' tools of the page; `pip install` fetches only what builds it."""
    npm = shutil.which("npm")
    need("there is no npm on this machine", there=npm is not None, how="apt-get install nodejs npm")
    if not (STATIC / "node_modules" / "vitest").exists():
        done = subprocess.run(
            [str(npm), "install", "--no-save"], cwd=STATIC, capture_output=True, text=True, timeout=240, check=False
        )  # fmt: skip
        need("the tools of the page cannot be installed", there=done.returncode == 0, how=done.stderr[-500:])


@pytest.mark.parametrize("script", ["check", "test"])
def test_the_sources_keep_their_types_and_pass_their_tests(script: str) -> None:
    done = subprocess.run(
        [str(shutil.which("npm")), "run", script], cwd=STATIC, capture_output=True, text=True, timeout=240, check=False
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout[-3_000:]}\n{done.stderr[-1_000:]}"
