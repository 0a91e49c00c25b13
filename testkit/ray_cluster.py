"""A real cluster of Ray on this machine: a head and nodes, each with an address of its own, and an end of all of them.

Every process of the cluster carries a mark in its environment. So whatever a test did to them, none is left behind, and
no other process is touched.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import psutil

WITHIN_S: Final = 120.0
"""Seconds for a head or a node to start. Alone it takes 2, beside a load of 7 it took 16."""
MARK: Final = "WHISPER_SERVICE_TEST_CLUSTER"
MISSING: Final = "Ray is not installed" if find_spec("ray") is None else ""
"""Why there can be no cluster. Empty: there can be one."""
STARTED: Final = b"Ray runtime started"
SETTINGS: Final = {
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_health_check_initial_delay_ms": "1000",  # as docs/deploy/cluster.md advises
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "3",
    "RAY_raylet_start_wait_time_s": "120",
}


class RayCluster:
    """A head at 127.0.0.2 or another address, where nothing runs, and nodes at the next addresses."""

    HEAD = "127.0.0.2"

    def __init__(self, head: str = HEAD) -> None:
        self.HEAD = head
        self.environment = SETTINGS | {"RAY_AUTH_TOKEN": secrets.token_hex(32)}
        with socket.socket() as probe:
            probe.bind((self.HEAD, 0))
            self.address = f"{self.HEAD}:{probe.getsockname()[1]}"
        self._mark = secrets.token_hex(8)
        self._folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # paths of sockets must be short
        self._nodes: dict[str, subprocess.Popen[bytes]] = {}
        self._next = int(self.HEAD.rpartition(".")[2])
        self._seen: set[psutil.Process] = set()

    @property
    def nodes(self) -> tuple[str, ...]:
        """The addresses of the head and the nodes that were started and not killed."""
        return tuple(self._nodes)

    def start_head(self) -> None:
        """Start the head."""
        port = self.address.rpartition(":")[2]
        self._start(self.HEAD, "--head", f"--port={port}", "--num-cpus=0", "--include-dashboard=false",
                    f"--temp-dir={self._folder}")  # fmt: skip

    def start_node(self, cpus: int = 1, *, namespace: str = "") -> str:
        """Start a node at an address that no other one had. Return the address. Only the main thread may call this.

        The kernel kills the node at the end of the thread that started it. `namespace`: the network in which it runs.
        """
        self._next += 1
        ip = f"{self.HEAD.rpartition('.')[0]}.{self._next}"
        within = ("ip", "netns", "exec", namespace) if namespace else ()
        self._start(ip, f"--address={self.address}", f"--num-cpus={cpus}", within=within)
        return ip

    def _start(self, ip: str, *options: str, within: tuple[str, ...] = ()) -> None:
        command = (
            *within, sys.executable, "-m", "ray.scripts.scripts", "start", "--block", f"--node-ip-address={ip}",
            "--num-gpus=0", "--object-store-memory=100000000", *options,
        )  # fmt: skip
        environment = {**os.environ, **self.environment, MARK: self._mark}
        file = self._folder / f"{ip}.log"
        with file.open("wb") as log:
            node = subprocess.Popen(command, env=environment, stdout=log, stderr=log, preexec_fn=_die_with_tests)
        self._nodes[ip] = node
        eventually(lambda: STARTED in file.read_bytes() or node.poll() is not None, "Ray did not start")
        assert node.poll() is None, file.read_text("utf-8", "replace")

    def processes(self, ip: str = "") -> list[psutil.Process]:
        """Return the living processes of one node, or of all of them."""
        tops = [psutil.Process(self._nodes[ip].pid)] if ip else self._marked()
        found = {each for top in tops for each in (top, *_below(top))}
        self._seen |= found  # Ray's own lose the mark with their new titles, and their parent when it dies
        return [each for each in (found if ip else self._seen) if _lives(each)]

    def _marked(self) -> list[psutil.Process]:
        mark = f"{MARK}={self._mark}".encode()
        return [process for process in psutil.process_iter() if mark in _environment(process.pid)]

    def process(self, ip: str, name: str) -> psutil.Process:
        """Return the process of a node with this name, such as "raylet"."""
        (found,) = (process for process in self.processes(ip) if process.name() == name)
        return found

    def kill_node(self, ip: str) -> None:
        """Kill everything of a node at once."""
        for process in self.processes(ip):
            kill(process)
        self._nodes.pop(ip).wait()

    def log(self) -> str:
        """Return what the starts of head and nodes said."""
        return "\n".join(file.read_text("utf-8", "replace") for file in sorted(self._folder.glob("*.log")))

    def end(self) -> None:
        """Kill every process of the cluster, and see that none is left."""
        deadline = time.monotonic() + WITHIN_S
        while left := self.processes():
            assert time.monotonic() < deadline, left
            for process in left:
                kill(process)
            psutil.wait_procs(left, timeout=1)
        for node in self._nodes.values():
            node.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


def _die_with_tests() -> None:
    """Ask the kernel to kill this process when the tests are gone. The other processes of a node end with it."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
    os.setsid()


def kill(process: psutil.Process) -> None:
    """Kill a process, also one that is gone."""
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return


def eventually(met: Callable[[], object], what: str) -> None:
    """Wait until this is true."""
    deadline = time.monotonic() + WITHIN_S
    while not met():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def _below(process: psutil.Process) -> list[psutil.Process]:
    try:
        return list(process.children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _environment(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""
