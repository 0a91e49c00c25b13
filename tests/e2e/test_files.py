"""What people really send, over HTTP to one service with the real model: the right answer, and nothing left behind."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from testkit import media_files, prompts, sounds
from testkit.program import BUNDLED, NOT_BUNDLED, Program, serving

pytestmark = [pytest.mark.model, pytest.mark.skipif(not BUNDLED, reason=NOT_BUNDLED)]
SPOKEN = pytest.mark.skipif(not prompts.PROMPTS.exists(), reason=prompts.NO_PROMPTS)
LIMIT = 2_000_000
AUDIO = {"content-type": "audio/wav"}
EMPTY_EXPORTS = {"txt": "", "srt": "", "vtt": "WEBVTT\n", "tsv": "start\tend\ttext\n"}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    home = tmp_path_factory.mktemp("files") / "home"
    with serving(home, media__workers=1, storage__undo_s=0, models__offline=True, server__max_upload_bytes=LIMIT) as up:
        deadline = time.monotonic() + 120
        while up.client.get("/api/system").json()["model"] is None:  # the built-in model is put together meanwhile
            assert time.monotonic() < deadline, up.log.read_text()
            time.sleep(0.1)
        yield up


@pytest.fixture(autouse=True)
def nothing_left(program: Program) -> Iterator[None]:
    """After a test, with its jobs deleted, everything is as it was - beside the data directory too."""
    before = everything(program)
    yield
    deadline = time.monotonic() + 20
    while everything(program) != before:  # a client that went away is noticed in its own time
        assert time.monotonic() < deadline, {"before": before, "after": everything(program)}
        time.sleep(0.05)


def everything(program: Program) -> tuple[set[str], set[str], list[str]]:
    around = {path.name for folder in (program.home.parent, program.home) for path in folder.iterdir()}
    jobs = [job["id"] for job in program.client.get("/api/jobs").json()["jobs"]]
    return program.files(), around, jobs


@contextmanager
def job_of(program: Program, answer: httpx.Response) -> Iterator[dict[str, Any]]:
    """The job in its last state, with its recording and waveform as the only new files; deleted afterwards."""
    assert answer.status_code == 202, answer.text
    job = program.ended(answer.json()["id"])
    own = {name for name in program.files() if job["id"] in name}
    assert own - {f"peaks/{job['id']}", f"fine_peaks/{job['id']}"} == {f"media/{job['id']}"}
    yield job
    gone = program.client.delete(f"/api/jobs/{job['id']}")
    assert (gone.status_code, gone.content) == (204, b"")
    assert program.client.get(f"/api/jobs/{job['id']}").status_code == 404


def send(program: Program, path: Path, **options: str) -> httpx.Response:
    with path.open("rb") as file:
        return program.client.post("/api/jobs", files={"file": (path.name, file)}, data=options)


def assert_problem(answer: httpx.Response, status: int, code: str, *said: str) -> dict[str, Any]:
    """A refusal that says what, and what to do: every one has a hint."""
    assert answer.status_code == status, answer.text
    problem: dict[str, Any] = answer.json()
    assert problem.keys() == {"code", "message", "hint", "params"}
    assert problem["code"] == code, problem
    assert problem["message"].endswith(".")
    assert problem["hint"].endswith((".", "?"))
    for words in said:
        assert words in problem["message"] + problem["hint"], problem
    return problem


def assert_failed(job: dict[str, Any], code: str, *said: str) -> None:
    assert job["status"] == "failed"
    assert job["error"]["code"] == code, job["error"]
    assert job["message"] == job["error"]["message"]
    assert job["error"]["hint"]
    for words in said:
        assert words in job["error"]["message"] + job["error"]["hint"], job["error"]


def exports(program: Program, job: dict[str, Any]) -> dict[str, str]:
    found = {}
    for kind in ("json", *EMPTY_EXPORTS):
        answer = program.client.get(f"/api/jobs/{job['id']}/export", params={"format": kind})
        assert answer.status_code == 200, answer.text
        assert f".{kind}" in answer.headers["content-disposition"]
        found[kind] = answer.text
    return found


# -- files that hold no speech -----------------------------------------------------------------------------------------


def test_an_empty_file(program: Program, tmp_path: Path) -> None:
    path = tmp_path / "empty.mp3"
    path.touch()
    assert_problem(send(program, path), 422, "empty_file", "The file is empty.", "send it again")


def test_a_text_file_called_mp3(program: Program, tmp_path: Path) -> None:
    path = tmp_path / "notes.mp3"
    path.write_text("Minutes of the meeting, which somebody renamed.\n" * 200)
    with job_of(program, send(program, path)) as job:
        assert_failed(job, "not_media", "not a recording", "media player")
        empty = exports(program, job)  # of a failed job they are empty, not an error
        assert json.loads(empty.pop("json"))["segments"] == []
        assert empty == EMPTY_EXPORTS


def test_an_mp4_that_was_cut_off_before_its_index(program: Program, tmp_path: Path) -> None:
    path = media_files.encode(tmp_path / "cut.mp4", sounds.babble(8))
    whole = path.read_bytes()
    assert b"moov" in whole[len(whole) // 2 :]
    path.write_bytes(whole[: len(whole) // 2])
    with job_of(program, send(program, path)) as job:
        assert_failed(job, "not_media", "cut off has no index")


def test_a_video_without_sound(program: Program, tmp_path: Path) -> None:
    path = media_files.encode(tmp_path / "silent.mp4", None, video_s=2.0)
    with job_of(program, send(program, path)) as job:
        assert_failed(job, "no_audio", "no sound", "audio track")


@pytest.mark.parametrize("seconds", [0.05, 0.01, 3.0])
def test_a_recording_without_speech(program: Program, tmp_path: Path, seconds: float) -> None:
    path = media_files.write_wav(tmp_path / "short.wav", sounds.hiss(seconds))
    with job_of(program, send(program, path)) as job:
        assert (job["status"], job["error"], job["progress"]) == ("completed", None, 1.0)
        assert job["message"] == "No speech was found."
        assert job["duration_s"] == pytest.approx(seconds, abs=0.01)
        assert (job["chunks_total"], job["gaps"], job["language"]) == (0, [], None)
        empty = exports(program, job)
        said = json.loads(empty.pop("json"))
        assert (said["name"], said["segments"], said["gaps"]) == ("short.wav", [], [])
        assert empty == EMPTY_EXPORTS


def test_a_wave_header_without_samples(program: Program, tmp_path: Path) -> None:
    path = media_files.write_wav(tmp_path / "header.wav", sounds.silence(0))
    with job_of(program, send(program, path)) as job:
        assert_failed(job, "no_audio", "no sound", "not empty")


# -- files that do -----------------------------------------------------------------------------------------------------


@SPOKEN
def test_five_channels_with_the_speech_in_the_middle(program: Program, tmp_path: Path) -> None:
    speech = prompts.prompt("demo-thanks")
    channels = np.stack([sounds.hiss(len(speech) / sounds.RATE + 1, seed)[: len(speech)] for seed in range(6)], axis=1)
    channels[:, 2] = speech  # front left, front right, front centre, low frequencies, back left, back right
    path = media_files.encode(tmp_path / "film.m4a", channels, layout="5.1", rate=48_000)
    with job_of(program, send(program, path, language="en")) as job:
        assert (job["status"], job["language"], job["error"]) == ("completed", "en", None)
        text = exports(program, job)["txt"].lower()
        assert "thank you for trying out the asterisk" in text


@SPOKEN
def test_a_recording_that_ends_too_early_says_so(program: Program, tmp_path: Path) -> None:
    path = media_files.encode(tmp_path / "cut.mp3", prompts.prompt("demo-thanks"), "mp3")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 6 // 10])
    with job_of(program, send(program, path, language="en")) as job:
        assert (job["status"], job["error"]) == ("completed", None)
        assert job["message"].startswith("The file ends ")
        assert "thank you for" in exports(program, job)["txt"].lower()


@SPOKEN
def test_a_raw_body_in_small_pieces(program: Program, tmp_path: Path) -> None:
    data = media_files.write_wav(tmp_path / "raw.wav", prompts.prompt("demo-thanks")).read_bytes()
    pieces = (data[at : at + 1_000] for at in range(0, len(data), 1_000))
    answer = program.client.post("/api/jobs?filename=raw.wav&language=en", content=pieces, headers=AUDIO)
    with job_of(program, answer) as job:
        assert (job["status"], job["name"], job["bytes"]) == ("completed", "raw.wav", len(data))
        assert "asterisk" in exports(program, job)["txt"].lower()


# -- names -------------------------------------------------------------------------------------------------------------

NAMES = [
    ("会议 录音 №1 (é).wav", "会议 录音 №1 (é).wav"),
    ("../../../etc/cron.d/evil.wav", "evil.wav"),
    ("..\\..\\evil.wav", "evil.wav"),
    ("..", "recording"),
    ("", "recording"),
    ("a\x00b\x1b[31m\u202ec.wav", "ab[31mc.wav"),
    ("x" * 400 + ".wav", "x" * 296 + ".wav"),
]


@pytest.mark.parametrize(("given", "shown"), NAMES, ids=range(len(NAMES)))
def test_a_name_is_only_ever_shown(program: Program, tmp_path: Path, given: str, shown: str) -> None:
    data = media_files.write_wav(tmp_path / "x.wav", sounds.silence(0.1)).read_bytes()
    with job_of(
        program, program.client.post("/api/jobs", params={"filename": given}, content=data, headers=AUDIO)
    ) as job:
        assert job["name"] == shown
    if given and "\x00" not in given:  # in a form some cannot be written
        quoted = given.replace("\\", "\\\\")
        head = f'--xx\r\nContent-Disposition: form-data; name="file"; filename="{quoted}"\r\n\r\n'.encode()
        form = {"content-type": "multipart/form-data; boundary=xx"}
        with job_of(
            program, program.client.post("/api/jobs", content=head + data + b"\r\n--xx--\r\n", headers=form)
        ) as job:
            assert job["name"] == shown
            disposition = program.client.get(f"/api/jobs/{job['id']}/export").headers["content-disposition"]
            assert disposition.isascii()
            assert "/" not in disposition.replace("; ", "")


# -- requests that are refused -----------------------------------------------------------------------------------------


def test_an_unknown_option(program: Program) -> None:
    answer = program.client.post("/api/jobs?langauge=en", content=b"x", headers=AUDIO)
    problem = assert_problem(answer, 422, "invalid_request", "“langauge”", "Did you mean language?")
    assert problem["params"] == {"field": "langauge"}


@pytest.mark.parametrize("given", ["klingon", "English", "xx"])
def test_a_wrong_language(program: Program, tmp_path: Path, given: str) -> None:
    path = media_files.write_wav(tmp_path / "x.wav", sounds.silence(0.1))
    answer = send(program, path, language=given)
    assert assert_problem(answer, 422, "invalid_request", given)["params"]["field"] == "language"


@pytest.mark.parametrize("option", ["task=sing", "preset=best", "word_timestamps=perhaps", "prompt=" + "x" * 2_001])
def test_an_option_with_a_wrong_value(program: Program, option: str) -> None:
    answer = program.client.post(f"/api/jobs?{option}", content=b"x", headers=AUDIO)
    assert assert_problem(answer, 422, "invalid_request")["params"]["field"] == option.partition("=")[0]


def test_a_model_that_is_not_there(program: Program, tmp_path: Path) -> None:
    path = media_files.write_wav(tmp_path / "x.wav", sounds.silence(0.1))
    with job_of(program, send(program, path, model="large-v3")) as job:
        assert_failed(job, "offline", "large-v3")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_a_wrong_method(program: Program, method: str) -> None:
    answer = program.client.request(method, "/api/jobs", content=b"x")
    assert_problem(answer, 405, "method_not_allowed", "GET", "POST")
    assert {"GET", "POST"} <= set(answer.headers["allow"].replace(" ", "").split(","))


def test_a_wrong_address(program: Program) -> None:
    assert_problem(program.client.get("/api/job"), 404, "not_found", "/schema")


def test_a_job_that_is_not_there(program: Program) -> None:
    for method, path in [("GET", ""), ("DELETE", ""), ("POST", "/retry"), ("GET", "/export"), ("GET", "/events")]:
        answer = program.client.request(method, f"/api/jobs/01m86arx74njkefjd9hftzqk87{path}")
        assert_problem(answer, 404, "not_found", "01m86arx74njkefjd9hftzqk87")


@pytest.mark.parametrize("kind", ["application/xml", "text/plain", "image/png", "application/x-www-form-urlencoded"])
def test_a_wrong_content_type(program: Program, kind: str) -> None:
    answer = program.client.post("/api/jobs", content=b"{}", headers={"content-type": kind})
    assert_problem(answer, 415, "unsupported_media_type", kind, "application/octet-stream")


@pytest.mark.parametrize("stated", [True, False], ids=["stated", "streamed"])
@pytest.mark.parametrize("form", [True, False], ids=["form", "raw"])
def test_a_file_over_the_limit(program: Program, stated: bool, form: bool) -> None:
    head = b'--xx\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n' if form else b""
    data = head + b"x" * (LIMIT + 1) + (b"\r\n--xx--\r\n" if form else b"")
    headers = {"content-type": "multipart/form-data; boundary=xx" if form else "audio/wav"}
    content: Any = data if stated else (data[at : at + 100_000] for at in range(0, len(data), 100_000))
    problem = assert_problem(
        program.client.post("/api/jobs", content=content, headers=headers),
        413,
        "too_large",
        "1.907 MiB",
        "max_upload_bytes",
    )
    assert problem["params"] == {"limit": LIMIT}


# -- connections that break --------------------------------------------------------------------------------------------


def connection(program: Program) -> socket.socket:
    host, port = program.client.base_url.host, program.client.base_url.port
    assert port is not None
    return socket.create_connection((host, port), timeout=20)


def request(length: str, kind: str = "audio/wav") -> bytes:
    return f"POST /api/jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\n{length}\r\n\r\n".encode()


def answered(link: socket.socket) -> tuple[int, bytes]:
    """Status and body of what comes until the other side closes."""
    said = b""
    while block := link.recv(65_536):
        said += block
    if not said:
        return 0, b""
    head, _, body = said.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


@pytest.mark.parametrize("leave", ["close", "reset"])
@pytest.mark.parametrize("kind", ["audio/wav", "multipart/form-data; boundary=xx"])
def test_a_client_that_goes_away_in_mid_upload(program: Program, leave: str, kind: str) -> None:
    head = b'--xx\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n' if "form" in kind else b""
    with connection(program) as link:
        link.sendall(request("content-length: 1900000", kind) + head + b"x" * 1_300_000)
        parts(program)
        if leave == "reset":
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def parts(program: Program) -> None:
    """Wait until some of an upload is on the disk."""
    deadline = time.monotonic() + 20
    while not any(path.stat().st_size for path in (program.data / "media").glob("*.part")):
        assert time.monotonic() < deadline, "nothing of the upload came to the disk"
        time.sleep(0.01)


def test_a_length_that_promises_more_than_comes(program: Program) -> None:
    with connection(program) as link:
        link.sendall(request("content-length: 5000") + b"x" * 4_000)
        link.shutdown(socket.SHUT_WR)
        status, body = answered(link)
        assert status in (0, 400)  # it may also say nothing: who lies is perhaps not there to listen
        assert status == 0 or json.loads(body)["code"] == "upload_broken"


def test_a_length_that_is_shorter_than_the_form(program: Program) -> None:
    data = (
        b'--xx\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
        + b"x" * 5_000
        + b"\r\n--xx--\r\n"
    )
    with connection(program) as link:
        link.sendall(
            request("content-length: 2000\r\nconnection: close", "multipart/form-data; boundary=xx") + data[:2_000]
        )
        status, body = answered(link)
    assert status == 400
    assert json.loads(body)["code"] == "upload_broken"


@pytest.mark.parametrize("length", ["-1", "many", "1e3", "10\r\ncontent-length: 20"])
def test_a_length_that_is_none(program: Program, length: str) -> None:
    with closing(connection(program)) as link:
        link.sendall(request(f"content-length: {length}") + b"x" * 10)
        status, _ = answered(link)
    assert status == 400


def test_a_length_beyond_all_bounds_is_refused_before_a_byte_is_sent(program: Program) -> None:
    with connection(program) as link:
        link.sendall(request(f"content-length: {10**17}\r\nconnection: close"))
        status, body = answered(link)
    assert status == 413
    assert json.loads(body)["code"] == "too_large"


def test_it_still_works(program: Program) -> None:
    """After all this the actors are those that were there at the beginning."""
    actors = {
        actor["name"]: (actor["state"], actor["generation"])
        for actor in program.client.get("/api/system").json()["actors"]
    }
    assert (actors["speech"], actors["media-1"]) == (("ready", 1), ("ready", 1))
    assert actors["connection"] == ("idle", 0)
    assert program.client.get("/api/health/ready").json() == {"ready": True, "problems": [], "warnings": []}
    assert program.rows("PRAGMA integrity_check") == [("ok",)]
