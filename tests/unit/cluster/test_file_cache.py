"""Files arrive whole and checked whatever happens to the calls, the processes and the disk, or it is said why not."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any, Final

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from whisper_service.cluster import file_cache
from whisper_service.cluster.file_cache import DRAFT_S, UNUSED_S, FileCache
from whisper_service.cluster.file_push import FileOffer, NotStored, OfferedFile, StoredFiles

KEY: Final = "0123456789abcdef"


def offer_of(files: dict[str, bytes], key: str = KEY) -> FileOffer:
    offered = (OfferedFile(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in files.items())
    return FileOffer(key, tuple(offered))


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def piece(files: dict[str, bytes], stored: StoredFiles, size: int = 3) -> tuple[int, int, bytes]:
    """Return the wanted piece, as arguments of `store`."""
    data = list(files.values())[stored.file]
    return stored.file, stored.at, data[stored.at : stored.at + size]


def send_all(cache: FileCache, offer: FileOffer, files: dict[str, bytes]) -> StoredFiles:
    stored = cache.offer(offer)
    while not stored.path and not stored.busy and stored.refusal is None:
        stored = cache.store(offer, *piece(files, stored))
    return stored


SENT = {"model.bin": bytes(range(20)), "empty": b"", "config.json": b"{}" * 5}


class CacheMachine(RuleBasedStateMachine):
    """Two processes of a machine get the same files. Pieces come twice, late and to anybody; processes die."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.offer = offer_of(SENT)
        self.caches = [FileCache(self.folder / "cache", 0) for _ in range(2)]
        self.sent: list[tuple[int, int, bytes]] = []

    @rule(who=st.integers(0, 1))
    def offer_again(self, who: int) -> None:
        self.check(self.caches[who].offer(self.offer))

    @rule(who=st.integers(0, 1), size=st.integers(1, 9))
    def send_the_wanted_piece(self, who: int, size: int) -> None:
        stored = self.caches[who].offer(self.offer)
        if not stored.busy and not stored.path:
            self.sent.append(piece(SENT, stored, size))
            after = self.caches[who].store(self.offer, *self.sent[-1])
            assert after.bytes > stored.bytes or after.path
            self.check(after)

    @precondition(lambda self: self.sent)
    @rule(who=st.integers(0, 1), data=st.data())
    def a_piece_comes_again(self, who: int, data: st.DataObject) -> None:
        before = self.caches[who].offer(self.offer)
        late = data.draw(st.sampled_from(self.sent))
        after = self.caches[who].store(self.offer, *late)
        assert after.bytes >= before.bytes
        self.check(after)

    @rule(who=st.integers(0, 1))
    def a_process_dies(self, who: int) -> None:
        self.caches[who].release()  # as the kernel does
        self.caches[who] = FileCache(self.folder / "cache", 0)

    def check(self, stored: StoredFiles) -> None:
        assert stored.refusal is None, stored.why
        if stored.path:
            assert content(Path(stored.path)) == SENT

    @invariant()
    def what_has_a_name_is_whole(self) -> None:
        if (final := self.folder / "cache" / KEY).exists():
            assert content(final) == SENT

    def teardown(self) -> None:
        self.caches[1].release()
        stored = send_all(self.caches[0], self.offer, SENT)
        assert content(Path(stored.path)) == SENT
        assert self.caches[1].offer(self.offer) == stored, "both use them at once"
        left = {path.name for path in (self.folder / "cache").iterdir()}
        assert left == {KEY, f".{KEY}.lock"}
        for cache in self.caches:
            cache.release()
        shutil.rmtree(self.folder)


TestCache = CacheMachine.TestCase
TestCache.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)

FILES = {"model.bin": b"0123456789", "config.json": b"{}"}


def test_a_piece_that_is_not_the_wanted_one_changes_nothing(tmp_path: Path) -> None:
    cache, offer = FileCache(tmp_path, 0), offer_of(FILES)
    assert cache.store(offer, 0, 3, b"345") == StoredFiles(file=0, at=0, bytes=0)
    assert cache.store(offer, 1, 0, b"{}") == StoredFiles(file=0, at=0, bytes=0)
    assert cache.store(offer, 0, 0, memoryview(b"0123")) == StoredFiles(file=0, at=4, bytes=4)
    assert cache.store(offer, 0, 4, b"456789 and more than there is") == StoredFiles(file=1, at=0, bytes=10)


def test_one_process_stores_and_the_others_wait_and_see_how_much_is_there(tmp_path: Path) -> None:
    first, second, offer = FileCache(tmp_path, 0), FileCache(tmp_path, 0), offer_of(FILES)
    first.store(offer, 0, 0, b"0123")
    assert second.offer(offer) == StoredFiles(bytes=4, busy=True)
    assert second.store(offer, 0, 4, b"4567") == StoredFiles(bytes=4, busy=True)
    first.release()
    assert second.offer(offer) == StoredFiles(file=0, at=4, bytes=4), "the second goes on where the first stopped"


def test_a_file_with_another_content_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    cache, offer = FileCache(tmp_path, 0), offer_of(FILES)
    stored = send_all(cache, offer, FILES | {"model.bin": b"0123456780"})
    assert (stored.refusal, stored.path) == (NotStored.CONTENT, "")
    assert "model.bin" in stored.why
    assert [path.name for path in tmp_path.iterdir()] == [f".{KEY}.lock"]
    assert content(Path(send_all(cache, offer, FILES).path)) == FILES, "the next try begins anew"


