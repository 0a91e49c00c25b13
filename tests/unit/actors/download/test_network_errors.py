"""From an exception to the case behind it, and no secret on the way."""

from __future__ import annotations

import errno
import re
import socket
import ssl
import string
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from testkit.repository import DOCS
from whisper_service.actors.download import network_errors
from whisper_service.actors.download.hub_problems import CASES, HubError, problem
from whisper_service.actors.download.network_errors import explain
from whisper_service.core.domain import Problem

DOC = (DOCS / "models.md").read_text("utf-8")
HUB = "https://hub.example"
PROXY = "http://name:pass-word@proxy.example:3128"
FILL = {field: "x" for message, _ in CASES.values() for _, field, _, _ in string.Formatter().parse(message) if field}


class ConnectError(Exception):
    """As the HTTP libraries call it; which one the hub's library uses has changed before."""


def raised(outer: BaseException, *inner: BaseException) -> BaseException:
    """`outer`, raised from the next, raised from the next ..."""
    current = outer
    for cause in inner:
        current.__cause__ = cause
        current = cause
    return outer


def case(
    error: BaseException, *, proxy: str | None = None, endpoint: str = HUB, connected: bool = True, **more: Any
) -> Problem:
    return explain(error, endpoint=endpoint, proxy=proxy, repo="acme/model", connected=lambda: connected, **more)


