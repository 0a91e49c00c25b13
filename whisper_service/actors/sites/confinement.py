"""Confine this process: connections to permitted addresses only, files in one folder only, no other program but one.

Python reports each such act to audit hooks (PEP 578) before the act, also the acts of libraries. A hook that raises
prevents the act, and no code can remove the hook. Libraries that connect in C without Python's sockets are not seen:
`library` keeps them out.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from whisper_service.core.address_policy import Network, is_permitted, parse_address

PROGRAMS: Final = frozenset({"deno"})
"""Runs the scripts of some sites, without access to files and network: yt-dlp starts it so, if it is installed."""
WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_PATHS: Final = {
    "os.chmod": 1, "os.chown": 1, "os.link": 2, "os.mkdir": 1, "os.remove": 1, "os.rename": 2, "os.rmdir": 1,
    "os.symlink": 2, "os.truncate": 1, "os.utime": 1,
}  # fmt: skip
"""Events of acts that change files -> how many of the arguments are paths."""
_FORBIDDEN: Final = frozenset(
    {
        "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.startfile", "os.system", "pty.spawn",
        "socket.bind", "socket.sendmsg", "socket.sendto", "sqlite3.connect",
    }
)  # fmt: skip
PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h


class Confinement:
    """What a confined process may do, and which addresses it asked for in vain."""

    def __init__(self, folder: Path, allowed: Sequence[Network]) -> None:
        self.refused: list[str] = []  # addresses
        self._folder = os.path.realpath(folder)
        self._allowed = allowed

    def begin(self) -> None:
        """Confine this process for the rest of its life."""
        sys.dont_write_bytecode = True
        _end_programs_with_this_process()
        sys.addaudithook(self._check)

    def _check(self, event: str, args: tuple[Any, ...]) -> None:
        """Raise `PermissionError` for an act that is not allowed. Python calls this for every event."""
        if event == "open":
            if isinstance(args[2], int) and args[2] & WRITING:
                self._check_path(args[0])
        elif event == "socket.connect":
            self._check_address(*args)
        elif event == "subprocess.Popen":
            if Path(os.fsdecode(args[0])).stem.lower() not in PROGRAMS:
                raise _denied(f"no other program is started: {os.fsdecode(args[0])}")
        elif event in _FORBIDDEN:
            raise _denied(event)
        elif count := _PATHS.get(event):
            for path in args[:count]:
                self._check_path(path)

    def _check_address(self, connection: socket.socket, address: Any) -> None:
        if connection.family not in (socket.AF_INET, socket.AF_INET6):
            raise _denied("only connections of the internet are made")
        host = str(address[0])
        known = parse_address(host)  # a name would be resolved once more, perhaps to another address
        if known is None or not is_permitted(known, self._allowed):
            self.refused.append(host)
            raise _denied(f"{host} must not get requests")

    def _check_path(self, path: Any) -> None:
        if isinstance(path, int) or path == os.devnull:  # an open file
            return
        place = os.path.realpath(os.fsdecode(path))
        if place != self._folder and not place.startswith(self._folder + os.sep):
            raise _denied(f"nothing is written outside the folder: {place}")


def _denied(reason: str) -> PermissionError:
    return PermissionError(errno.EACCES, reason)


def _end_programs_with_this_process() -> None:
    """Have the kernel end the programs that this process starts when this process ends. Only Linux can do that."""
    if sys.platform != "linux":
        return
    import ctypes

    prctl, start = ctypes.CDLL(None).prctl, subprocess.Popen.__init__

    def tied(self: Any, *args: Any, **kwargs: Any) -> None:
        follow: Callable[[], Any] = lambda: prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # noqa: E731
        start(self, *args, **kwargs | {"preexec_fn": follow})

    subprocess.Popen.__init__ = tied  # type: ignore[method-assign]
