"""A model finds its way to the machine that loads it, from wherever it is nearest, or it is said why not."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

import anyio.lowlevel
import pytest

from whisper_service.cluster import file_cache, file_push, model_files, model_push, node_models
from whisper_service.cluster.file_cache import FileCache
from whisper_service.cluster.file_push import FileOffer, StoredFiles
from whisper_service.cluster.model_files import ModelDigests
from whisper_service.cluster.model_push import ModelPush
from whisper_service.cluster.node_models import NodeModels
from whisper_service.models import bundled
from whisper_service.supervision.messages.base import Fault
from whisper_service.supervision.messages.speech import Load, ModelProgress
from whisper_service.supervision.protocol import Report

pytestmark = pytest.mark.anyio
WEIGHTS: Final = random.Random(5).randbytes(100_000)


class Lost(Exception):
    """A call or its answer did not arrive."""


def model(folder: Path, weights: bytes = WEIGHTS) -> Path:
    """Make the folder of a model, with files beside it that do not belong to it."""
    folder.mkdir()
    (folder / "model.bin").write_bytes(weights)
    for name in ("config.json", "tokenizer.json", "vocabulary.json"):
        (folder / name).write_bytes(b"{}")
    (folder / "README.md").write_bytes(b"about it")
    return folder


def load(folder: Path) -> Load:
    return Load(model="tiny", path=str(folder), device="cpu", compute_type="auto", slots=1, threads=1)


class Node:
    """A machine that cannot read the service's folders, behind calls that fail, come twice and come late."""

    def __init__(self, cache: Path, *, trouble: float = 0.0, spare_bytes: int = 0) -> None:
        self.cache = FileCache(cache, spare_bytes)
        self.models = NodeModels(self.cache)
        self.said: list[Report] = []
        self.stored = 0  # bytes of pieces that came
        self._chance = random.Random(7)
        self._trouble = trouble
        self._late: list[Callable[[], Coroutine[Any, Any, StoredFiles]]] = []

    async def offer(self, offer: FileOffer) -> StoredFiles:
        elsewhere = FileOffer(offer.key, offer.files, f"/nowhere{offer.path}")
        return await self._travel(lambda: self.models.offer(elsewhere))

    async def store(self, offer: FileOffer, file: int, at: int, data: bytes) -> StoredFiles:
        self.stored += len(data)
        return await self._travel(lambda: self.models.store(offer, file, at, data))

    async def repeat(self, call: Callable[[], Coroutine[Any, Any, StoredFiles]]) -> StoredFiles:
        while True:
            try:
                return await call()
            except Lost:
                await anyio.lowlevel.checkpoint()

    async def _travel(self, call: Callable[[], Coroutine[Any, Any, StoredFiles]]) -> StoredFiles:
        self._late.append(call)
        if self._chance.random() < self._trouble:
            raise Lost
        for _ in range(2 if self._chance.random() < self._trouble else 1):
            answer = await call()
        if self._chance.random() < self._trouble:
            await self._chance.choice(self._late)()  # an earlier call arrives now
            raise Lost
        return answer

    async def place(self, folder: Path, push: ModelPush | None = None) -> Load | None:
        with anyio.fail_after(20):
            return await (push or ModelPush()).place(load(folder), "gpu-1", self, self.repeat, self.said.append)

    def fault(self) -> Fault:
        (fault,) = (report for report in self.said if isinstance(report, Fault))
        assert (fault.scope, fault.model) == ("model", "tiny")
        return fault


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a model on the service's machine. It travels in 13 pieces."""
    monkeypatch.setattr(file_push, "PIECE_BYTES", 10_000)
    monkeypatch.setattr(file_push, "BUSY_AGAIN_S", 0.01)
    return model(tmp_path / "home")


def assert_is_there(placed: Load | None, home: Path, cache: Path) -> None:
    assert placed is not None
    folder = Path(placed.path)
    assert folder.parent == cache
    assert placed == load(folder)
    names = {"model.bin", "config.json", "tokenizer.json", "vocabulary.json"}
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        name: (home / name).read_bytes() for name in names
    }