LOOKUP = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
CHAINS = [
    (raised(ConnectError("x"), LOOKUP), "name_not_resolved"),
    (
        raised(ConnectError("x"), socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")),
        "name_not_resolved",
    ),
    (raised(ConnectError("x"), ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")), "connection_refused"),
    (raised(ConnectError("x"), OSError(errno.ENETUNREACH, "Network is unreachable")), "unreachable"),
    (raised(ConnectError("x"), OSError(errno.EHOSTUNREACH, "No route to host")), "unreachable"),
    (raised(ConnectError("x"), ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")), "unreachable"),
    (raised(ConnectError("x"), TimeoutError(errno.ETIMEDOUT, "Connection timed out")), "timeout"),
    (httpx.ConnectTimeout("timed out"), "timeout"),
    (raised(httpx.ReadTimeout("timed out"), TimeoutError("timed out")), "timeout"),
    (raised(ConnectError("x"), ssl.SSLCertVerificationError(1, "certificate verify failed")), "tls_not_trusted"),
    (raised(ConnectError("x"), ssl.SSLError(1, "wrong version number")), "not_a_hub"),
    (httpx.RemoteProtocolError("peer closed connection without sending complete message body"), "cut_off"),
    (raised(httpx.ReadError("x"), ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")), "cut_off"),
    (OSError("Consistency check failed: file should be of size 2 but has size 1"), "cut_off"),
    (httpx.ProxyError("407 Proxy Authentication Required"), "proxy_password"),
    (httpx.ProxyError("403 Forbidden"), "proxy_refused"),
    (ImportError("Using SOCKS proxy, but the 'socksio' package is not installed."), "proxy_invalid"),
    (PermissionError(errno.EACCES, "Permission denied", "/models/.x.partial"), "not_writable"),
    (OSError(errno.EROFS, "Read-only file system", "/models/.x.partial"), "not_writable"),
    (httpx.TooManyRedirects("x"), "not_a_hub"),
    (KeyError("something odd"), "download_failed"),
]


@pytest.mark.parametrize(("error", "code"), CHAINS, ids=[f"{code}-{number}" for number, (_, code) in enumerate(CHAINS)])
def test_the_case_behind_an_exception(error: BaseException, code: str) -> None:
    found = case(error)
    assert found.code == code
    assert "hub.example" in found.message or code in {"proxy_invalid", "proxy_password", "not_writable"}
    assert found.params["repo"] == "acme/model"


@pytest.mark.parametrize("cause", [LOOKUP, OSError(errno.ENETUNREACH, "Network is unreachable")])
def test_without_a_network_that_is_said_and_not_what_follows_from_it(cause: OSError) -> None:
    error = raised(ConnectError("x"), cause)
    assert case(error, connected=False).code == "no_network"
    assert case(error, connected=False, proxy=PROXY).code == "no_network"
    assert case(error, connected=False, endpoint="http://localhost:1").code != "no_network", (
        "this machine is always there"
    )


@pytest.mark.parametrize(
    ("error", "code"),
    [pair for pair in CHAINS if pair[1] in {"name_not_resolved", "connection_refused", "unreachable"}],
)
def test_with_a_proxy_it_is_the_proxy_that_cannot_be_reached(error: BaseException, code: str) -> None:
    found = case(error, proxy=PROXY)
    assert found.code == "proxy_refused"
    assert "proxy.example:3128" in found.message
    assert "pass-word" not in repr(found)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, "token_refused"),
        (403, "access_denied"),
        (404, "repo_not_found"),
        (407, "proxy_password"),
        (429, "rate_limited"),
        (500, "server_error"),
        (502, "server_error"),
        (504, "server_error"),
        (418, "download_failed"),
    ],
)
def test_what_a_hub_answers(status: int, code: str) -> None:
    request = httpx.Request("GET", "https://storage.example/file?signature=abc")
    error = httpx.HTTPStatusError("no", request=request, response=httpx.Response(status, request=request))
    found = case(raised(FileNotFoundError("not here"), error), proxy=PROXY if status == 407 else None)
    assert found.code == code
    assert found.params["host"] == "storage.example", "the host that said so"
    assert found.params["endpoint"] == HUB


def test_a_case_that_is_known_stays_what_it_is() -> None:
    known = problem("not_a_model", repo="a/b", missing="model.bin")
    assert case(raised(RuntimeError("x"), HubError(known))) is known


def test_a_full_disk_is_seen_below_other_exceptions() -> None:
    assert network_errors.disk_is_full(raised(RuntimeError("x"), OSError(errno.ENOSPC, "No space left on device")))
    assert not network_errors.disk_is_full(OSError(errno.EACCES, "Permission denied"))


# -- secrets -----------------------------------------------------------------------------------------------------------

SECRET = st.text("abcdefghXYZ0123456789-._~", min_size=8, max_size=30)


@given(SECRET, SECRET, SECRET)
def test_no_secret_comes_through(token: str, password: str, name: str) -> None:
    proxy, endpoint = (
        f"http://{name}:{password}@proxy.example",
        f"https://{name}:{password}@hub.example/path/?sig={token}",
    )
    text = f"GET {endpoint} through {proxy} with Bearer {token} failed, {password}"
    secrets = network_errors.secrets_of(token, proxy, endpoint, None)
    for shown in (
        network_errors.redact(text, secrets),
        repr(case(ValueError(text), proxy=proxy, endpoint=endpoint, secrets=secrets)),
    ):
        assert token not in shown
        assert password not in shown


def test_a_password_in_percents_is_known_in_both_spellings() -> None:
    assert network_errors.secrets_of(None, "http://name:p%40ss@proxy") == {"p%40ss", "p@ss"}
    assert network_errors.secrets_of(None, "http://only-a-token@hub") == {"only-a-token"}
    assert network_errors.secrets_of(None, "http://hub", None) == set()


@pytest.mark.parametrize(
    ("address", "host", "public"),
    [
        ("https://hub.example", "hub.example", "https://hub.example"),
        ("http://u:p@hub:8080/x/", "hub:8080", "http://hub:8080/x"),
        ("proxy:3128", "proxy:3128", "proxy:3128"),
        ("http://[::1]:80", "[::1]:80", "http://[::1]:80"),
    ],
)
def test_an_address_for_people(address: str, host: str, public: str) -> None:
    assert network_errors.host_of(address) == host
    assert network_errors.public(address) == public


@pytest.mark.parametrize(
    ("host", "local"),
    [("localhost:80", True), ("127.0.0.1", True), ("[::1]:8000", True), ("hub.example", False), ("10.0.0.1:1", False)],
)
def test_this_machine_needs_no_network(host: str, local: bool) -> None:
    assert network_errors.is_local(host) is local


def test_which_proxy_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    assert network_errors.proxy_for(HUB, None) is None
    monkeypatch.setenv("https_proxy", "http://environment")
    monkeypatch.setenv("no_proxy", "inside.example")
    assert network_errors.proxy_for(HUB, None) == "http://environment"
    assert network_errors.proxy_for("http://hub.example", None) is None
    assert network_errors.proxy_for(HUB, "http://configured") == "http://configured"
    assert network_errors.proxy_for("https://inside.example", None) is None
    assert network_errors.proxy_for("https://inside.example", "http://configured") is None


# -- the table ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", CASES)
def test_every_case_has_words_and_a_cure(code: str) -> None:
    found = problem(code, **FILL)
    assert re.fullmatch(r"[a-z_]+", code)
    assert found.message.endswith(".")
    assert found.hint.endswith(".")
    assert "{" not in found.message + found.hint


@pytest.mark.parametrize("code", CASES)
def test_every_case_is_explained_in_both_languages(code: str) -> None:
    rows = [line for line in DOC.splitlines() if line.startswith(f"| `{code}` |")]
    assert len(rows) == 1
    cells = rows[0].strip("| ").split(" | ")[1:]
    assert len(cells) == 4, "cause and cure in English, cause and cure in Chinese"
    assert all(re.search("[一-鿿]", cell) for cell in cells[2:])
    assert not any(re.search("[一-鿿]", cell) for cell in cells[:2])


def test_the_table_of_the_docs_has_no_code_that_is_gone() -> None:
    section = DOC.partition("## When a download fails")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `([a-z_]+)` \|", section, re.MULTILINE)) == set(CASES)
