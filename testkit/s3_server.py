"""A server that speaks S3, for tests: s3rver of npm, which checks access keys and keeps its objects in a folder.

It is looked for in `testkit/s3rver` (`npm install --no-package-lock` there: 14 MB, 5 s), or where the variable S3RVER
says.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

KEY: Final = "S3RVER"
"""The access key and the secret of this server."""
BUCKET: Final = "recordings"
START_S: Final = 30.0
SCRIPT: Final = (
    Path(os.environ.get("S3RVER") or Path(__file__).parent / "s3rver" / "node_modules" / "s3rver") / "bin" / "s3rver.js"
)
NODE: Final = shutil.which("node")
MISSING: Final = (
    None if NODE and SCRIPT.is_file() else "s3rver is not installed: `npm install --no-package-lock` in testkit/s3rver"
)
"""Why there is no server. None: there is one."""


class S3Server:
    """A server with one empty bucket, which can be killed and started again on its port."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])

    @property
    def settings(self) -> Mapping[str, str]:
        """The settings of the section `s3` of a service that uses this server."""
        return {
            "endpoint": f"http://127.0.0.1:{self.port}",
            "access_key_id": KEY,
            "secret_access_key": KEY,
        }

    @property
    def objects(self) -> dict[str, bytes]:
        """What is in the bucket, by key."""
        root, ending = self.folder / BUCKET, "._S3rver_object"
        files = (path for path in root.rglob(f"*{ending}") if "._S3rver_uploads" not in path.parts)
        return {str(path.relative_to(root)).removesuffix(ending): path.read_bytes() for path in files}

    def start(self) -> None:
        """Start the server, and return once it takes connections."""
        assert NODE is not None
        self.folder.mkdir(parents=True, exist_ok=True)
        options = ("--address", "127.0.0.1", "--port", str(self.port), "--directory", str(self.folder), "--silent")
        self._process = subprocess.Popen(
            [NODE, str(SCRIPT), *options, "--configure-bucket", BUCKET], stdout=subprocess.DEVNULL
        )
        deadline = time.monotonic() + START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                assert time.monotonic() < deadline, "s3rver does not start"
                assert self._process.poll() is None, "s3rver has ended"
                time.sleep(0.05)

    def freeze(self) -> None:
        """Let the server answer nothing until `thaw`, like one behind a line that hangs."""
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        self._send(signal.SIGCONT)

    @property
    def has_parts(self) -> bool:
        """Whether parts of an object have come that is not complete."""
        return any((self.folder / BUCKET / "._S3rver_uploads").glob("*/1"))

    def _send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """Kill the server. Its objects stay."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=30)
            self._process = None
