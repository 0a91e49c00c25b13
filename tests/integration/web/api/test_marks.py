"""The API of bookmarks, highlights and notes on a real port."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from testkit.scripted_actors import script
from testkit.service import Running, ended, running

pytestmark = pytest.mark.anyio


@pytest.fixture
async def web(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path) as up:
        yield up


@pytest.fixture
async def job(web: Running) -> str:
    """A completed job."""
    answer = await web.client.post("/api/jobs", content=script(chunks=3), headers={"content-type": "audio/wav"})
    found: str = answer.json()["id"]
    await ended(web.service, found)
    return found


async def edit(web: Running, job: str, batch: str, *operations: dict[str, Any]) -> httpx.Response:
    body = {"batch": batch, "operations": operations, "author": "Li"}
    return await web.client.post(f"/api/jobs/{job}/edits", json=body)


async def shown(web: Running, job: str, version: str = "current") -> dict[str, Any]:
    found: dict[str, Any] = (await web.client.get(f"/api/jobs/{job}/transcript", params={"version": version})).json()
    return found


async def test_a_mark_is_made_seen_moved_and_removed(web: Running, job: str) -> None:
    line = (await shown(web, job))["segments"][0]
    end = len(line["text"])
    place = {"first": {"line": line["id"], "at": 0}, "last": {"line": line["id"], "at": end}}
    made = await edit(web, job, "b1", {"op": "mark", "id": "m1", "kind": "note", "text": "Hm.", "colour": 2, **place})
    assert made.status_code == 200, made.text
    (mark,) = made.json()["marks"]
    assert {name: mark[name] for name in ("id", "kind", "text", "colour", "author", "lost")} == {
        "id": "m1", "kind": "note", "text": "Hm.", "colour": 2, "author": "Li", "lost": "",
    }  # fmt: skip
    assert (
        (await shown(web, job))["marks"] == (await web.client.get(f"/api/jobs/{job}/marks")).json()["marks"] == [mark]
    )
    assert (await shown(web, job, "machine"))["marks"] == []
    text = {"op": "text", "id": line["id"], "v": 0, "text": f"Well, {line['text']}"}
    moved = await edit(web, job, "b2", text)
    assert [(one["first"]["at"], one["last"]["at"]) for one in moved.json()["marks"]] == [(6, end + 6)]
    gone = await edit(web, job, "b3", {"op": "unmark", "ids": ["m1"]})
    assert (gone.json()["marks"], gone.json()["marks_gone"]) == ([], ["m1"])
    undone = await web.client.post(f"/api/jobs/{job}/edits/3/undo", json={"batch": "b4"})
    assert [one["id"] for one in undone.json()["marks"]] == ["m1"]
    history = (await web.client.get(f"/api/jobs/{job}/edits")).json()["edits"]
    assert history[-1]["operations"][0]["op"] == "mark"


@pytest.mark.parametrize(
    ("operation", "status", "code"),
    [
        ({"op": "mark", "id": "m", "kind": "note", "first": {"line": "no", "at": 0}, "last": {"line": "no", "at": 1}},
         409, "edit_conflict"),
        ({"op": "change_mark", "id": "m", "colour": 2}, 422, "bad_edit"),
        ({"op": "change_mark", "id": "m", "colour": 6}, 422, "invalid_request"),
        ({"op": "put_marks", "then": [], "now": []}, 422, "invalid_request"),
    ],
)  # fmt: skip
async def test_a_mark_that_cannot_be_is_refused_with_its_reason(
    web: Running, job: str, operation: dict[str, Any], status: int, code: str
) -> None:
    answer = await edit(web, job, "b1", operation)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.json()["hint"]
    assert (await shown(web, job))["edits"] == 0


async def test_there_are_no_marks_of_an_unknown_job(web: Running) -> None:
    answer = await web.client.get("/api/jobs/none/marks")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def exported(web: Running, job: str, **params: str) -> httpx.Response:
    answer = await web.client.get(f"/api/jobs/{job}/export", params=params)
    assert answer.status_code == 200, answer.text
    return answer


async def test_exports_have_notes_unchecked_lines_and_changes(web: Running, job: str) -> None:
    first, second = (await shown(web, job))["segments"][:2]
    words = first["text"].split()
    end = len(words[0])
    place = {"first": {"line": first["id"], "at": 0}, "last": {"line": first["id"], "at": end}}
    note = {"op": "mark", "id": "m1", "kind": "note", "text": "Who, exactly?", **place}
    await edit(web, job, "b1", note, {"op": "check", "ids": [second["id"]], "on": True})
    await edit(web, job, "b2", {"op": "text", "id": second["id"], "v": 0, "text": "Quite another text."})
    text = (await exported(web, job, format="txt", unchecked="true")).text.splitlines()
    assert text[0] == f"[unchecked] {first['text']}"
    assert text[1] == "Quite another text."
    assert "Who, exactly?" in (await exported(web, job, format="md", notes="true")).text
    assert "Who, exactly?" not in (await exported(web, job, format="md")).text
    with zipfile.ZipFile(
        io.BytesIO((await exported(web, job, format="docx", notes="true", compare="true")).content)
    ) as file:
        assert "Who, exactly?" in file.read("word/comments.xml").decode()
        body = file.read("word/document.xml").decode()
    assert "<w:ins " in body
    assert "Quite" in body
    assert "<w:delText" in body
    many = await web.client.post("/api/export", json={"ids": [job], "format": "md", "layout": {"notes": True}})
    with zipfile.ZipFile(io.BytesIO(many.content)) as file:
        assert "Who, exactly?" in file.read(file.namelist()[0]).decode()


async def test_notes_are_exported_as_a_table_and_as_a_list(web: Running, job: str) -> None:
    line = (await shown(web, job))["segments"][1]
    place = {"line": line["id"], "at": 0}
    await edit(web, job, "b1", {"op": "mark", "id": "m1", "kind": "bookmark", "first": place, "last": place})
    table = await web.client.get(f"/api/jobs/{job}/marks/export", params={"format": "csv", "bom": "true"})
    assert table.content.startswith("\ufefftime,kind,".encode())
    (row,) = csv.DictReader(io.StringIO(table.content.decode("utf-8-sig"), newline=""))
    assert (row["kind"], row["words"], row["author"]) == ("bookmark", line["text"], "Li")
    assert "notes.csv" in table.headers["content-disposition"]
    assert table.headers["content-type"].startswith("text/csv")
    listed = await web.client.get(f"/api/jobs/{job}/marks/export", params={"format": "md"})
    assert listed.text.startswith("# Notes: ")
    assert line["text"].split()[0] in listed.text
    assert (await web.client.get("/api/jobs/none/marks/export")).status_code == 404
