"""Archives and folders that want to become models: the good ones, and all the tricks."""

from __future__ import annotations

import gzip
import io
import json
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from testkit.weights import weights
from whisper_service.core.errors import BadArchive, DiskFull, ImportRefused, InvalidRequest, ModelBroken
from whisper_service.models import files as model_files
from whisper_service.models import importing
from whisper_service.models.importing import ImportLimits
from whisper_service.models.speaker_networks import PAIR, verify_networks

FILES = {"model.bin": weights(), "config.json": b"{}", "tokenizer.json": b"{}", "vocabulary.txt": b"a\n"}
LIMITS = ImportLimits(1_000_000, 0)


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in files.items():
            packed.writestr(name, data)
    return path


def tarred(path: Path, files: dict[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as packed:  # type: ignore[call-overload]
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            packed.addfile(member, io.BytesIO(data))
    return path


def under(folder: str) -> dict[str, bytes]:
    return {f"{folder}{name}": data for name, data in FILES.items()}


@pytest.mark.parametrize("folder", ["", "mine/", "./", "a/b/c/"])
@pytest.mark.parametrize(
    "pack",
    [
        zipped,
        tarred,
        lambda p, f: tarred(p, f, "w"),
        lambda p, f: tarred(p, f, "w:xz"),
        lambda p, f: tarred(p, f, "w:bz2"),
    ],
)
def test_a_packed_folder_becomes_a_model(
    tmp_path: Path, pack: Callable[[Path, dict[str, bytes]], Path], folder: str
) -> None:
    archive = pack(tmp_path / "archive", under(folder) | {f"{folder}README.md": b"#", f"{folder}evil.py": b"1/0"})
    importing.from_archive(archive, tmp_path / "model", LIMITS)
    assert {
        path.name: path.read_bytes() for path in (tmp_path / "model").iterdir() if not path.name.startswith(".")
    } == FILES
    assert model_files.verify(tmp_path / "model") == ("model.bin",)


@pytest.mark.parametrize("pack", [zipped, tarred])
@pytest.mark.parametrize(
    ("files", "said"),
    [
        (under("../"), "leads out"),
        (under("/etc/"), "leads out"),
        (under("a/../../"), "leads out"),
        (under("..\\"), "leads out"),
        (under("C:\\"), "leads out"),
        ({"README.md": b"#"}, r"no model\.bin"),
        ({name: data for name, data in FILES.items() if name != "tokenizer.json"}, r"no tokenizer\.json"),
        ({name: data for name, data in FILES.items() if name != "vocabulary.txt"}, "no vocabulary"),
        (under("one/") | under("two/"), "more than one model"),
        (FILES | {f"file{n}": b"" for n in range(1001)}, "more than 1000 files"),
        (FILES | {"padding": bytes(2_000_000)}, "more than the 1000000 bytes"),
    ],
)
def test_what_is_no_archive_of_one_model_is_refused(
    tmp_path: Path, pack: Callable[[Path, dict[str, bytes]], Path], files: dict[str, bytes], said: str
) -> None:
    with pytest.raises(BadArchive, match=said) as error:
        importing.from_archive(pack(tmp_path / "archive", files), tmp_path / "model", LIMITS)
    assert error.value.advice
    assert {path.name for path in tmp_path.iterdir()} == {"archive", "model"}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    with tarfile.open(tmp_path / "archive", "w") as packed:
        member = tarfile.TarInfo("model.bin")
        member.type, member.linkname = kind, "/etc/passwd"
        packed.addfile(member)
    with pytest.raises(BadArchive, match="neither a file nor a folder"):
        importing.from_archive(tmp_path / "archive", tmp_path / "model", LIMITS)


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "archive", "w") as packed:
        member = zipfile.ZipInfo("model.bin")
        member.external_attr = (stat.S_IFLNK | 0o777) << 16
        packed.writestr(member, "/etc/passwd")
    with pytest.raises(BadArchive, match="neither a file nor a folder"):
        importing.from_archive(tmp_path / "archive", tmp_path / "model", LIMITS)


def test_a_zip_that_lies_about_sizes_is_found_out(tmp_path: Path) -> None:
    data = bytearray(zipped(tmp_path / "archive", FILES | {"vocabulary.json": bytes(5_000_000)}).read_bytes())
    size = (5_000_000).to_bytes(4, "little")
    assert data.count(size) == 2
    (tmp_path / "archive").write_bytes(data.replace(size, (10).to_bytes(4, "little")))
    with pytest.raises(BadArchive):
        importing.from_archive(tmp_path / "archive", tmp_path / "model", LIMITS)
    assert sum(path.stat().st_size for path in (tmp_path / "model").iterdir()) < 1_100_000


def test_a_header_of_gigabytes_is_not_read(tmp_path: Path) -> None:
    """A few kilobytes that would unpack to a name of two gigabytes, held in memory."""
    member = tarfile.TarInfo("x")
    member.type, member.size = tarfile.GNUTYPE_LONGNAME, 2**31
    with gzip.open(tmp_path / "archive", "wb") as packed:
        packed.write(member.tobuf(tarfile.GNU_FORMAT))
        packed.write(bytes(4_000_000))
    with pytest.raises(BadArchive, match="header"):
        importing.from_archive(tmp_path / "archive", tmp_path / "model", LIMITS)


def test_a_password_is_no_reason_to_crash(tmp_path: Path) -> None:
    data = bytearray(zipped(tmp_path / "archive", FILES).read_bytes())
    data[6] |= 1  # the first local header says that it is encrypted
    place = data.index(b"PK\x01\x02")
    data[place + 8] |= 1
    (tmp_path / "archive").write_bytes(data)
    with pytest.raises(BadArchive, match="cannot be unpacked"):
        importing.from_archive(tmp_path / "archive", tmp_path / "model", LIMITS)


def test_weights_of_another_kind_are_told(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "archive", FILES | {"model.bin": weights(spec="TransformerSpec")})
    with pytest.raises(ModelBroken, match="TransformerSpec"):
        importing.from_archive(archive, tmp_path / "model", LIMITS)


def test_a_disk_that_is_too_small_is_told_before_it_is_full(tmp_path: Path) -> None:
    with pytest.raises(DiskFull):
        importing.from_archive(zipped(tmp_path / "archive", FILES), tmp_path / "model", ImportLimits(1_000_000, 10**18))


GOOD = {"zip": zipped, "tar.gz": tarred}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    st.sampled_from(sorted(GOOD)),
    st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 255)), min_size=1, max_size=8),
    st.integers(1, 5_000),
)
def test_damaged_archives_are_a_reason_and_no_crash(
    tmp_path_factory: pytest.TempPathFactory, kind: str, changes: list[tuple[int, int]], length: int
) -> None:
    root = tmp_path_factory.mktemp("damaged")
    data = bytearray(GOOD[kind](root / "archive", FILES).read_bytes())
    for place, value in changes:
        data[place % len(data)] = value
    (root / "archive").write_bytes(data[: max(1, length)])
    try:
        importing.from_archive(root / "archive", root / "model", LIMITS)
    except (BadArchive, ModelBroken) as error:
        assert error.advice  # noqa: PT017


