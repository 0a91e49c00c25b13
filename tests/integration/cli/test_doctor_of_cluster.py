"""What `doctor` says of a cluster: its machines are lines of a file, the way to them is the real one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from testkit.scripted_gateway import FOLDER, write_nodes
from whisper_service.app import cluster_check
from whisper_service.app.cluster_check import Visit, cluster, describe
from whisper_service.app.self_test import Check, Verdict
from whisper_service.config.schema import ClusterSettings, Config
from whisper_service.supervision.messages.cluster import ClusterNode


@pytest.fixture(autouse=True)
def scripted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    monkeypatch.setattr(cluster_check, "GATEWAY", "testkit.scripted_gateway:run")


def examined(folder: Path, **settings: Any) -> dict[str, Check]:
    """Return the checks of the cluster, by name."""
    config = Config(cluster=ClusterSettings(engine="ray", **{"cpus": 1.0, "gpus": 0.0, **settings}))
    return {check.name: check for check in anyio.run(cluster, config, folder)}


def test_machines_are_joined_and_sound_is_sent_to_each(tmp_path: Path) -> None:
    write_nodes(tmp_path, {"host": "big", "cpus": 64}, {"host": "other", "cpus": 1, "problem": "cluster_versions"})
    checks = examined(tmp_path)
    assert list(checks) == ["cluster", "machine big", "machine other"]
    assert "2 machines, 65 seats" in checks["cluster"].detail
    big, other = checks["machine big"], checks["machine other"]
    assert "room for 64 speech actors" in big.detail
    assert "MB of sound a second" in big.detail
    assert "GB of memory free" in big.detail
    assert cluster_check.BUSY not in big.detail
    assert other == Check("machine other", Verdict.WARN, "other runs another version.", hint="Install the same one.")


def test_a_machine_whose_actors_die_fails_and_one_without_room_is_tried_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_nodes(tmp_path, {"host": "small", "cpus": 1})
    checks = examined(tmp_path, cpus=4.0)
    assert (checks["cluster"].verdict, checks["machine small"].verdict) == (Verdict.WARN, Verdict.WARN)
    assert "nothing fits" in checks["machine small"].detail
    assert "MB of sound a second" in checks["machine small"].detail
    monkeypatch.setattr(cluster_check, "PROBE", "testkit.no_such_actor:run")
    dead = examined(tmp_path)["machine small"]
    assert dead.verdict is Verdict.FAIL
    assert "No actor runs on small" in dead.detail


def test_a_cluster_that_cannot_be_joined_fails(tmp_path: Path) -> None:
    (tmp_path / "unreachable").touch()
    checks = examined(tmp_path)
    assert checks == {"cluster": Check("cluster", Verdict.FAIL, "The cluster cannot be reached.", hint="Start it.")}


def test_a_machine_that_starts_nothing_holds_up_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_check, "ALL_S", 8.0)
    monkeypatch.setattr(cluster_check, "ROOM_S", 0.0)
    monkeypatch.setattr(cluster_check, "ANSWER_S", 0.0)
    write_nodes(tmp_path, {"host": "mute", "cpus": 1})
    mute = examined(tmp_path)["machine mute"]
    assert mute.verdict is Verdict.FAIL
    assert "did not answer" in mute.detail
    assert "firewall" in mute.hint


@pytest.mark.parametrize(
    ("cpus", "gpus", "facts", "said"),
    [
        (48, 8, {"cuda_devices": 1}, None),
        (16, 8, {"cuda_devices": 1}, "4 of 8 cards stay idle"),
        (8, 1, {"cuda_devices": 0}, "the engine sees none"),
        (8, 0, {}, "nothing fits"),
        (0, 0, {}, None),
        (8, 1, {"cuda_devices": 1, "memory_free": 1 << 30}, "memory is short for 1"),
        (8, 1, {"broken": "ImportError: no ctranslate2"}, "no ctranslate2"),
    ],
)
def test_what_is_wrong_with_a_machine_is_said_with_what_to_do(
    cpus: float, gpus: float, facts: dict[str, Any], said: str | None
) -> None:
    settings = ClusterSettings(engine="ray", cpus=4.0, gpus=1.0)
    check = describe("m", ClusterNode("1", "box", "10.0.0.1", cpus, gpus), Visit(facts, True, 0.001, 0.101), settings)
    assert (check.verdict is Verdict.OK, bool(check.hint)) == (said is None, said is not None)
    assert said is None or said in check.detail
    assert "broken" in facts or "takes 80 MB of sound a second" in check.detail


def test_few_cores_for_each_card_are_said() -> None:
    settings = ClusterSettings(engine="ray", cpus=2.0, gpus=1.0)
    node = ClusterNode("1", "box", "10.0.0.1", 16, 8)
    check = describe("m", node, Visit({"cuda_devices": 1}, True, 0.001, 0.1), settings)
    assert check.verdict is Verdict.WARN
    assert "2.0 cores for each card are few" in check.detail
