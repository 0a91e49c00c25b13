"""Where the two networks for speakers come from, and whether a folder has them."""

from __future__ import annotations

import re
from pathlib import Path

from whisper_service.models.speaker_networks import EMBEDDING, PAIR, SEGMENTATION, missing_networks


def test_each_network_has_a_file_of_its_own_and_places_to_get_it_from() -> None:
    assert len({network.file for network in PAIR}) == len(PAIR) == 2
    for network in PAIR:
        assert network.sources
        assert network.licence in {"MIT", "Apache-2.0"}
        for source in network.sources:
            assert re.fullmatch(r"[\w.-]+/[\w.-]+", source.repo)
            assert source.path.endswith(".onnx")


def test_a_folder_lacks_what_is_not_there_or_empty(tmp_path: Path) -> None:
    folder = tmp_path / "networks"
    assert missing_networks(folder) == [SEGMENTATION.file, EMBEDDING.file]
    folder.mkdir()
    (folder / SEGMENTATION.file).write_bytes(b"network")
    (folder / EMBEDDING.file).touch()
    assert missing_networks(folder) == [EMBEDDING.file]
    (folder / EMBEDDING.file).write_bytes(b"network")
    assert missing_networks(folder) == []