@pytest.mark.parametrize("trouble", [0.0, 0.3])
async def test_a_machine_without_the_model_gets_it_whatever_happens_to_the_calls(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: float
) -> None:
    monkeypatch.setattr(model_push, "SAY_S", 0.0)
    node = Node(tmp_path / "cache", trouble=trouble)
    assert_is_there(await node.place(home), home, tmp_path / "cache")
    told = [report for report in node.said if isinstance(report, ModelProgress)]
    assert told == node.said
    assert [report.bytes for report in told] == sorted({report.bytes for report in told})
    assert (told[0].bytes, {report.total for report in told}) == (0, {100_006})
    assert len(told) > 10


async def test_a_model_that_is_in_the_cache_is_not_sent_again(home: Path, tmp_path: Path) -> None:
    first, second = Node(tmp_path / "cache"), Node(tmp_path / "cache")
    placed = await first.place(home)
    assert first.stored == 100_006
    assert await second.place(home) == placed
    assert (second.stored, second.said) == (0, [])


async def test_two_seats_of_a_machine_get_the_model_once(home: Path, tmp_path: Path) -> None:
    nodes = [Node(tmp_path / "cache") for _ in range(3)]
    push, placed = ModelPush(), []

    async def place(node: Node) -> None:
        placed.append(await node.place(home, push))

    async with anyio.create_task_group() as group:
        for node in nodes:
            group.start_soon(place, node)
    for each in placed:
        assert_is_there(each, home, tmp_path / "cache")
    assert sum(node.stored for node in nodes) == 100_006


async def test_another_outpost_goes_on_where_a_dead_one_stopped(home: Path, tmp_path: Path) -> None:
    first = Node(tmp_path / "cache")
    offer = ModelDigests().offer_of(home)
    wanted = await first.offer(offer)
    assert offer.files[wanted.file].name == "config.json"
    cache = FileCache(tmp_path / "cache", 0)
    assert cache.offer(offer).busy
    await first.store(offer, 0, 0, b"{}")
    await first.store(offer, 1, 0, WEIGHTS[:60_000])
    first.cache.release()  # as the kernel does when the outpost is killed
    second = Node(tmp_path / "cache")
    assert_is_there(await second.place(home), home, tmp_path / "cache")
    assert second.stored == 40_004


async def test_an_outpost_that_gets_no_more_pieces_lets_another_one_go_on(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_models, "IDLE_S", 0.01)
    first, second = Node(tmp_path / "cache"), Node(tmp_path / "cache")
    await first.offer(ModelDigests().offer_of(home))
    assert_is_there(await second.place(home), home, tmp_path / "cache")


async def test_the_folder_of_the_service_is_used_where_it_can_be_read(home: Path, tmp_path: Path) -> None:
    models = NodeModels(FileCache(tmp_path / "cache", 0))
    offer = ModelDigests().offer_of(home)
    assert (await models.offer(offer)).path == str(home)
    assert not (tmp_path / "cache").exists()


async def test_a_folder_with_other_files_under_that_path_is_not_used(home: Path, tmp_path: Path) -> None:
    models = NodeModels(FileCache(tmp_path / "cache", 0))
    offer = ModelDigests().offer_of(home)
    (home / "model.bin").write_bytes(bytes(reversed(WEIGHTS)))
    assert (await models.offer(offer)).path == ""


async def test_the_built_in_model_comes_from_the_packages_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def joined(root: Path, name: str, files: object) -> None:
        assert files == tuple(built_in)
        (root / name).mkdir()
        for file in built_in:
            with (root / name / file.name).open("wb") as sink:
                sink.truncate(file.size)

    built_in = bundled.BUNDLED["base"]
    files = tuple(file_push.OfferedFile(file.name, file.size, file.sha256) for file in built_in)
    offer = FileOffer("b" * 64, files, "/nowhere")
    monkeypatch.setattr(bundled, "join", joined)
    monkeypatch.setattr(bundled, "missing_packages", lambda files: [])
    stored = await NodeModels(FileCache(tmp_path / "cache", 0)).offer(offer)
    assert stored.path == str(tmp_path / "cache" / offer.key)
    monkeypatch.setattr(bundled, "missing_packages", lambda files: ["one"])
    assert (await NodeModels(FileCache(tmp_path / "other", 0)).offer(offer)).path == ""


