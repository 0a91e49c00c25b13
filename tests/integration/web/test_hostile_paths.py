"""Nothing that a client sends is used as a path: no address, and no name of a file, a model or a job."""

from __future__ import annotations

import json
import random
import re
from itertools import product
from pathlib import Path
from urllib.parse import quote

import anyio
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from testkit.scripted_actors import script
from testkit.service import WAIT, Running
from whisper_service.core.errors import ModelUnavailable, ServiceError
from whisper_service.models.catalog import AUTO, Catalog
from whisper_service.web.app import openapi_json

PIECES = (
    "..", "../", "..\\", "/", "//", "\\", "%2f", "%2e%2e", "%252e", "\0", "%00", "~", "C:", "etc/passwd",
    "whisper_service.db", "lock", ".part", "$(touch pwned)", "`id`", "concat:", "file://", "http://127.0.0.1/", "-i",
    "\u202e", "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"), "\u2025", "\uff0f", "a" * 300, ".",
    " ", "\r\n", "'", '"', ";", "会议", "con", "nul", "a",
)  # fmt: skip
OURS = re.compile(
    r"(media|spool|peaks|fine_peaks)/[0-9a-hjkmnp-tv-z]{26}(\.pcm)?|whisper_service\.db(-wal|-shm|-sound)?|lock|address|"
    r"logs/[a-zT0-9-]+\.log|models(/\S*)?|children(/\d+)?"
)


def names(count: int, seed: int) -> list[str]:
    dice = random.Random(seed)
    return ["".join(dice.choices(PIECES, k=dice.randint(1, 6))) for _ in range(count)]


def outside(root: Path) -> set[Path]:
    """Return everything beside the data directory."""
    return {path for path in root.rglob("*") if not path.is_relative_to(root / "data")}


def here() -> set[Path]:
    """Return everything in the working directory."""
    return set(Path.cwd().iterdir())


def inside(root: Path) -> list[str]:
    """Return the files of the data directory."""
    data = root / "data"
    return [path.relative_to(data).as_posix() for path in data.rglob("*") if path.is_file()]


@given(st.one_of(st.text(), st.lists(st.sampled_from(PIECES), min_size=1).map("".join)))
@example("../../etc")
@example("a--..--b")
@example("models--..--x")
def test_no_name_of_a_model_leads_out_of_the_directory_of_models(name: str) -> None:
    root = Path("/nowhere/models")
    catalog = Catalog(root, default=AUTO)
    try:
        chosen = catalog.resolve(name)
    except (ModelUnavailable, ServiceError):
        return
    assert catalog.target_of(chosen).is_relative_to(root)
    assert catalog.target_of(chosen) != root


@pytest.mark.anyio
async def test_addresses_that_climb_give_nothing_away(web: Running, tmp_path: Path) -> None:
    (tmp_path / "data" / "secret.txt").write_text("a secret")
    (tmp_path / "secret.txt").write_text("a secret")
    host, _, port = web.url.removeprefix("http://").partition(":")
    climbs = ["..%2f", "%2e%2e/", "%2e%2e%2f", "..%5c", "%c0%ae%c0%ae/", "../", "..;/", "%252e%252e%252f", "....//"]
    starts = ("/", "/static/", "/static/dist/", "/api/jobs/", "/api/jobs/x/", "/schema/", "/t/")
    names = ("secret.txt", "etc/passwd", "data/whisper_service.db")
    targets = [
        f"{start}{climb * depth}{name}" for start, climb, depth, name in product(starts, climbs, (1, 3, 9), names)
    ]
    targets += [
        "//etc/passwd",
        "/%00",
        "/static/%00",
        "/.env",
        "/.git/config",
        "/data/whisper_service.db",
        "/static/../config.toml",
        "*",
    ]
    for target in targets:
        async with await anyio.connect_tcp(host, int(port)) as stream:
            await stream.send(f"GET {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode())
            answer = b"".join([part async for part in stream])
        status = int(answer.split()[1])
        page = b"<!doctype html>" in answer[:3000].lower()
        assert 400 <= status < 500 or (status == 200 and page), (target, answer[:300])
        assert b"a secret" not in answer
        assert b"root:" not in answer
        assert b"SQLite format" not in answer
        assert str(tmp_path).encode() not in answer


@pytest.mark.anyio
async def test_a_job_is_found_by_its_identifier_alone(web: Running) -> None:
    paths = json.loads(openapi_json())["paths"]
    routes = [(method.upper(), path) for path, item in paths.items() for method in item if "{job_id}" in path]
    assert len(routes) > 8
    for number, name in enumerate(names(40, seed=1)):
        method, path = routes[number % len(routes)]
        answer = await web.client.request(method, path.replace("{job_id}", quote(name, safe="")))
        assert 400 <= answer.status_code < 500 or b"<!doctype html>" in answer.content, (method, path, name)


@pytest.mark.anyio
async def test_names_of_files_and_models_leave_no_trace_on_the_disk(web: Running, tmp_path: Path) -> None:
    before, around = outside(tmp_path), here()
    ids = []
    for number, name in enumerate(names(60, seed=2)):
        recording = script(chunks=1)
        match number % 3:
            case 0:
                answer = await web.client.post(f"/api/jobs?filename={quote(name, safe='')}", content=recording)
            case 1:
                answer = await web.client.post("/api/jobs", files={"file": (name, recording)})
            case _:
                answer = await web.client.post("/api/jobs", files={"file": ("a.wav", recording)}, data={"model": name})
        assert answer.status_code == 202 or 400 <= answer.status_code < 500, (name, answer.text)
        if answer.status_code == 202:
            ids.append(answer.json()["id"])
            shown = answer.json()["name"]
            assert 0 < len(shown) <= 300
            assert not set(shown) & set("/\\\0\r\n\u202e")
    with anyio.fail_after(WAIT):
        cursor = web.service.events.cursor(web.service.events.head)
        while any(job.status in ("pending", "processing") for job in await web.service.parts.store.jobs(limit=100)):
            await cursor.read()
    assert len(ids) > 30, "most names are taken"
    for job_id in ids:
        exported = await web.client.get(f"/api/jobs/{job_id}/export?format=srt")
        assert exported.status_code == 200
        assert exported.headers["content-disposition"].startswith("attachment; ")
    assert outside(tmp_path) == before
    assert here() == around
    found = inside(tmp_path)
    assert len(found) >= len(ids)
    for name in found:
        assert OURS.fullmatch(name), name