@pytest.mark.parametrize("left", [b"xxxx", b"xxxxxxxxxx", b"x" * 20])
def test_a_draft_of_a_dead_process_that_is_not_right_comes_again(tmp_path: Path, left: bytes) -> None:
    (draft := tmp_path / f".{KEY}.part").mkdir()
    (draft / "model.bin").write_bytes(left)
    cache, offer = FileCache(tmp_path, 0), offer_of(FILES)
    assert content(Path(send_all(cache, offer, FILES).path)) == FILES


def test_a_complete_folder_that_lost_a_part_comes_again(tmp_path: Path) -> None:
    offer = offer_of(FILES)
    first = FileCache(tmp_path, 0)
    folder = Path(send_all(first, offer, FILES).path)
    first.release()
    (folder / "model.bin").write_bytes(b"012")
    assert content(Path(send_all(FileCache(tmp_path, 0), offer, FILES).path)) == FILES


def test_a_draft_that_somebody_deletes_in_the_middle_comes_again(tmp_path: Path) -> None:
    cache, offer = FileCache(tmp_path, 0), offer_of(FILES)
    cache.store(offer, 0, 0, b"0123456789")
    shutil.rmtree(tmp_path / f".{KEY}.part")
    assert cache.store(offer, 1, 0, b"{}") == StoredFiles(file=0, at=0, bytes=0)
    assert content(Path(send_all(cache, offer, FILES).path)) == FILES


@pytest.mark.parametrize("name", ["../model.bin", "a/b", ".hidden", "", "..", "/etc/passwd"])
def test_names_of_files_cannot_leave_the_folder(tmp_path: Path, name: str) -> None:
    root = tmp_path / "root"
    assert FileCache(root, 0).offer(offer_of({name: b"x"})).refusal is NotStored.FAILED
    assert FileCache(root, 0).offer(offer_of({"model.bin": b"x"}, key="../../elsewhere")).refusal is NotStored.FAILED
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_gets_its_room_back_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, offer = FileCache(tmp_path, 0), offer_of(FILES)
    cache.store(offer, 0, 0, b"0123")

    def full(file: IO[bytes]) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(file_cache, "sync_file", full)
        stored = cache.store(offer, 0, 4, b"456789")
    assert (stored.refusal, stored.why) == (NotStored.FULL, f"The disk of {tmp_path} is full.")
    assert [path.name for path in tmp_path.iterdir()] == [f".{KEY}.lock"]
    assert content(Path(send_all(cache, offer, FILES).path)) == FILES


def disk(monkeypatch: pytest.MonkeyPatch, root: Path, size: int) -> None:
    """Let the disk have so many bytes for the folders of the root."""

    def usage(_: Any) -> SimpleNamespace:
        return SimpleNamespace(free=size - sum(path.stat().st_size for path in root.rglob("*") if path.is_file()))

    monkeypatch.setattr(file_cache.shutil, "disk_usage", usage)


def test_files_for_which_there_is_no_room_are_not_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk(monkeypatch, tmp_path, 20_000_000)
    files = {"model.bin": b"0" * 12_000_000}
    stored = FileCache(tmp_path, 10_000_000).offer(offer_of(files))
    assert stored.refusal is NotStored.FULL
    assert "20 MB left: 12 MB are needed, and 10 MB must stay free" in stored.why
    assert FileCache(tmp_path, 8_000_000).offer(offer_of(files)).refusal is None


def aged(cache: FileCache, key: str, age_s: float) -> Path:
    """Store files under a key, used so long ago."""
    folder = Path(send_all(cache, offer_of(FILES, key), FILES).path)
    then = folder.stat().st_mtime - age_s
    os.utime(folder, (then, then))
    return folder


def test_what_is_not_used_is_deleted_when_others_come_and_more_when_room_is_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [f"{n:016x}" for n in range(6)]
    stores, uses = FileCache(tmp_path, 0), FileCache(tmp_path, 0)
    folders = [aged(stores, keys[0], UNUSED_S + 9), aged(stores, keys[1], 30.0), aged(stores, keys[2], 20.0)]
    folders += [aged(uses, keys[3], UNUSED_S + 9)]
    stores.release()
    (draft := tmp_path / f".{keys[4]}.part").mkdir()
    os.utime(draft, (0, 0))
    (young := tmp_path / f".{keys[5]}.part").mkdir()
    assert young.stat().st_mtime - DRAFT_S > 0
    FileCache(tmp_path, 0).offer(offer_of(FILES))
    assert [folder.exists() for folder in folders] == [False, True, True, True], "old ones go, unless they are in use"
    assert (draft.exists(), young.exists()) == (False, True)
    disk(monkeypatch, tmp_path, 4 * 12)
    assert FileCache(tmp_path, 0).offer(offer_of({"x": b"0" * 23}, "f" * 16)).refusal is None
    assert [folder.exists() for folder in folders] == [False, False, True, True], "then the oldest that nobody uses"


def test_a_folder_that_cannot_be_written_says_why(tmp_path: Path) -> None:
    (tmp_path / "cache").write_bytes(b"no folder")
    stored = FileCache(tmp_path / "cache", 0).offer(offer_of(FILES))
    assert stored.refusal is NotStored.FAILED
    assert str(tmp_path / "cache") in stored.why
