"""A new service ends the actors that the last one left behind, and no other process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from whisper_service.supervision import orphans
from whisper_service.supervision.orphans import OrphanList

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux tells when a process was born")


@pytest.fixture
def actor() -> Iterator[subprocess.Popen[bytes]]:
    """Start a process that looks like an actor and reads no command."""
    code = "import time; name = 'multiprocessing'; time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        while b"multiprocessing" not in Path(f"/proc/{process.pid}/cmdline").read_bytes():
            pass
        yield process
        process.kill()


def test_an_actor_that_is_left_behind_is_ended_by_the_next_service(
    tmp_path: Path, actor: subprocess.Popen[bytes]
) -> None:
    OrphanList(tmp_path / "children").add(actor.pid)
    OrphanList(tmp_path / "children").end_orphans()
    assert actor.wait(10) == -9
    assert (tmp_path / "children").read_text() == ""


def test_a_process_that_only_has_the_id_of_an_actor_is_left_alone(
    tmp_path: Path, actor: subprocess.Popen[bytes]
) -> None:
    (tmp_path / "children").write_text(f"{actor.pid} 1\n")
    OrphanList(tmp_path / "children").end_orphans()
    assert actor.poll() is None


def test_a_process_that_is_no_actor_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as other:
        (tmp_path / "children").write_text(f"{other.pid} {orphans.start_time(other.pid)}\n")
        OrphanList(tmp_path / "children").end_orphans()
        assert other.poll() is None
        other.kill()


def test_an_actor_that_is_gone_is_removed(tmp_path: Path, actor: subprocess.Popen[bytes]) -> None:
    present = OrphanList(tmp_path / "children")
    present.add(actor.pid)
    assert (tmp_path / "children").read_text() == f"{actor.pid} {orphans.start_time(actor.pid)}\n"
    present.remove(actor.pid)
    assert (tmp_path / "children").read_text() == ""


@pytest.mark.parametrize("text", ["", "x", "1", "1 \n", "-1 5", "99999999 5", "\u00e9"])
def test_a_list_that_cannot_be_read_ends_no_process(tmp_path: Path, text: str) -> None:
    (tmp_path / "children").write_text(text, "utf-8")
    OrphanList(tmp_path / "children").end_orphans()
    assert (tmp_path / "children").read_text() == ""


def test_a_list_that_cannot_be_written_is_ignored(tmp_path: Path, actor: subprocess.Popen[bytes]) -> None:
    present = OrphanList(tmp_path / "missing" / "children")
    present.end_orphans()
    present.add(actor.pid)
    present.remove(actor.pid)
    assert actor.poll() is None
    assert list(tmp_path.iterdir()) == []
