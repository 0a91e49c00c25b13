"""A node of a real cluster is cut off from the network for half a minute, and comes back. Needs root.

The node lives in a network of its own, at the end of a cable that is pulled. It goes on with what it has in hand, but
nobody hears it any more.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import psutil
import pytest

from testkit import ray_cluster
from testkit.ray_cluster import RayCluster
from tests.integration.cluster.ray_service import BATCH, actor_of, eventually, head, outposts, serving

CUT_S: Final = 30.0
NETWORK: Final = "10.213.77"
"""A private network that hardly any machine has."""


def _no_network() -> str:
    """Return why no network can be made here. Empty: one can."""
    if os.name != "posix" or os.geteuid() != 0 or shutil.which("ip") is None:
        return "a network of its own needs root and the program ip"
    name = f"probe-{os.getpid()}"
    made = subprocess.run(("ip", "netns", "add", name), capture_output=True, text=True, check=False)
    subprocess.run(("ip", "netns", "del", name), capture_output=True, check=False)
    return f"a network cannot be made here: {made.stderr.strip()}" if made.returncode else ""


REASON: Final = ray_cluster.MISSING or _no_network()
pytestmark = [
    pytest.mark.skipif(bool(REASON), reason=REASON or "there is one"),
    pytest.mark.timeout(600),
]


class Cable:
    """A network namespace at the end of a cable that can be pulled."""

    def __init__(self, far_ip: str) -> None:
        self.name = f"ws{os.getpid()}"
        self._near, self._far = f"{self.name}a", f"{self.name}b"
        self._ip("netns", "add", self.name)
        self._ip("link", "add", self._near, "type", "veth", "peer", "name", self._far, "netns", self.name)
        for last in (1, 2, 3, 5):
            self._ip("addr", "add", f"{NETWORK}.{last}/24", "dev", self._near)
        self._ip("link", "set", self._near, "up")
        for words in (("addr", "add", f"{far_ip}/24", "dev", self._far), ("link", "set", self._far, "up"),
                      ("link", "set", "lo", "up")):  # fmt: skip
            self._ip("-n", self.name, *words)

    def pull(self) -> None:
        """Let nothing through. The near end keeps its addresses: only the way is gone."""
        self._ip("-n", self.name, "link", "set", self._far, "down")

    def plug_in(self) -> None:
        self._ip("-n", self.name, "link", "set", self._far, "up")

    def remove(self) -> None:
        self._ip("link", "del", self._near)
        self._ip("netns", "del", self.name)

    def _ip(self, *words: str) -> None:
        subprocess.run(("ip", *words), check=True)


@pytest.fixture
def cut() -> Iterator[tuple[RayCluster, Cable, str, str]]:
    """A head and a node here, and a node at the end of a cable. Returned with their addresses."""
    with ExitStack() as stack:
        cable = Cable(f"{NETWORK}.4")
        stack.callback(cable.remove)
        cluster = stack.enter_context(head(f"{NETWORK}.2"))
        here = cluster.start_node()
        there = cluster.start_node(namespace=cable.name)
        yield cluster, cable, here, there


def test_a_node_that_is_cut_off_and_comes_back_doubles_nothing(
    tmp_path: Path, cut: tuple[RayCluster, Cable, str, str]
) -> None:
    cluster, cable, _, there = cut
    with serving(tmp_path, cluster) as service:
        service.wait_for_seats()
        job_id = service.send("cut", delay=1.0)
        eventually(lambda: service.job(job_id)["chunks_done"] >= 4, lambda: str(service.job(job_id)))
        (outpost,) = outposts(cluster, there)
        zombie = actor_of(outpost)
        at = time.monotonic()
        cable.pull()
        try:
            eventually(lambda: bool(service.job(job_id)["history"]), lambda: str(service.job(job_id)))
            noticed_s = time.monotonic() - at
            alive = zombie.is_running()
            time.sleep(max(0.0, CUT_S - (time.monotonic() - at)))
        finally:
            cable.plug_in()
        back = time.monotonic()
        job = service.check(job_id, "cut", BATCH)
        assert [note["code"] for note in job["history"]] == ["lost"], job["history"]
        eventually(lambda: not _lives(zombie), lambda: f"the actor of the node lives: {zombie}")
        print(f"noticed after {noticed_s:.1f} s; the actor {'went on' if alive else 'was gone'} there, and ended "
              f"{time.monotonic() - back:.1f} s after the network was back")  # fmt: skip
        cluster.kill_node(there)
        cluster.start_node()
        service.wait_for_seats()
        service.check(service.send("after", delay=0.05), "after", 0)
        assert service.slowest_s < 1.0


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