async def test_a_file_that_arrives_damaged_is_said_and_nothing_is_kept(home: Path, tmp_path: Path) -> None:
    class Damaging(Node):
        async def store(self, offer: FileOffer, file: int, at: int, data: bytes) -> StoredFiles:
            return await super().store(offer, file, at, b"!" * len(data))

    node = Damaging(tmp_path / "cache")
    assert await node.place(home) is None
    fault = node.fault()
    assert (fault.kind, fault.problem.code) == ("model_broken", "model_broken")
    assert fault.problem.message == (
        "The machine gpu-1 of the cluster cannot store the model tiny. config.json did not arrive as it was sent."
    )
    assert not [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]


async def test_a_model_that_is_not_what_was_installed_is_said(home: Path, tmp_path: Path) -> None:
    (home / "SHA256SUMS").write_text(f"{'0' * 64}  model.bin\n")
    node = Node(tmp_path / "cache")
    assert await node.place(home) is None
    assert node.fault().problem.code == "model_broken"


async def test_a_full_disk_is_said_and_gets_its_room_back(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path) -> str:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    node = Node(tmp_path / "cache")
    with monkeypatch.context() as patch:
        patch.setattr(file_cache, "sha256_of", full)
        assert await node.place(home) is None
    fault = node.fault()
    assert (fault.kind, fault.problem.code) == ("disk_full", "cluster_disk_full")
    assert f"The disk of {tmp_path / 'cache'} is full." in fault.problem.message
    assert not [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]
    assert_is_there(await node.place(home), home, tmp_path / "cache")


async def test_a_disk_without_room_gets_nothing(home: Path, tmp_path: Path) -> None:
    node = Node(tmp_path / "cache", spare_bytes=2**62)
    assert await node.place(home) is None
    assert node.fault().problem.code == "cluster_disk_full"
    assert node.stored == 0


async def test_a_cache_that_cannot_be_written_is_said(home: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_bytes(b"no folder")
    node = Node(tmp_path / "cache" / "models")
    assert await node.place(home) is None
    fault = node.fault()
    assert (fault.kind, fault.problem.code) == ("model_unavailable", "cluster_cache_failed")
    assert "XDG_CACHE_HOME" in (fault.problem.hint or "")


@pytest.mark.parametrize("damage", ["gone", "empty", "shorter"])
async def test_files_that_the_service_cannot_read_are_said(home: Path, tmp_path: Path, damage: str) -> None:
    class Cutting(Node):
        async def offer(self, offer: FileOffer) -> StoredFiles:
            (home / "model.bin").write_bytes(b"short")
            return await super().offer(offer)

    node = Node(tmp_path / "cache")
    match damage:
        case "gone":
            home = tmp_path / "no"
        case "empty":
            (home := tmp_path / "bare").mkdir()
        case "shorter":
            node = Cutting(tmp_path / "cache")
    assert await node.place(home) is None
    fault = node.fault()
    assert (fault.kind, fault.problem.code) == ("model_unavailable", "model_unavailable")
    assert "cannot be read on the machine of the service" in fault.problem.message


def test_digests_are_taken_from_the_installation_or_computed_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[str] = []

    def sha256_of(path: Path) -> str:
        computed.append(path.name)
        return file_cache.sha256_of(path)

    monkeypatch.setattr(model_files, "sha256_of", sha256_of)
    (home / "SHA256SUMS").write_text(f"{'a' * 64}  model.bin\n")
    digests = ModelDigests()
    first = digests.offer_of(home)
    assert [file.name for file in first.files] == ["config.json", "model.bin", "tokenizer.json", "vocabulary.json"]
    assert first.files[1].sha256 == "a" * 64
    assert sorted(computed) == ["config.json", "tokenizer.json", "vocabulary.json"]
    assert digests.offer_of(home) == first
    assert len(computed) == 3
    (home / "config.json").write_bytes(b"[]")
    changed = digests.offer_of(home)
    assert computed[3:] == ["config.json"]
    assert changed.key != first.key


def test_the_cache_is_where_the_system_keeps_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert node_models.cache_folder() == tmp_path / "whisper_service" / "models"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert node_models.cache_folder() == tmp_path / "home" / ".cache" / "whisper_service" / "models"
