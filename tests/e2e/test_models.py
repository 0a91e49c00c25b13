"""A model from its download to a transcript. Only the hub is no real one; the service is killed meanwhile."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from testkit import media_files, prompts
from testkit.fake_hub import FakeHub
from testkit.program import BUNDLED, NOT_BUNDLED, Program, serving
from whisper_service.models.bundled import BUNDLED as FILES
from whisper_service.models.bundled import join

pytestmark = [pytest.mark.model, pytest.mark.skipif(not BUNDLED, reason=NOT_BUNDLED)]
NAME = "acme/whisper-base"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeHub]:
    """A hub that has the built-in model under another name."""
    root = tmp_path_factory.mktemp("hub")
    join(root, "base", FILES["base"])
    files = {file.name: (root / "base" / file.name).read_bytes() for file in FILES["base"]}
    shutil.rmtree(root)
    with FakeHub(files, repo=NAME) as hub:
        yield hub


def test_a_job_fetches_its_model_over_a_kill_transcribes_and_gives_the_memory_back(
    tmp_path: Path, hub: FakeHub
) -> None:
    size = len(hub.files["model.bin"])
    hub.fault("/storage/", "slow", rate=20_000_000, times=1)
    recording = media_files.write_wav(tmp_path / "talk.wav", prompts.prompt("vm-intro"))
    settings = {"models__endpoints": hub.url, "speech__preload": "false"}
    program = Program(tmp_path, **settings)
    program.start()
    job_id = program.submit(recording, model=NAME, language="en")
    for job in program.updates(job_id):
        if job["phase"] == "downloading_model" and "GB" in job["message"] and " 0.00 " not in job["message"]:
            break
    program.kill()
    hub.forget()
    partial = tmp_path / "data" / "models" / ".acme--whisper-base.partial"
    have = sum(path.stat().st_size for path in partial.glob("*.part"))
    assert 0 < have < size
    with serving(tmp_path, **settings) as program:
        job = program.ended(job_id)
        assert job["status"] == "completed", job
        assert job["model"] == NAME
        assert b'"text"' in program.transcript(job_id)
        assert hub.sent["model.bin"] == size - have
        actor = psutil.Process(program.actor("speech")["pid"])
        assert actor.memory_info().rss > size // 2
        answer = program.client.post("/api/models/acme--whisper-base/unload")
        assert (answer.status_code, answer.json()["state"]) == (200, "installed")
        gone, _ = psutil.wait_procs([actor], timeout=30)
        assert gone, "the memory is not given back"
