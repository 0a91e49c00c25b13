"""The guard, the page, the documentation and health."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import anyio
import pytest

from testkit.service import Running
from whisper_service.app.service import Readiness
from whisper_service.config.load import resource
from whisper_service.core.domain import Problem
from whisper_service.web import page
from whisper_service.web.app import openapi_json

pytestmark = pytest.mark.anyio


async def raw(web: Running, request: str) -> bytes:
    """Return the answer to bytes that no well-behaved client sends."""
    host, _, port = web.url.removeprefix("http://").partition(":")
    async with await anyio.connect_tcp(host, int(port)) as stream:
        await stream.send(request.encode())
        return await stream.receive()


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example:80",
        "",
        "user@127.0.0.1",
        "127.0.0.1:99999999",
        "127.0.0.1:x",
        "[::1",
        "a b",
        "0.0.0.0",
    ],
)
async def test_foreign_names_are_not_answered(web: Running, host: str) -> None:
    answer = await raw(web, f"GET /api/system HTTP/1.1\r\nhost: {host}\r\n\r\n")
    assert int(answer.split()[1]) in (400, 421), answer
    assert b"disk_free" not in answer


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:65535", "127.8.9.1", "[::1]:9", "[::1]"])
async def test_own_names_are_answered(web: Running, host: str) -> None:
    answer = await raw(web, f"GET /api/health/live HTTP/1.1\r\nhost: {host}\r\nx-forwarded-host: evil.example\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 "), answer


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 202),
        ({"sec-fetch-site": "same-origin"}, 202),
        ({"sec-fetch-site": "none"}, 202),
        ({"sec-fetch-mode": "cors"}, 202),
        ({"origin": "SELF"}, 202),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "http://evil.example", "sec-fetch-site": "cross-site"}, 403),
        ({"origin": "http://evil.example", "sec-fetch-site": "none"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "file://"}, 403),
        ({"origin": "http://127.0.0.1:1"}, 403),
    ],
)
async def test_pages_of_other_sites_change_nothing(web: Running, headers: dict[str, str], status: int) -> None:
    headers = {name: web.url if value == "SELF" else value for name, value in headers.items()}
    answer = await web.client.post("/api/jobs", files={"file": ("a.wav", b"{}")}, headers=headers)
    assert answer.status_code == status
    assert "access-control-allow-origin" not in answer.headers
    if status == 403:
        assert answer.json()["code"] == "cross_site"
        assert answer.json()["hint"]
        assert not list(web.service.uploads.root.iterdir())


@pytest.mark.parametrize("path", ["/", "/api/state", "/schema", "/nope", "/static/app.css"])
async def test_browsers_are_kept_strict_everywhere(web: Running, path: str) -> None:
    answer = await web.client.get(path, headers={"origin": "http://evil.example"})
    policy = answer.headers["content-security-policy"]
    for rule in (
        "default-src 'self'",
        "object-src 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "form-action 'self'",
    ):
        assert rule in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "access-control-allow-origin" not in answer.headers
    assert "server" not in answer.headers


@pytest.mark.parametrize("path", ["/", "/schema"])
async def test_pages_fit_the_policy(web: Running, path: str) -> None:
    page = (await web.client.get(path)).text
    assert "<script>" not in page
    assert "style=" not in page
    assert "<style" not in page
    assert "onclick" not in page
    assert "//" not in page.replace("<!doctype html>", ""), "nothing comes from anywhere else"


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Yield a page like a built one, whether or not it was built on this machine."""
    static = tmp_path / "static"
    (static / "dist" / "assets").mkdir(parents=True)
    (static / "dist" / "index.html").write_text(
        '<!doctype html><script type="module" src="/static/dist/assets/index-1.js"></script>'
    )
    (static / "dist" / "assets" / "index-1.js").write_text("export {}")
    (static / "dist" / ".stamp").write_text("secret")
    (static / "src").mkdir()
    (static / "src" / "main.ts").write_text("secret")
    for name in ("index.html", "app.css", "icon.svg"):
        (static / name).write_bytes((resource("static") / name).read_bytes())
    monkeypatch.setattr(page, "resource", lambda name: tmp_path / name)
    return static


