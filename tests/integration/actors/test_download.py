"""The download actor in a process of its own, with the real `huggingface_hub`, against a hub on a port."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import ctranslate2
import pytest

from testkit.actor_process import ActorProcess
from testkit.fake_hub import COMMIT, LARGE, REPO, FakeHub, Proxy, closed_port, wire_model
from whisper_service.actors.download.hub import BLOCK, RepoFile
from whisper_service.actors.download.hub_problems import CASES
from whisper_service.actors.download.network_errors import has_route
from whisper_service.actors.download.progress import ProgressReporter
from whisper_service.models.bundled import BUNDLED, join, missing_packages
from whisper_service.models.files import ORIGIN, read_origin
from whisper_service.supervision import protocol
from whisper_service.supervision.messages import download
from whisper_service.supervision.messages.base import Fault, Ready, Shutdown
from whisper_service.supervision.messages.download import (
    ConnectionTested,
    Download,
    Downloaded,
    DownloadProgress,
    Hub,
    Transfer,
    partial_of,
)
from whisper_service.supervision.protocol import Command, Report, encode

SIZE = 3_000_000
TOKEN = "hf_TokenThatNobodyMaySee"
PASSWORD = "PasswordThatNobodyMaySee"
WAIT_S = 60


class DownloadProcess(ActorProcess):
    """A download actor in a process of its own."""

    def __init__(self, log: Path) -> None:
        super().__init__("whisper_service.actors.download.main:run", log)
        self.expect(Ready)

    def work(self, command: Command) -> list[Report]:
        """Send a command and return all its reports."""
        self.send(command)
        return self.until(lambda report: isinstance(report, Downloaded | Fault | ConnectionTested))


@pytest.fixture
def actor(tmp_path: Path) -> Iterator[DownloadProcess]:
    with DownloadProcess(tmp_path / "download.log") as started:
        yield started


@pytest.fixture(scope="module")
def shared_actor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DownloadProcess]:
    """Yield one actor for many faults of this module, one after the other."""
    with DownloadProcess(tmp_path_factory.mktemp("actor") / "download.log") as started:
        yield started


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub(wire_model(SIZE)) as serving:
        yield serving


def want(directory: Path, *endpoints: str, **options: Any) -> Download:
    own = {name: options.pop(name) for name in ("repo", "spare_bytes") if name in options}
    settings = Hub(endpoints, **{"connect_timeout_s": 5.0, "read_timeout_s": 5.0, **options})
    return Download("wire", **{"repo": REPO, "target": str(directory / "wire"), "hub": settings, **own})


def transfers(reports: Sequence[Report]) -> list[Transfer]:
    """Return the progress that was reported."""
    return [report.transfer for report in reports if isinstance(report, DownloadProgress)]


def fault_of(report: Report) -> Fault:
    assert isinstance(report, Fault), report
    return report


def assert_whole(report: Report, hub: FakeHub, path: Path) -> Downloaded:
    """Check that the folder holds what the hub has, and nothing else."""
    assert isinstance(report, Downloaded), report
    files = {name: data for name, data in hub.files.items() if name != "README.md"}
    assert {entry.name for entry in path.iterdir()} == {*files, ORIGIN}
    for name, data in files.items():
        assert (path / name).read_bytes() == data, name
    assert report.bytes == sum(map(len, files.values()))
    assert not Path(partial_of(str(path))).exists()
    return report


# -- a download --------------------------------------------------------------------------------------------------------


def test_a_model_arrives_whole(tmp_path: Path, actor: DownloadProcess, hub: FakeHub) -> None:
    *progress, last = actor.work(want(tmp_path, hub.url))
    done = assert_whole(last, hub, tmp_path / "wire")
    assert done.endpoint == hub.url
    assert read_origin(tmp_path / "wire").revision == COMMIT
    assert all(isinstance(report, DownloadProgress) and report.model == "wire" for report in progress)
    final = transfers(progress)[-1]
    assert (final.bytes, final.total, final.endpoint, final.failed) == (done.bytes, done.bytes, hub.url, ())
    assert hub.sent["model.bin"] == SIZE
    assert hub.sent["README.md"] == 0, "what no pattern names was fetched"


def test_a_model_that_is_here_asks_nobody(tmp_path: Path, actor: DownloadProcess, hub: FakeHub) -> None:
    actor.work(want(tmp_path, hub.url))
    asked = len(hub.asked)
    for again in (want(tmp_path, hub.url), want(tmp_path, hub.url, offline=True)):
        (report,) = actor.work(again)
        assert isinstance(report, Downloaded)
        assert report.endpoint == ""
        assert read_origin(tmp_path / "wire").revision == COMMIT
    assert len(hub.asked) == asked


def test_a_model_that_somebody_put_there_asks_nobody_and_stays(
    tmp_path: Path, actor: DownloadProcess, hub: FakeHub
) -> None:
    target = tmp_path / "wire"
    target.mkdir()
    for name, data in wire_model(1000).items():
        (target / name).write_bytes(data)
    (report,) = actor.work(want(tmp_path, hub.url))
    assert isinstance(report, Downloaded)
    assert not (target / ORIGIN).exists()
    assert hub.asked == []


def test_progress_tells_bytes_speed_and_time_left(tmp_path: Path, actor: DownloadProcess, hub: FakeHub) -> None:
    hub.fault("/storage/", "slow", rate=1_000_000)
    *progress, last = actor.work(want(tmp_path, hub.url))
    assert_whole(last, hub, tmp_path / "wire")
    told = transfers(progress)
    moving = [now for now in told if now.speed_bps and now.eta_s]
    assert moving, "a download of seconds was never seen moving"
    assert {now.total for now in moving} == {last.bytes if isinstance(last, Downloaded) else None}
    assert all(0 < now.bytes < SIZE + 200_000 for now in moving)
    assert any(now.eta_s == pytest.approx(((now.total or 0) - now.bytes) / now.speed_bps) for now in moving)
    sizes = [now.bytes for now in told]
    assert sizes == sorted(sizes)


def test_progress_goes_on_while_nothing_moves(tmp_path: Path, actor: DownloadProcess, hub: FakeHub) -> None:
    hub.fault("/storage/", "stall", after=1_000_000, times=1)
    actor.send(want(tmp_path, hub.url, read_timeout_s=30.0))
    still: list[int] = []

    def stuck(report: Report) -> bool:
        if isinstance(report, DownloadProgress) and report.transfer.bytes:
            still.append(report.transfer.bytes)
        return len(still) >= 3 and len(set(still[-3:])) == 1

    actor.until(stuck)
    assert 0 < still[-1] <= 1_000_000
    hub.released.set()
    assert_whole(actor.until(lambda report: not isinstance(report, DownloadProgress))[-1], hub, tmp_path / "wire")


# -- going on ----------------------------------------------------------------------------------------------------------


def killed_midway(tmp_path: Path, hub: FakeHub, at: int) -> int:
    """Kill a download once so many bytes have come, and return how many are on the disk."""
    hub.fault("/storage/", "slow", rate=1_500_000, times=1)
    with DownloadProcess(tmp_path / "killed.log") as killed:
        killed.send(want(tmp_path, hub.url))
        killed.until(lambda report: isinstance(report, DownloadProgress) and report.transfer.bytes >= at)
        killed.kill()
    partial = Path(partial_of(want(tmp_path).target))
    assert not (tmp_path / "wire").exists(), "a model that is not whole was shown"
    hub.forget()
    (part,) = partial.glob("*.part")
    return part.stat().st_size


def test_a_killed_download_goes_on_where_it_stopped(tmp_path: Path, hub: FakeHub) -> None:
    have = killed_midway(tmp_path, hub, at=SIZE // 3)
    assert SIZE // 3 <= have < SIZE
    with DownloadProcess(tmp_path / "second.log") as second:
        *progress, last = second.work(want(tmp_path, hub.url))
    assert_whole(last, hub, tmp_path / "wire")
    assert hub.sent["model.bin"] == SIZE - have
    assert [asked.start for asked in hub.asked if asked.path == "/storage/model.bin"] == [have]
    assert transfers(progress)[-1].total is not None
    assert min(now.bytes for now in transfers(progress) if now.total) >= have


def test_what_was_here_before_is_no_speed(tmp_path: Path) -> None:
    told: list[Report] = []
    now = [0.0]
    command = want(tmp_path, "http://hub")
    partial = Path(partial_of(command.target))
    partial.mkdir()
    (partial / "abc.part").write_bytes(bytes(1_000_000))
    progress = ProgressReporter(command, told.append, clock=lambda: now[0])
    progress.report()
    now[0] = 1.0
    progress.expect((RepoFile("model.bin", 3_000_000, "abc", None),), {"model.bin": partial / "abc.part"})
    now[0] = 2.0
    (partial / "abc.part").write_bytes(bytes(1_500_000))
    progress.report()
    seen = [(now.bytes, now.speed_bps, now.eta_s) for now in transfers(told)]
    assert seen == [(0, 0.0, None), (1_000_000, 0.0, None), (1_500_000, 500_000.0, 3.0)]


def test_what_came_before_a_kill_can_be_given_up(tmp_path: Path, hub: FakeHub) -> None:
    killed_midway(tmp_path, hub, at=SIZE // 3)
    shutil.rmtree(partial_of(want(tmp_path).target))
    with DownloadProcess(tmp_path / "second.log") as second:
        assert_whole(second.work(want(tmp_path, hub.url))[-1], hub, tmp_path / "wire")
    assert hub.sent["model.bin"] == SIZE


def test_what_came_of_another_revision_is_removed(tmp_path: Path, hub: FakeHub) -> None:
    killed_midway(tmp_path, hub, at=SIZE // 3)
    hub.files["model.bin"] = hub.files["model.bin"][::-1]
    with DownloadProcess(tmp_path / "second.log") as second:
        assert_whole(second.work(want(tmp_path, hub.url))[-1], hub, tmp_path / "wire")


def test_a_connection_that_is_cut_goes_on_where_it_stopped(
    tmp_path: Path, actor: DownloadProcess, hub: FakeHub
) -> None:
    hub.fault("/storage/", "cut", after=1_000_000, times=2)
    assert_whole(actor.work(want(tmp_path, hub.url))[-1], hub, tmp_path / "wire")
    assert SIZE <= hub.sent["model.bin"] <= SIZE + 2 * BLOCK
    assert sum(asked.path == "/storage/model.bin" for asked in hub.asked) == 3


def test_a_hub_that_ignores_ranges_gives_a_whole_model_too(tmp_path: Path, hub: FakeHub) -> None:
    have = killed_midway(tmp_path, hub, at=SIZE // 3)
    hub.ranges = False
    with DownloadProcess(tmp_path / "second.log") as second:
        assert_whole(second.work(want(tmp_path, hub.url))[-1], hub, tmp_path / "wire")
    assert hub.sent["model.bin"] == SIZE > SIZE - have


def test_a_mirror_goes_on_where_the_first_endpoint_stopped(
    tmp_path: Path, actor: DownloadProcess, hub: FakeHub
) -> None:
    with FakeHub(hub.files) as mirror:
        hub.fault("/storage/", "cut", after=1_000_000, times=1)
        hub.fault("/storage/", "status", status=403)
        *progress, last = actor.work(want(tmp_path, hub.url, mirror.url))
        assert assert_whole(last, hub, tmp_path / "wire").endpoint == mirror.url
        (result,) = transfers(progress)[-1].failed
        assert (result.endpoint, result.problem and result.problem.code) == (hub.url, "access_denied")
        assert hub.sent["model.bin"] + mirror.sent["model.bin"] <= SIZE + BLOCK


@pytest.mark.parametrize("kind", ["status", "stall", "reset", "page"])
def test_the_next_endpoint_is_tried_and_both_are_named(
    tmp_path: Path, actor: DownloadProcess, hub: FakeHub, kind: str
) -> None:
    with FakeHub(hub.files) as mirror:
        hub.fault("/api/", kind, status=403)
        *progress, last = actor.work(want(tmp_path, hub.url, mirror.url, read_timeout_s=1.0))
        assert assert_whole(last, mirror, tmp_path / "wire").endpoint == mirror.url
        (result,) = transfers(progress)[-1].failed
        assert result.endpoint == hub.url
        assert result.problem is not None
        assert result.problem.params["host"] == hub.url.removeprefix("http://")


# -- the way through ---------------------------------------------------------------------------------------------------


def test_a_token_goes_to_the_hub_and_to_nobody_else(tmp_path: Path, actor: DownloadProcess) -> None:
    with FakeHub(wire_model(SIZE), token=TOKEN) as hub:
        reports = actor.work(want(tmp_path, hub.url, token=TOKEN))
        assert_whole(reports[-1], hub, tmp_path / "wire")
        stored = [asked for asked in hub.asked if asked.path.startswith("/storage/")]
        assert stored
        assert {asked.authorization for asked in stored} == {None}
        assert {asked.authorization for asked in hub.asked if asked not in stored} == {f"Bearer {TOKEN}"}
        assert TOKEN not in repr(reports) + actor.log.read_text()


def test_a_token_of_this_machine_is_not_sent_unasked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub: FakeHub
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    with DownloadProcess(tmp_path / "download.log") as actor:
        assert_whole(actor.work(want(tmp_path, hub.url))[-1], hub, tmp_path / "wire")
    assert {asked.authorization for asked in hub.asked} == {None}


def test_a_proxy_with_a_password_is_gone_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub: FakeHub) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with Proxy(password=PASSWORD) as proxy, DownloadProcess(tmp_path / "download.log") as actor:
        address = proxy.url.replace("http://", f"http://name:{PASSWORD}@")
        reports = actor.work(want(tmp_path, hub.url, proxy=address))
        assert_whole(reports[-1], hub, tmp_path / "wire")
        through = len(proxy.asked)
        assert through == len(hub.asked)
        assert PASSWORD not in repr(reports) + actor.log.read_text()

        shutil.rmtree(tmp_path / "wire")
        assert_whole(actor.work(want(tmp_path, hub.url))[-1], hub, tmp_path / "wire")
        assert len(proxy.asked) == through, "the proxy of the command before was used"


def test_the_environment_forbids_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub: FakeHub) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with DownloadProcess(tmp_path / "download.log") as actor:
        assert fault_of(actor.work(want(tmp_path, hub.url))[-1]).problem.code == "offline"
    assert hub.asked == []


# -- every case by its name --------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Case:
    """Where a case is played."""

    hub: FakeHub
    directory: Path
    stack: ExitStack

    def occupied(self) -> None:
        (self.directory / "wire").mkdir()
        (self.directory / "wire" / "diary.txt").write_text("somebody's")

    def closed(self) -> str:
        return self.stack.enter_context(closed_port())

    def proxy(self, **options: Any) -> str:
        return self.stack.enter_context(Proxy(**options)).url.replace("http://", f"http://name:{PASSWORD}@")

    def certificate(self) -> None:
        if shutil.which("openssl") is None:
            pytest.skip("needs the program openssl to make a certificate")
        key, certificate = self.directory / "key.pem", self.directory / "certificate.pem"
        line = f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -keyout {key} -out {certificate}"
        subprocess.run(line.split(), check=True, capture_output=True)
        self.hub.secure(str(certificate), str(key))


Play = Callable[[Case], dict[str, Any] | None]


def breaking(path: str, kind: str, **details: Any) -> Play:
    return lambda case: case.hub.fault(path, kind, **details)


PLAYS: list[tuple[str, str, Play]] = [
    ("offline", "offline", lambda case: {"offline": True}),
    ("disk_full", "no room", lambda case: {"spare_bytes": 10**18}),
    ("target_occupied", "another folder is there", lambda case: case.occupied()),
    ("connection_refused", "nobody listens", lambda case: {"endpoints": (case.closed(),)}),
    ("timeout", "silence", breaking("/api/", "stall")),
    ("timeout", "silence of the storage", breaking("/storage/", "stall")),
    ("tls_not_trusted", "its own certificate", lambda case: case.certificate()),
    ("proxy_refused", "no proxy there", lambda case: {"proxy": case.closed()}),
    (
        "proxy_refused",
        "the proxy says no",
        lambda case: {"proxy": case.proxy(status=403), "endpoints": ("https://hub.invalid",)},
    ),
    (
        "proxy_password",
        "wrong password, CONNECT",
        lambda case: {"proxy": case.proxy(password="x"), "endpoints": ("https://hub.invalid",)},
    ),
    ("proxy_password", "wrong password, GET", lambda case: {"proxy": case.proxy(password="x")}),
    ("proxy_invalid", "no such kind of proxy", lambda case: {"proxy": f"gopher://name:{PASSWORD}@127.0.0.1:1"}),
    ("not_a_hub", "a page for people", breaking("/api/", "page")),
    ("not_a_hub", "no address", lambda case: {"endpoints": ("carrier-pigeon://coop",)}),
    ("token_refused", "401", breaking("/api/", "status", status=401)),
    ("access_denied", "403", breaking("/api/", "status", status=403)),
    ("access_denied", "403 of the storage", breaking("/storage/", "status", status=403)),
    ("gated", "conditions", breaking("/api/", "status", status=403, headers={"X-Error-Code": "GatedRepo"})),
    ("repo_not_found", "404", lambda case: {"repo": "acme/nothing"}),
    ("repo_invalid", "no name at all", lambda case: {"repo": "a/b/c"}),
    (
        "revision_not_found",
        "404 of the revision",
        breaking("/api/", "status", status=404, headers={"X-Error-Code": "RevisionNotFound"}),
    ),
    ("rate_limited", "429", breaking("/api/", "status", status=429)),
    ("server_error", "500", breaking("/api/", "status", status=500)),
    ("server_error", "503", breaking("/api/", "status", status=503)),
    ("cut_off", "the storage hangs up", breaking("/storage/", "reset")),
    ("hash_mismatch", "other bytes", breaking("/storage/", "corrupt")),
    ("hash_mismatch", "other bytes in a small file", breaking("/tokenizer.json", "corrupt")),
    ("hash_mismatch", "fewer bytes than announced", breaking("/storage/", "short", after=1_000_000)),
    ("not_a_model", "no weights", lambda case: case.hub.files.clear()),
    ("not_a_model", "no vocabulary", lambda case: case.hub.files.pop("vocabulary.json") and None),
    (
        "name_not_resolved" if has_route() else "no_network",
        "no such name",
        lambda case: {"endpoints": ("http://hub.invalid",)},
    ),
]


@pytest.mark.parametrize(("code", "what", "play"), PLAYS, ids=[f"{code}: {what}" for code, what, _ in PLAYS])
def test_every_case_is_named_and_no_secret_told(
    tmp_path: Path, shared_actor: DownloadProcess, hub: FakeHub, code: str, what: str, play: Play
) -> None:
    with ExitStack() as stack:
        options = play(Case(hub, tmp_path, stack)) or {}
        command = want(
            tmp_path, *options.pop("endpoints", (hub.url,)), **{"token": TOKEN, "read_timeout_s": 0.5, **options}
        )
        reports = shared_actor.work(command)
    fault = fault_of(reports[-1])
    problem = fault.problem
    assert problem.code == code, problem
    assert (fault.scope, fault.model, fault.fatal) == ("download", "wire", False)
    assert fault.kind == ("disk_full" if code == "disk_full" else "model_unavailable")
    assert problem.message
    assert "{" not in problem.message
    assert problem.hint == CASES[code][1]
    told = repr(reports) + shared_actor.log.read_text()
    assert TOKEN not in told
    assert PASSWORD not in told
    assert "secret-signature" not in told
    if code != "target_occupied":
        assert not (tmp_path / "wire").exists()


def test_a_full_disk_says_how_much_is_missing(tmp_path: Path, shared_actor: DownloadProcess, hub: FakeHub) -> None:
    problem = fault_of(shared_actor.work(want(tmp_path, hub.url, spare_bytes=10**18))[-1]).problem
    assert problem.params["needed"] == 10**18 + sum(
        len(data) for name, data in hub.files.items() if name != "README.md"
    )
    assert 0 < problem.params["have"] < 10**18
    assert hub.sent["model.bin"] == 0


def test_of_several_endpoints_the_one_that_got_furthest_is_told(
    tmp_path: Path, shared_actor: DownloadProcess, hub: FakeHub
) -> None:
    hub.fault("/api/", "status", status=404, headers={"X-Error-Code": "RepoNotFound"})
    with closed_port() as closed:
        problem = fault_of(shared_actor.work(want(tmp_path, closed, hub.url))[-1]).problem
    assert problem.code == "repo_not_found"
    assert problem.params["endpoints"] == [
        {"endpoint": closed, "code": "connection_refused"},
        {"endpoint": hub.url, "code": "repo_not_found"},
    ]


def test_bytes_that_are_wrong_are_thrown_away_and_fetched_again(
    tmp_path: Path, shared_actor: DownloadProcess, hub: FakeHub
) -> None:
    hub.fault("/storage/", "corrupt", times=1)
    assert fault_of(shared_actor.work(want(tmp_path, hub.url))[-1]).problem.code == "hash_mismatch"
    assert_whole(shared_actor.work(want(tmp_path, hub.url))[-1], hub, tmp_path / "wire")


# -- a test of the connection ------------------------------------------------------------------------------------------


def test_a_connection_is_tested_without_a_download(tmp_path: Path, shared_actor: DownloadProcess, hub: FakeHub) -> None:
    with closed_port() as closed, FakeHub(hub.files) as blocked:
        blocked.fault("/storage/", "status", status=403)
        endpoints = (hub.url, closed, blocked.url)
        (report,) = shared_actor.work(download.TestConnection(REPO, Hub(endpoints, token=TOKEN, read_timeout_s=5.0)))
        assert isinstance(report, ConnectionTested)
        codes = [(result.endpoint, result.problem and result.problem.code) for result in report.results]
        assert codes == [(hub.url, None), (closed, "connection_refused"), (blocked.url, "access_denied")]
        denied = report.results[2].problem
        assert denied is not None
        assert denied.params["host"] == blocked.storage.removeprefix("http://"), "it is the storage that is closed"
    assert hub.sent["model.bin"] == 1
    assert TOKEN not in repr(report)


def test_offline_tests_nothing(shared_actor: DownloadProcess, hub: FakeHub) -> None:
    (report,) = shared_actor.work(download.TestConnection(REPO, Hub((hub.url,), offline=True)))
    assert isinstance(report, ConnectionTested)
    assert [result.problem and result.problem.code for result in report.results] == ["offline"]
    assert hub.asked == []


# -- the real thing ----------------------------------------------------------------------------------------------------


@pytest.mark.model
@pytest.mark.skipif(bool(missing_packages(BUNDLED["base"])), reason="needs the packages of the extra [bundled]")
def test_a_real_model_comes_over_the_wire_and_loads(tmp_path: Path, actor: DownloadProcess) -> None:
    join(tmp_path, "source", BUNDLED["base"])
    files = {file.name: (tmp_path / "source" / file.name).read_bytes() for file in BUNDLED["base"]}
    assert set(LARGE) <= set(files)
    with FakeHub(files, repo="acme/whisper-base") as hub:
        hub.fault("/storage/", "cut", after=50_000_000, times=1)
        report = actor.work(want(tmp_path, hub.url, repo="acme/whisper-base"))[-1]
        assert_whole(report, hub, tmp_path / "wire")
        assert hub.sent["model.bin"] <= len(files["model.bin"]) + BLOCK
    model = ctranslate2.models.Whisper(str(tmp_path / "wire"), device="cpu", compute_type="int8")
    assert model.is_multilingual


def test_it_leaves_when_told(actor: DownloadProcess) -> None:
    actor.send(Shutdown())
    actor.process.join(WAIT_S)
    assert actor.process.exitcode == 0


def test_every_option_of_the_command_is_on_the_wire() -> None:
    command = want(Path("/models"), "http://a", token=TOKEN, proxy="http://p", offline=True, spare_bytes=1)
    assert protocol.decode_command(encode(command)) == command
