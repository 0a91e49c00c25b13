"""What the service takes on the disk, by kind."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from whisper_service.app import disk_use
from whisper_service.app.disk_use import DiskMeter, DiskUse, measure
from whisper_service.app.models import ModelsInfo
from whisper_service.models.hubs import HubInfo
from whisper_service.models.inventory import ModelInfo, ModelState
from whisper_service.storage.data_dir import DataDir

pytestmark = pytest.mark.anyio


@pytest.fixture
def data(tmp_path: Path) -> DataDir:
    directory = DataDir(tmp_path / "data")
    for folder in (directory.media, directory.uploads, directory.spool, directory.peaks, directory.models):
        folder.mkdir(parents=True)
    return directory


def put(path: Path, size: int) -> Path:
    path.write_bytes(b"x" * size)
    return path


def test_every_file_counts_once_with_its_kind(data: DataDir) -> None:
    assert measure(data, 0) == DiskUse(0, 0, 0)
    put(data.source_of("a"), 1_000)
    os.link(data.source_of("a"), data.source_of("b"))  # the same recording, transcribed again
    put(data.source_of("c"), 20)
    put(data.spool_of("c"), 300)
    put(data.peaks_of("c"), 4)
    (data.uploads / "deep").mkdir()
    put(data.uploads / "deep" / "part", 50_000)
    put(data.database, 7)
    put(data.database.with_name(f"{data.database.name}-wal"), 80)
    put(data.models / "model.bin", 999)  # the list of models says what models take
    assert measure(data, 123) == DiskUse(51_324, 87, 123)


async def test_a_measurement_is_kept_for_a_while(data: DataDir, monkeypatch: pytest.MonkeyPatch) -> None:
    class Models:
        async def list(self) -> ModelsInfo:
            found = [ModelInfo(name=name, state=ModelState.INSTALLED, disk_bytes=500) for name in ("one", "two")]
            return ModelsInfo(found, HubInfo((), None, token=False, offline=False))

    models: Any = Models()
    meter = DiskMeter(data, models)
    put(data.source_of("a"), 10)
    assert await meter.read() == DiskUse(10, 0, 1_000)
    put(data.source_of("b"), 10)
    assert await meter.read() == DiskUse(10, 0, 1_000)
    monkeypatch.setattr(disk_use, "KEPT_S", 0.0)
    assert await meter.read() == DiskUse(20, 0, 1_000)