async def test_every_address_of_the_page_is_the_page(built: Path, web: Running) -> None:
    first = await web.client.get("/")
    assert first.status_code == 200
    assert first.headers["content-type"] == "text/html; charset=utf-8"
    assert first.headers["cache-control"] == "no-cache"
    policy = first.headers.get_list("content-security-policy")
    assert policy == [page.POLICY], "two policies would both have to be met"
    for rule in ("media-src 'self' blob:", "require-trusted-types-for 'script'", "trusted-types vue hub"):
        assert rule in page.POLICY
    for path in ("/t/01abc", "/models", "/system", "/settings", "/record", "/captions", "/captions/01abc"):
        assert (await web.client.get(path)).content == first.content
    head = await web.client.head("/t/01abc")
    assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", first.headers["etag"])
    again = await web.client.get("/", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert "content-security-policy" in again.headers
    assert (await web.client.get("/api/nope")).status_code == 404
    assert (await web.client.post("/")).status_code == 405


async def test_built_assets_are_kept_for_ever_and_nothing_else_of_the_sources_is_handed_out(
    built: Path, web: Running
) -> None:
    script = await web.client.get("/static/dist/assets/index-1.js")
    assert script.text == "export {}"
    assert script.headers["content-type"] == "text/javascript; charset=utf-8"
    assert script.headers["cache-control"] == "public, max-age=31536000, immutable"
    style = await web.client.get("/static/app.css")
    assert style.content == (built / "app.css").read_bytes()
    assert style.headers["cache-control"] == "no-cache"
    (built.parent / "outside").write_text("secret")
    (built / "dist" / "assets" / "link").symlink_to(built.parent / "outside")
    for path in (
        "src/main.ts",
        "dist/.stamp",
        "dist/../src/main.ts",
        "dist/%2e%2e/src/main.ts",
        "dist",
        "dist/assets",
        "dist/assets/link",
        "",
        "..%2foutside",
    ):
        answer = await raw(web, f"GET /static/{path} HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 404 "), path
        assert b"secret" not in answer


async def test_the_page_finds_its_parts_below_a_root_path(built: Path, web: Running) -> None:
    class Asked:
        scope: ClassVar = {"root_path": "/whisper"}

    answer = await page.show_page(Asked(), web.service)  # type: ignore[arg-type]
    assert b'src="/whisper/static/dist/assets/index-1.js"' in answer.source  # type: ignore[attr-defined]


async def test_without_the_built_page_a_plain_one_says_how_to_get_it(built: Path, web: Running) -> None:
    assert page.missing_page() is None
    version = page.ui_version()
    assert version
    (built / "dist" / "index.html").write_text("another build")
    assert page.ui_version() not in (version, None)
    (built / "dist" / "index.html").unlink()
    assert page.ui_version() is None
    assert "npm" in (page.missing_page() or "")
    for path in ("/", "/t/01abc"):
        plain = await web.client.get(path)
        assert plain.status_code == 200
        assert "Node 20" in plain.text
        assert "没有构建网页界面" in plain.text
        assert "<script" not in plain.text
    form = {"file": ("a.wav", b"{}", "audio/wav")}
    assert 'name="file"' in plain.text
    assert (
        await web.client.post("/api/jobs", files=form, headers={"sec-fetch-site": "same-origin"})
    ).status_code == 202


async def test_the_documentation_needs_no_network(web: Running) -> None:
    document = await web.client.get("/schema/openapi.json")
    assert document.status_code == 200
    assert document.content == openapi_json()
    page = (await web.client.get("/schema")).text
    assert len(document.json()["paths"]) > 30
    for path, item in document.json()["paths"].items():
        for method in item:
            assert f"{method.upper()} {path}" in page
    for name in document.json()["components"]["schemas"]:
        assert f'id="{name}"' in page


async def test_state_is_jobs_system_and_a_place_in_the_log(web: Running) -> None:
    made = (await web.client.post("/api/jobs", files={"file": ("a.wav", b"{}")})).json()
    state = (await web.client.get("/api/state")).json()
    assert [job["id"] for job in state["jobs"]["jobs"]] == [made["id"]]
    assert sum(state["jobs"]["counts"].values()) == 1
    assert state["ui_version"] == page.ui_version()
    assert state["seq"] >= 1
    names = {actor["name"] for actor in state["system"]["actors"]}
    assert names == {"speech", "media-1", "live", "speakers", "download", "connection"}
    system = (await web.client.get("/api/system")).json()
    assert system.keys() == state["system"].keys()


async def test_a_reset_answers_with_the_system_and_is_for_our_own_page(web: Running) -> None:
    answer = await web.client.post("/api/system/reset")
    assert answer.status_code == 200
    assert answer.json().keys() == (await web.client.get("/api/system")).json().keys()
    other = await web.client.post("/api/system/reset", headers={"sec-fetch-site": "cross-site"})
    assert other.status_code == 403


async def test_health(web: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await web.client.get("/api/health/live")).status_code == 200
    problem = Problem("model_unavailable", "There is no model.", "Install one.")
    for readiness, status in [(Readiness(ready=True), 200), (Readiness(ready=False, problems=(problem,)), 503)]:
        monkeypatch.setattr(web.service, "readiness", lambda said=readiness: said)
        answer = await web.client.get("/api/health/ready")
        assert answer.status_code == status
        assert [p["code"] for p in answer.json()["problems"]] == [p.code for p in readiness.problems]
