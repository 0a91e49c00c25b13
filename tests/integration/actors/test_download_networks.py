"""The networks for speakers come from several repos: download, sources, a kill in the middle, wrong bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from testkit.actor_process import ActorProcess
from testkit.fake_hub import FakeHub, wire_networks
from whisper_service.models.catalog import PAIR_SOURCE
from whisper_service.models.files import ORIGIN, read_origin
from whisper_service.models.speaker_networks import EMBEDDING, PAIR, SEGMENTATION, SPEAKERS, verify_networks
from whisper_service.supervision.messages import download
from whisper_service.supervision.messages.base import Fault, Ready
from whisper_service.supervision.messages.download import (
    ConnectionTested,
    Download,
    Downloaded,
    DownloadProgress,
    Hub,
    partial_of,
)
from whisper_service.supervision.protocol import Report

ENTRY = "whisper_service.actors.download.main:run"


@pytest.fixture
def actor(tmp_path: Path) -> Iterator[ActorProcess]:
    with ActorProcess(ENTRY, tmp_path / "download.log") as started:
        started.expect(Ready)
        yield started


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub({}, others=wire_networks()) as serving:
        yield serving


def want(folder: Path, *endpoints: str) -> Download:
    return Download(SPEAKERS, PAIR_SOURCE.repo, str(folder), Hub(endpoints), files=PAIR_SOURCE.files)


def answer(actor: ActorProcess, command: Download | download.TestConnection) -> Report:
    actor.send(command)
    return actor.until(lambda report: isinstance(report, Downloaded | Fault | ConnectionTested))[-1]


def content(hub: FakeHub, network: int, source: int = 0) -> bytes:
    found = PAIR[network].sources[source]
    return hub.others[found.repo][found.path]


def test_both_files_come_from_their_repos_under_the_names_of_the_pair(
    actor: ActorProcess, hub: FakeHub, tmp_path: Path
) -> None:
    folder = tmp_path / SPEAKERS
    report = answer(actor, want(folder, hub.url))
    assert isinstance(report, Downloaded), report
    assert (report.model, report.endpoint) == (SPEAKERS, hub.url)
    assert {path.name for path in folder.iterdir()} == {SEGMENTATION.file, EMBEDDING.file, ORIGIN}
    for place, network in enumerate(PAIR):
        assert (folder / network.file).read_bytes() == content(hub, place)
    hashes = {network.file: hashlib.sha256(content(hub, place)).hexdigest() for place, network in enumerate(PAIR)}
    assert read_origin(folder).sha256 == hashes
    assert verify_networks(folder) == (SEGMENTATION.file, EMBEDDING.file)
    hub.forget()
    assert isinstance(answer(actor, want(folder, hub.url)), Downloaded)
    assert not hub.asked  # it is here already


def test_another_repo_is_asked_when_the_first_lacks_the_file(actor: ActorProcess, hub: FakeHub, tmp_path: Path) -> None:
    first, second = SEGMENTATION.sources
    data = hub.others.pop(first.repo)[first.path]
    hub.others[second.repo] = {second.path: data}
    assert isinstance(answer(actor, want(tmp_path / SPEAKERS, hub.url)), Downloaded)
    assert (tmp_path / SPEAKERS / SEGMENTATION.file).read_bytes() == data


def test_a_mirror_is_asked_when_the_first_hub_has_none_of_them(
    actor: ActorProcess, hub: FakeHub, tmp_path: Path
) -> None:
    with FakeHub({}) as empty:
        report = answer(actor, want(tmp_path / SPEAKERS, empty.url, hub.url))
    assert isinstance(report, Downloaded)
    assert report.endpoint == hub.url


def test_a_repo_without_the_file_is_named(actor: ActorProcess, hub: FakeHub, tmp_path: Path) -> None:
    source = EMBEDDING.sources[0]
    del hub.others[source.repo][source.path]
    report = answer(actor, want(tmp_path / SPEAKERS, hub.url))
    assert isinstance(report, Fault)
    assert report.problem.code == "file_missing"
    assert source.path in report.problem.message
    assert not (tmp_path / SPEAKERS).exists()


def test_other_bytes_than_the_hub_promised_are_refused(actor: ActorProcess, hub: FakeHub, tmp_path: Path) -> None:
    hub.fault(EMBEDDING.sources[0].path, "corrupt")
    report = answer(actor, want(tmp_path / SPEAKERS, hub.url))
    assert isinstance(report, Fault)
    assert report.problem.code == "hash_mismatch"
    assert not (tmp_path / SPEAKERS).exists()


def test_a_download_that_was_killed_goes_on_where_it_stopped(tmp_path: Path) -> None:
    size = 3_000_000
    with FakeHub({}, others=wire_networks(size)) as hub:
        hub.fault(EMBEDDING.sources[0].path, "stall", after=1_000_000, times=1)
        with ActorProcess(ENTRY, tmp_path / "first.log") as actor:
            actor.expect(Ready)
            actor.send(want(tmp_path / SPEAKERS, hub.url))
            actor.until(lambda report: isinstance(report, DownloadProgress) and report.transfer.bytes > size + 500_000)
        hub.released.set()
        assert Path(partial_of(str(tmp_path / SPEAKERS))).is_dir()
        hub.forget()
        with ActorProcess(ENTRY, tmp_path / "second.log") as actor:
            actor.expect(Ready)
            assert isinstance(answer(actor, want(tmp_path / SPEAKERS, hub.url)), Downloaded)
        starts = [asked.start for asked in hub.asked if asked.start is not None and asked.method == "GET"]
        assert any(start >= 500_000 for start in starts)
        assert not hub.sent[SEGMENTATION.sources[0].path]
        assert (tmp_path / SPEAKERS / EMBEDDING.file).read_bytes() == content(hub, 1)


def test_the_way_to_the_hub_is_tested_with_one_byte(actor: ActorProcess, hub: FakeHub) -> None:
    source = SEGMENTATION.sources[0]
    report = answer(actor, download.TestConnection(source.repo, Hub((hub.url,)), source.path))
    assert isinstance(report, ConnectionTested)
    assert report.results[0].problem is None
    assert hub.sent[source.path] == 1
    assert msgspec.json.encode(report)


def test_without_permission_to_download_the_reason_is_told(actor: ActorProcess, hub: FakeHub, tmp_path: Path) -> None:
    command = msgspec.structs.replace(want(tmp_path / SPEAKERS, hub.url), hub=Hub((hub.url,), offline=True))
    report = answer(actor, command)
    assert isinstance(report, Fault)
    assert report.problem.code == "offline"
    assert not hub.asked
