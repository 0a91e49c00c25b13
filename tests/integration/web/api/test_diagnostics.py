"""Logs of the service and the actors, and the diagnostics: complete, and without secrets."""

from __future__ import annotations

import io
import json
import logging
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from testkit.event_stream import collect
from testkit.scripted_actors import script
from testkit.service import Running, running
from whisper_service.core.logs import LogTail

pytestmark = pytest.mark.anyio

SECRET = "s3cret-of-the-hub"


@pytest.fixture
async def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    monkeypatch.setenv("HF_TOKEN", "environment-s3cret")
    async with running(tmp_path) as up:
        await up.client.patch(
            "/api/settings", json={"models.token": SECRET, "models.proxy": f"http://me:{SECRET}@proxy:1"}
        )
        yield up


async def test_the_log_from_a_line_on_and_by_weight(web: Running) -> None:
    logger = logging.getLogger("whisper_service.test")
    logger.warning("the hub said %s", SECRET, extra={"action": "tried", "proxy": f"http://a:{SECRET}@b"})
    try:
        raise ValueError(SECRET)
    except ValueError:
        logger.exception("it broke")
    answer = await web.client.get("/api/logs", params={"level": "warning"})
    assert SECRET not in answer.text
    warned, broke = answer.json()["entries"][-2:]
    assert (warned["level"], warned["logger"], warned["message"], warned["facts"]["action"]) == (
        "warning",
        "test",
        "the hub said ***",
        "tried",
    )
    assert "ValueError: ***" in broke["traceback"]
    after = (await web.client.get("/api/logs", params={"since": warned["seq"], "level": "error"})).json()["entries"]
    assert [entry["message"] for entry in after] == ["it broke"]
    assert (await web.client.get("/api/logs", params={"since": broke["seq"], "level": "error"})).json()["entries"] == []
    one = (await web.client.get("/api/logs", params={"limit": 1, "level": "warning"})).json()["entries"]
    assert [entry["message"] for entry in one] == ["it broke"]
    assert (await web.client.get("/api/logs", params={"level": "loud"})).status_code == 422


async def test_the_last_words_of_the_children(web: Running) -> None:
    (web.service.parts.data.logs / "speech-20200101T000000-0.log").write_text(f"x\nhello {SECRET}\n")
    said = (await web.client.get("/api/logs/children")).json()["logs"]
    mine = next(log for log in said if log["file"] == "speech-20200101T000000-0.log")
    assert (mine["tail"], mine["bytes"]) == ("x\nhello ***\n", 9 + len(SECRET))
    assert len(said) >= 3, "and those of the children that run"


async def test_the_diagnostics_tell_no_secret(web: Running) -> None:
    made = await web.client.post(
        "/api/jobs", params={"filename": "private name.wav", "prompt": "private prompt"}, content=script(chunks=1)
    )
    await collect(web.client, f"/api/jobs/{made.json()['id']}/events")
    logging.getLogger("whisper_service.test").warning("with %s", SECRET)
    (web.service.parts.data.logs / "speech-20200101T000000-0.log").write_text(f"hello {SECRET}\n")
    answer = await web.client.get("/api/diagnostics")
    assert answer.headers["content-type"] == "application/zip"
    assert "attachment" in answer.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        files = {name: archive.read(name).decode() for name in archive.namelist()}
    assert {"system.json", "readiness.json", "settings.json", "jobs.json", "log.json", "machine.json"} < files.keys()
    assert "children/speech-20200101T000000-0.log" in files
    whole = "\n".join(files.values())
    for hidden in (SECRET, "environment-s3cret", "private name", "private prompt"):
        assert hidden not in whole
    job = json.loads(files["jobs.json"])[0]
    assert (job["id"], job["name"], job["status"]) == (made.json()["id"], ".wav", "completed")
    assert "litestar==" in files["machine.json"]


def test_old_lines_go_and_nothing_is_heard_afterwards() -> None:
    tail, logger = LogTail(keep=3), logging.getLogger("whisper_service.test")
    with tail.listening():
        for n in range(5):
            logger.warning("%d", n)
    logger.warning("late")
    assert [(entry.seq, entry.message) for entry in tail.entries()] == [(3, "2"), (4, "3"), (5, "4")]
