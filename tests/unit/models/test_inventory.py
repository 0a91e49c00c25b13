"""What users see of a model, in every state it can be in."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from testkit.weights import weights
from whisper_service.core.domain import Problem
from whisper_service.host.machine import Machine
from whisper_service.models.bundled import BUNDLED, missing_packages
from whisper_service.models.catalog import Catalog
from whisper_service.models.inventory import Inventory, ModelKind, ModelState, Situation
from whisper_service.models.known import BY_NAME, Fit
from whisper_service.models.speaker_networks import PAIR, SPEAKERS
from whisper_service.supervision.messages.download import Transfer

GB = 1_000_000_000
SMALL = Machine(cpus=2, memory_bytes=2 * GB)
FILES = {"model.bin": weights(), "config.json": b"{}", "tokenizer.json": b"{}", "vocabulary.json": b"[]"}


def put(folder: Path, **other: bytes) -> Path:
    folder.mkdir(parents=True)
    for name, data in (FILES | {name.replace("_", "."): data for name, data in other.items()}).items():
        (folder / name).write_bytes(data)
    return folder


def inventory(root: Path, default: str = "auto", machine: Machine = SMALL) -> Inventory:
    return Inventory(Catalog(root, default=default, bundled={}), machine)


def test_every_known_model_is_listed_with_what_it_needs_and_is_good_for(tmp_path: Path) -> None:
    listed = {info.name: info for info in inventory(tmp_path).all(Situation())}
    assert listed.pop(SPEAKERS).kind is ModelKind.SPEAKERS
    assert listed.keys() == BY_NAME.keys()
    for name, info in listed.items():
        assert info.state is ModelState.ABSENT
        assert info.repo == BY_NAME[name].repo
        assert info.good_for
        assert info.languages
        assert info.suits
        assert info.memory_bytes
        assert info.download_bytes
        assert not info.removable
    assert [info.name for info in listed.values() if info.recommended] == ["small"]
    assert listed["large-v3"].suits is not None
    assert listed["large-v3"].suits.fit is Fit.TOO_BIG
    assert not any(info.default for info in listed.values())


def test_with_a_card_the_best_that_fits_it_is_recommended(tmp_path: Path) -> None:
    listed = inventory(tmp_path).all(Situation(device="cuda", vram_bytes=24 * GB))
    assert [info.name for info in listed if info.recommended] == ["large-v3-turbo"]
    assert listed[0].suits is not None
    assert listed[0].suits.fit is Fit.GPU


def test_own_models_and_those_on_their_way_follow_the_known_ones_by_name(tmp_path: Path) -> None:
    put(tmp_path / "brought")
    put(tmp_path / "small")
    now = Situation(transfers={"acme/first": Transfer(0), "zoo/last": Transfer(0)})
    listed = [info.name for info in inventory(tmp_path).all(now)]
    assert listed[len(BY_NAME) :] == ["acme/first", "brought", "zoo/last", SPEAKERS]


def test_the_states_of_a_model(tmp_path: Path) -> None:
    put(tmp_path / "acme--own")
    put(tmp_path / "short", model_bin=weights()[:50])
    put(tmp_path / "tiny")
    (tmp_path / "tiny" / "tokenizer.json").unlink()
    models = inventory(tmp_path)
    problem = Problem("timeout", "It did not answer.")
    now = Situation(transfers={"base": Transfer(1, 2)}, problems={"small": problem, "acme/far": problem})
    listed = {info.name: info for info in models.all(now)}
    states = {name: listed[name].state.value for name in ("acme/own", "short", "tiny", "base", "small", "acme/far")}
    assert states == {
        "acme/own": "installed",
        "short": "broken",
        "tiny": "broken",
        "base": "downloading",
        "small": "absent",
        "acme/far": "absent",
    }
    assert (listed["acme/own"].repo, listed["acme/own"].parameters, listed["acme/own"].removable) == (
        "acme/own",
        listed["acme/own"].parameters,
        True,
    )
    assert listed["acme/own"].default
    for name, said in {"short": "truncated", "tiny": "no tokenizer.json", "small": "did not answer"}.items():
        found = listed[name].problem
        assert found is not None
        assert said in found.message
    assert listed["base"].transfer == Transfer(1, 2)
    loaded = models.one("acme/own", Situation(loaded=frozenset({"acme/own"}), problems={"acme/own": problem}))
    assert (loaded.state, loaded.problem) == (ModelState.LOADED, None)
    blamed = models.one("acme/own", Situation(problems={"acme/own": problem}))
    assert (blamed.state, blamed.problem) == (ModelState.BROKEN, problem)


def test_files_are_looked_at_again_when_they_change(tmp_path: Path) -> None:
    folder = put(tmp_path / "own", model_bin=weights()[:50])
    models = inventory(tmp_path)
    assert models.one("own", Situation()).state is ModelState.BROKEN
    (folder / "model.bin").write_bytes(weights(width=16))
    first = models.one("own", Situation())
    assert first.state is ModelState.INSTALLED
    (folder / "model.bin").write_bytes(weights(width=32, layers=3))
    assert models.one("own", Situation()).parameters != first.parameters


def test_a_model_that_cannot_fit_is_known_before_it_is_loaded(tmp_path: Path) -> None:
    put(tmp_path / "own")
    assert inventory(tmp_path).too_big("own") is None
    tiny = Machine(cpus=1, memory_bytes=1000)
    needed = inventory(tmp_path, machine=tiny).too_big("own")
    assert needed is not None
    assert needed > 1000
    assert inventory(tmp_path, machine=Machine(1, 0)).too_big("own") is None  # the system does not say
    assert inventory(tmp_path).too_big("own", 1000) == needed, "on another machine"
    assert inventory(tmp_path, machine=tiny).too_big("own", needed) is None


def test_a_folder_of_the_configuration_is_listed_and_not_ours(tmp_path: Path) -> None:
    put(tmp_path / "elsewhere" / "mine")
    info = inventory(tmp_path / "models", default=str(tmp_path / "elsewhere" / "mine")).one("mine", Situation())
    assert (info.state, info.default, info.removable, info.repo) == (ModelState.INSTALLED, True, False, None)


@pytest.mark.skipif(bool(missing_packages(BUNDLED["base"])), reason="needs the packages of the extra [bundled]")
def test_the_built_in_model_is_installed_before_it_is_joined(tmp_path: Path) -> None:
    info = Inventory(Catalog(tmp_path, default="auto"), SMALL).one("base", Situation())
    assert (info.state, info.builtin, info.default, info.removable) == (ModelState.INSTALLED, True, True, False)
    assert info.disk_bytes == sum(file.size for file in BUNDLED["base"])


def test_no_path_of_the_machine_is_told(tmp_path: Path) -> None:
    put(tmp_path / "own", model_bin=weights()[:50])
    assert str(tmp_path).encode() not in msgspec.json.encode(inventory(tmp_path).all(Situation()))


def test_the_networks_for_speakers_in_every_state(tmp_path: Path) -> None:
    def shown(now: Situation | None = None) -> tuple[ModelState, str | None]:
        info = inventory(tmp_path).one(SPEAKERS, now or Situation())
        assert (info.kind, info.suits, info.default, info.recommended) == (ModelKind.SPEAKERS, None, False, False)
        return info.state, info.problem and info.problem.code

    failed = Problem("no_network", "There is no network.")
    assert shown() == (ModelState.ABSENT, None)
    assert shown(Situation(problems={SPEAKERS: failed})) == (ModelState.ABSENT, "no_network")
    assert shown(Situation(transfers={SPEAKERS: Transfer()})) == (ModelState.DOWNLOADING, None)
    folder = tmp_path / SPEAKERS
    folder.mkdir()
    (folder / PAIR[0].file).write_bytes(b"\x08network")
    assert shown() == (ModelState.BROKEN, "model_broken")
    (folder / PAIR[1].file).write_bytes(b"version https://git-lfs.github.com/spec/v1")
    assert shown() == (ModelState.BROKEN, "model_broken")
    (folder / PAIR[1].file).write_bytes(b"\x08network")
    assert shown() == (ModelState.INSTALLED, None)
    info = inventory(tmp_path).one(SPEAKERS, Situation())
    assert (info.disk_bytes, info.removable, info.repo) == (16, True, PAIR[0].sources[0].repo)
    assert info.download_bytes == sum(network.size for network in PAIR)