CENTRAL = b"PK\x01\x02"
"""How the entry of a member begins in the directory of a zip archive."""


@pytest.mark.parametrize(("place", "value"), [(6, 255), (46, 255), (46, 0)], ids=["version", "not UTF-8", "no name"])
def test_a_damaged_directory_of_a_zip_archive_is_a_reason_and_no_crash(tmp_path: Path, place: int, value: int) -> None:
    data = bytearray(zipped(tmp_path / "archive", FILES).read_bytes())
    entry = data.index(CENTRAL)
    data[entry + 9] |= 8  # the name is UTF-8, and no such name begins with 255
    data[entry + place] = value
    (tmp_path / "archive").write_bytes(data)
    with pytest.raises(BadArchive) as caught:
        importing.from_archive(tmp_path / "archive", tmp_path / "model", LIMITS)
    assert caught.value.advice


# -- folders -----------------------------------------------------------------------------------------------------------


def folder(root: Path) -> Path:
    root.mkdir(parents=True)
    for name, data in FILES.items():
        (root / name).write_bytes(data)
    return root


def test_an_allowed_folder_is_copied(tmp_path: Path) -> None:
    source = folder(tmp_path / "allowed" / "mine")
    importing.from_folder(source, [tmp_path / "allowed"], tmp_path / "model", LIMITS)
    assert model_files.verify(tmp_path / "model") == ("model.bin",)
    assert (source / "model.bin").is_file()


