"""Builds the page into `static/dist` while the package is built; without node the package is built all the same.

`WHISPER_SERVICE_UI=skip` leaves the page out, `WHISPER_SERVICE_UI=require` makes a page that cannot be built an error.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

REMEDY = (
    "The web page was not built; the service works without it and shows its plain page. To get it: install Node 20 or newer "
    "with npm and reach the npm registry (or set npm_config_registry to a mirror), then install again; or install a released "
    "wheel, which carries the page."
)


class PageHook(BuildHookInterface):  # type: ignore[type-arg]
    """Puts the built page into the wheel and the source archive."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        static, dist = root / "static", root / "static" / "dist"
        wish = os.environ.get("WHISPER_SERVICE_UI", "")
        carried = (root / "PKG-INFO").exists() and (dist / "index.html").exists()  # a source archive brings its page along
        if wish != "skip" and not carried:
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

    def _build(self, static: Path, dist: Path) -> None:
        stamp, mark = dist / ".stamp", _mark(static)
        if stamp.exists() and stamp.read_text(encoding="ascii") == mark:
            return
        npm = shutil.which("npm")
        if npm is None:
            raise OSError("There is no npm on this machine.")
        for command in (["install", "--omit=dev"], ["run", "build"]):
            subprocess.run(  # fixed words, no shell
                [npm, *command], cwd=static, check=True, text=True, timeout=600, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
        stamp.write_text(mark, encoding="ascii")


def _mark(static: Path) -> str:
    """What the page is built from."""
    sources = [*sorted((static / "src").rglob("*")), static / "package.json", static / "vite.config.ts"]
    digest = hashlib.sha256()
    for source in sources:
        if source.is_file():
            digest.update(f"{source.relative_to(static)}\0".encode() + source.read_bytes())
    return digest.hexdigest()
