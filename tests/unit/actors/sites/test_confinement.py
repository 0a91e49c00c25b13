"""A confined process reaches permitted addresses and one folder. Each test confines a process of its own."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

START = """
import os, socket, subprocess, sys
from ipaddress import ip_network
from pathlib import Path
from whisper_service.actors.sites.confinement import Confinement
folder = Path(sys.argv[1])
server = socket.create_server(("127.0.0.1", 0))
port = server.getsockname()[1]
confinement = Confinement(folder, [ip_network("127.0.0.1")])
confinement.begin()
def refused(act):
    try:
        act()
    except PermissionError:
        return True
    return False
"""


def confined(folder: Path, code: str) -> str:
    """Run code in a process that is confined to a folder. Return what it prints."""
    command = [sys.executable, "-c", START + code, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_connections(tmp_path: Path) -> None:
    code = """
socket.create_connection(("127.0.0.1", port)).close()
assert refused(lambda: socket.create_connection(("127.0.0.2", port)))
assert refused(lambda: socket.create_connection(("192.168.1.1", 80), 1))
assert refused(lambda: socket.create_connection(("169.254.169.254", 80), 1))
assert refused(lambda: socket.socket(socket.AF_INET6).connect(("::ffff:127.0.0.2", port)))
assert refused(lambda: socket.socket(socket.AF_INET6).connect(("64:ff9b::10.0.0.1", port)))
assert refused(lambda: socket.socket(socket.AF_UNIX).connect("/run/x.sock"))
assert refused(lambda: socket.socket().connect_ex(("10.0.0.1", 80)))
assert refused(lambda: socket.socket().connect(("localhost", port))), "a name could have two answers"
assert refused(lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", ("8.8.8.8", 53)))
assert refused(lambda: socket.create_server(("127.0.0.1", 0)))
print(confinement.refused)
"""
    found = confined(tmp_path, code)
    assert "169.254.169.254" in found
    assert "'127.0.0.1'" not in found


def test_files(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.write_text("kept")
    (inside / "way").symlink_to(tmp_path)
    code = f"""
outside = Path({str(outside)!r})
(folder / "a").write_bytes(b"x")
(folder / "b").mkdir()
(folder / "a").rename(folder / "b" / "a")
open(os.devnull, "w").close()
assert outside.read_text() == "kept"
assert refused(lambda: outside.write_text("x"))
assert refused(lambda: outside.open("a"))
assert refused(lambda: os.open(outside, os.O_RDWR))
assert refused(lambda: (folder / "way" / "new").write_text("x"))
assert refused(lambda: (folder / ".." / "new").write_text("x"))
assert refused(outside.unlink)
assert refused(lambda: (folder / "b" / "a").rename(outside))
assert refused(lambda: outside.with_name("d").mkdir())
assert refused(lambda: (folder / "link").symlink_to(outside))
"""
    confined(inside, code)
    assert outside.read_text() == "kept"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]
    assert (inside / "b" / "a").read_bytes() == b"x"


def test_programs(tmp_path: Path) -> None:
    code = """
assert refused(lambda: subprocess.run(["ffmpeg", "-version"]))
assert refused(lambda: subprocess.run("true", shell=True))
assert refused(lambda: os.system("true"))
assert refused(lambda: os.execv("/bin/true", ["true"]))
assert refused(lambda: os.posix_spawn("/bin/true", ["true"], {}))
assert refused(os.fork)
"""
    confined(tmp_path, code)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can do that")
def test_the_one_program_that_runs_ends_with_the_process(tmp_path: Path) -> None:
    program = tmp_path / "deno"
    program.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 60\n")
    program.chmod(0o755)
    code = f"""
subprocess.Popen([{str(program)!r}])
while not Path({str(tmp_path)!r}, "pid").exists() or not Path({str(tmp_path)!r}, "pid").read_text():
    pass
import signal
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", START + code, str(tmp_path)], check=False, timeout=60)
    assert done.returncode == -9
    pid = int((tmp_path / "pid").read_text())
    until = time.monotonic() + 10
    while _lives(pid) and time.monotonic() < until:
        time.sleep(0.02)
    assert not _lives(pid)


def _lives(pid: int) -> bool:
    """Return whether a process runs. A dead one may wait for its parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