@pytest.mark.parametrize("path", ["secret", "allowed/../secret", "allowed/link", "gone", "/etc"])
def test_other_folders_are_refused_whether_they_exist_or_not(tmp_path: Path, path: str) -> None:
    folder(tmp_path / "secret")
    (tmp_path / "allowed").mkdir()
    (tmp_path / "allowed" / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(ImportRefused):
        importing.from_folder(tmp_path / path, [tmp_path / "allowed"], tmp_path / "model", LIMITS)
    assert not (tmp_path / "model").exists()


def test_a_link_in_an_allowed_folder_leads_nowhere(tmp_path: Path) -> None:
    source = folder(tmp_path / "allowed" / "mine")
    (tmp_path / "secret.json").write_text(json.dumps({"key": "secret"}))
    (source / "config.json").unlink()
    (source / "config.json").symlink_to(tmp_path / "secret.json")
    with pytest.raises(BadArchive, match=r"no config\.json"):
        importing.from_folder(source, [tmp_path / "allowed"], tmp_path / "model", LIMITS)


def test_a_folder_that_is_not_there_is_said_inside_the_allowed_ones(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="not a folder"):
        importing.from_folder(tmp_path / "gone", [tmp_path], tmp_path / "model", LIMITS)


NETWORKS = {network.file: b"\x08" + bytes(place + 5) for place, network in enumerate(PAIR)}
ON_HUBS = {network.sources[0].path: NETWORKS[network.file] for network in PAIR}


@pytest.mark.parametrize("files", [NETWORKS, {f"speakers/{name}": data for name, data in NETWORKS.items()}, ON_HUBS])
@pytest.mark.parametrize("pack", [zipped, tarred])
def test_the_networks_for_speakers_are_imported_under_their_own_names(
    tmp_path: Path, pack: Callable[[Path, dict[str, bytes]], Path], files: dict[str, bytes]
) -> None:
    archive = pack(tmp_path / "archive", {**files, "LICENSE": b"MIT", "model.bin": b"no"})
    importing.from_archive(archive, tmp_path / "new", LIMITS, pair=True)
    assert {path.name for path in (tmp_path / "new").iterdir()} == {*NETWORKS, model_files.ORIGIN}
    for name, data in NETWORKS.items():
        assert (tmp_path / "new" / name).read_bytes() == data
    assert verify_networks(tmp_path / "new") == tuple(NETWORKS)


def test_a_folder_with_the_networks_is_imported_and_a_change_is_noticed(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    for name, data in NETWORKS.items():
        (folder / name).write_bytes(data)
    importing.from_folder(folder, [tmp_path], tmp_path / "new", LIMITS, pair=True)
    (tmp_path / "new" / PAIR[0].file).write_bytes(b"\x08" + b"1" * 5)
    with pytest.raises(ModelBroken, match="original content"):
        verify_networks(tmp_path / "new")


@pytest.mark.parametrize(
    ("files", "error", "words"),
    [
        ({PAIR[0].file: b"\x08"}, BadArchive, "no embedding.onnx"),
        ({}, BadArchive, "no segmentation.onnx and no embedding.onnx"),
        ({**NETWORKS, PAIR[1].file: b"version https://git-lfs"}, ModelBroken, "no ONNX file"),
        ({**NETWORKS, "other/model.onnx": b"\x08"}, BadArchive, "more than one"),
        (FILES, BadArchive, "no segmentation.onnx"),
    ],
)
def test_what_are_no_networks_is_refused(
    tmp_path: Path, files: dict[str, bytes], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        importing.from_archive(zipped(tmp_path / "archive", files), tmp_path / "new", LIMITS, pair=True)
