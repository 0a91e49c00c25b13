"""Settings over HTTP: changes take effect and stay, secrets are not shown."""

from __future__ import annotations

import io
import logging
import zipfile
from contextlib import aclosing
from pathlib import Path
from typing import Any

import docx
import pytest

from testkit.event_stream import events
from testkit.scripted_actors import script
from testkit.service import Running, running, until
from whisper_service.core.domain import Options
from whisper_service.storage.uploads import Received

pytestmark = pytest.mark.anyio

SECRET = "hf_verysecret"


async def told(web: Running) -> dict[str, dict[str, Any]]:
    return {said["key"]: said for said in (await web.client.get("/api/settings")).json()["settings"]}


async def test_a_change_shows_at_once_is_told_to_all_and_stays(tmp_path: Path) -> None:
    level = logging.getLogger("whisper_service").level
    try:
        async with running(tmp_path) as web:
            async with web.client.stream("GET", "/api/events") as stream, aclosing(events(stream)) as said:
                await anext(said)
                changes = {
                    "server.max_upload_bytes": 10,
                    "speech.preset": "fast",
                    "models.endpoints": ["https://mirror.example"],
                    "models.token": SECRET,
                    "log.level": "debug",
                    "captions.line_columns": 30,
                    "media.workers": 3,
                }
                answer = await web.client.patch("/api/settings", json=changes)
                assert answer.status_code == 200, answer.text
                assert SECRET not in answer.text
                while (event := await anext(said)).kind == "model":  # the start loads a model
                    pass
                assert (event.kind, event.data) == ("settings", {"keys": sorted(changes)})
            now = await told(web)
            assert (now["speech.preset"]["value"], now["speech.preset"]["source"]) == ("fast", "stored")
            assert (now["models.token"]["value"], now["models.token"]["given"]) == (None, True)
            assert (now["media.workers"]["value"], now["media.workers"]["effect"]) == (3, "restart")
            assert (await web.client.post("/api/jobs", content=b"x" * 11)).status_code == 413
            made = await web.client.post("/api/jobs", content=b"{}", params={"filename": "a.wav"})
            assert made.json()["options"]["preset"] == "fast"
            assert logging.getLogger("whisper_service").level == logging.DEBUG
            hub = (await web.client.get("/api/models")).json()["hub"]
            assert (hub["endpoints"], hub["token"]) == (["https://mirror.example"], True)
        async with running(tmp_path) as web:
            assert len((await web.client.get("/api/system")).json()["actors"]) >= 1 + 3
            assert (await web.client.post("/api/jobs", content=b"x" * 11)).status_code == 413
            back = await web.client.patch("/api/settings", json={"server.max_upload_bytes": None})
            assert back.status_code == 200
            assert (await told(web))["server.max_upload_bytes"]["source"] == "default"
            assert (await web.client.post("/api/jobs", content=b"x" * 11)).status_code == 202
            assert SECRET not in (await web.client.get("/api/settings")).text
    finally:
        logging.getLogger("whisper_service").setLevel(level)


async def test_the_chinese_script_is_that_of_the_job_else_that_of_the_setting(tmp_path: Path) -> None:
    async with running(tmp_path) as web:

        async def script_of_job(**options: str) -> str | None:
            answer = await web.client.post("/api/jobs", content=script(), params={"filename": "a.wav", **options})
            assert answer.status_code == 202, answer.text
            chosen: str | None = answer.json()["options"]["script"]
            return chosen

        assert await script_of_job() is None
        for chosen in ("traditional", "recognized"):
            answer = await web.client.patch("/api/settings", json={"speech.script": chosen})
            assert answer.status_code == 200, answer.text
            assert await script_of_job() == chosen
            assert await script_of_job(script="simplified") == "simplified"
        assert (await web.client.patch("/api/settings", json={"speech.script": "latin"})).status_code == 422
        assert await script_of_job() == "recognized"


async def test_a_wrong_value_changes_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        before = await told(web)
        for body in ({"speech.preset": "fast", "storage.undo_s": -1}, {"server.host": "0.0.0.0"}, {"x": 1}):
            answer = await web.client.patch("/api/settings", json=body)
            assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
            assert answer.json()["hint"]
            assert answer.json()["params"]["field"] in body
        for raw in (b"[]", b"{", b"5"):
            answer = await web.client.patch("/api/settings", content=raw, headers={"content-type": "application/json"})
            assert answer.status_code in (400, 422)
        assert await told(web) == before


async def test_the_title_is_that_of_the_page_the_login_and_documents(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        job = await web.service.jobs.submit(await received(web), Options(language="en"), reuse=False)
        await until(web.service, job.id, lambda job: job.status == "completed")
        answer = await web.client.patch("/api/settings", json={"page.title": "Acme & <Sons>"})
        assert answer.status_code == 200, answer.text
        for path in ("/", "/login"):
            assert "<title>Acme &amp; &lt;Sons&gt;</title>" in (await web.client.get(path)).text, path
        assert (await web.client.get("/api/state")).json()["system"]["title"] == "Acme & <Sons>"
        one = await web.client.get(f"/api/jobs/{job.id}/export", params={"format": "docx"})
        many = await web.client.post("/api/export", json={"ids": [job.id], "format": "docx"})
        inside = zipfile.ZipFile(io.BytesIO(many.content))
        for content in (one.content, inside.read(inside.namelist()[0])):
            properties = docx.Document(io.BytesIO(content)).core_properties
            assert (properties.author, properties.title) == ("Acme & <Sons>", "talk")
        asked = await web.client.get(f"/api/jobs/{job.id}/export", params={"format": "docx", "author": "Li"})
        assert docx.Document(io.BytesIO(asked.content)).core_properties.author == "Li"
        for wrong in ("", "x" * 61, 5):
            assert (await web.client.patch("/api/settings", json={"page.title": wrong})).status_code == 422
        assert (await web.client.patch("/api/settings", json={"page.title": None})).status_code == 200
        assert "<title>whisper_service</title>" in (await web.client.get("/")).text


async def received(web: Running) -> Received:
    """A scripted recording with the name of a file, on the disk of the service."""
    async with web.service.uploads.receive("talk.wav") as receiver:
        await receiver.write(script(chunks=1))
        return await receiver.finish()
