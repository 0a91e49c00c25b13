"""nginx in a process of its own, with the snippet that is shipped."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from testkit.repository import DOCS

DEPLOY = DOCS / "deploy"


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def nginx(root: Path, site: str) -> Iterator[None]:
    """nginx with this site and the shipped snippet, until the end of the block."""
    (root / "snippets").mkdir(parents=True)
    shutil.copy(DEPLOY / "nginx-proxy.conf", root / "snippets" / "whisper_service.conf")
    temporary = "".join(
        f"{kind}_temp_path {root}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    main = root / "nginx.conf"
    main.write_text(f"error_log stderr;pid {root}/pid;events {{}}http {{access_log off;{temporary}\n{site}\n}}")
    command = ["nginx", "-p", str(root), "-e", "stderr", "-c", str(main), "-g", "daemon off;"]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.terminate()


def below(service: str, port: int, *, kept: bool) -> str:
    """Return a site with the service below a path, by the block that is shipped."""
    location = re.search(r"# To show.*\n((?: *#.*\n)+)", (DEPLOY / "nginx.conf").read_text())
    assert location
    block = re.sub(r"^ *#", "", location[1], flags=re.MULTILINE)
    assert "location /transcribe/" in block
    block = block.replace("http://127.0.0.1:8000", service + ("" if kept else "/"))
    return f"server {{ listen 127.0.0.1:{port};{block}location / {{ return 418; }} }}"
