"""The two networks that tell speakers apart: where they come from, and where they lie in a folder.

They belong together: one folder has both, under the names of this module. They know no language. Both are on the hub as
ONNX files, in repos that ask for no token. The hashes of those files are not known here, so `SpeakerNetwork` has only
sizes, which are about right; the hub tells exact sizes and hashes when it is asked.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from whisper_service.core.domain import Value
from whisper_service.models.files import file_size


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


def missing_networks(folder: Path) -> list[str]:
    """Return the names of the files that the folder lacks. Blocks."""
    return [network.file for network in PAIR if not file_size(folder / network.file)]
