"""Many transcripts as one zip."""

from __future__ import annotations

import io
import zipfile
from urllib.parse import quote

import pytest
import srt  # type: ignore[import-untyped]

from testkit.event_stream import collect
from testkit.scripted_actors import script
from testkit.service import Running
from whisper_service.web.api.export_zip import free_name

pytestmark = pytest.mark.anyio


async def finished(web: Running, name: str, says: str) -> str:
    made = await web.client.post("/api/jobs", params={"filename": name}, content=script(chunks=2, says=says))
    await collect(web.client, f"/api/jobs/{made.json()['id']}/events")
    return str(made.json()["id"])


async def test_many_transcripts_come_as_one_zip_with_names_that_differ(web: Running) -> None:
    ids = [
        await finished(web, name, says)
        for name, says in [("会议.wav", "one"), ("会议.mp3", "two"), ("talk.wav", "three")]
    ]
    answer = await web.client.post("/api/export", json={"ids": [*ids, ids[0]], "format": "srt", "layout": {"lines": 1}})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/zip"
    assert "transcripts-srt.zip" in answer.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["会议.srt", "会议 (2).srt", "talk.srt"]
        texts = [archive.read(name).decode() for name in archive.namelist()]
    for text, says in zip(texts, ("one", "two", "three"), strict=True):
        assert [cue.content for cue in srt.parse(text)] == [f"{says} 0.", f"{says} 1."]


async def test_what_cannot_be_packed_is_refused_before_a_byte(web: Running) -> None:
    job_id = await finished(web, "a.wav", "one")
    for body, status in [
        ({"ids": [job_id, "nope"]}, 404),
        ({"ids": []}, 422),
        ({}, 422),
        ({"ids": [job_id], "format": "pdf"}, 422),
        ({"ids": [job_id], "layout": {"nope": 1}}, 422),
        ({"ids": ["x"] * 1_001}, 422),
    ]:
        answer = await web.client.post("/api/export", json=body)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json"), body
        assert answer.json()["hint"]


async def test_every_disk_takes_the_names_in_the_zip(web: Running) -> None:
    names = ["长" * 200 + ".wav", "长" * 200 + ".mp3", '12:30 "Q"?.wav', "CON.wav", "12:30 *Q*?.wav", "Talk 1.2"]
    ids = [await finished(web, name, "one") for name in names]
    answer = await web.client.post("/api/export", json={"ids": ids, "format": "docx"})
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        listed = archive.namelist()
    long = "长" * 83
    assert listed == [
        *(
            f"{long}.docx",
            f"{long[:-1]} (2).docx",
            "12_30 _Q__.docx",
            "CON_.docx",
            "12_30 _Q__ (2).docx",
            "Talk 1.2.docx",
        ),
    ]
    assert max(len(name.encode()) for name in listed) <= 255
    single = await web.client.get(f"/api/jobs/{ids[0]}/export?format=srt")
    assert f"filename*=UTF-8''{quote(long)}.srt" in single.headers["content-disposition"]
    sound = await web.client.get(f"/api/jobs/{ids[3]}/media")
    assert 'filename="CON_.wav"' in sound.headers["content-disposition"]


def test_no_two_files_share_a_name() -> None:
    taken: set[str] = set()
    names = [free_name(name, "txt", taken) for name in ("a.wav", "A.mp3", "a (2).wav", ".wav", "", "a.ogg")]
    assert names == ["a.txt", "A (2).txt", "a (2) (2).txt", ".wav.txt", "transcript.txt", "a (3).txt"]
