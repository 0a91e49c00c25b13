"""Requests to addresses that clients name go to permitted addresses only."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_service.core.address_policy import (
    NotAllowed,
    Unreachable,
    check_url,
    is_permitted,
    parse_networks,
    to_ascii,
)
from whisper_service.core.errors import InvalidConfig, InvalidRequest
from whisper_service.integrations import outbound_http

pytestmark = pytest.mark.anyio

INSIDE = [
    "127.0.0.1", "127.255.0.1", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.2.1", "198.18.0.1",
    "::1", "::", "fe80::1", "fc00::1", "ff02::1", "2001:db8::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:a00:1::1",
]  # fmt: skip
OUTSIDE = ["1.1.1.1", "93.184.215.14", "2606:4700:4700::1111", "64:ff9b::101:101", "::ffff:1.1.1.1"]


@pytest.mark.parametrize("address", INSIDE)
def test_addresses_inside_are_not_permitted(address: str) -> None:
    assert not is_permitted(ipaddress.ip_address(address), ())


@pytest.mark.parametrize("address", OUTSIDE)
def test_addresses_of_the_internet_are_permitted(address: str) -> None:
    assert is_permitted(ipaddress.ip_address(address), ())


def test_a_wrong_network_is_named_with_its_setting() -> None:
    assert parse_networks(["10.0.0.0/8", "::1"], "links.allowed_networks") == (
        ipaddress.ip_network("10.0.0.0/8"),
        ipaddress.ip_network("::1"),
    )
    with pytest.raises(InvalidConfig) as caught:
        parse_networks(["10.0.0.0/8", "10.0.0.1/8"], "links.allowed_networks")
    assert caught.value.message == "links.allowed_networks: “10.0.0.1/8” is not a network."


def test_only_the_allowed_networks_are_permitted_beside_the_internet() -> None:
    allowed = [ipaddress.ip_network("192.168.1.0/24"), ipaddress.ip_network("::1")]
    for address, good in {
        "192.168.1.9": True,
        "::ffff:192.168.1.9": True,
        "192.168.2.9": False,
        "::1": True,
        "127.0.0.1": False,
    }.items():
        assert is_permitted(ipaddress.ip_address(address), allowed) is good


@pytest.mark.parametrize(
    "url",
    [
        "", "example.com", "ftp://example.com", "file:///etc/passwd", "http://", "http:///x", "javascript:1",
        "//example.com", "http://user:word@example.com", "http://user@example.com", "http://example.com:99999",
        "http://[::1", "http://exa mple.com", "http://example.com/\n", "http://例え.jp",
        "http://example.com/" + "x" * 2000,
        "http://127.0.0.1/", "http://127.1/", "http://0x7f000001/", "http://2130706433/", "http://017700000001/",
        "http://0/", "http://[::1]/", "http://[::ffff:127.0.0.1]/", "http://[fe80::1%25eth0]/", "http://169.254.169.254/",
    ],
)  # fmt: skip
def test_addresses_that_are_refused_at_once(url: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_url(url, (), field="webhook", setting="webhooks.allowed_networks")
    assert caught.value.advice
    assert caught.value.params["field"] == "webhook"


@pytest.mark.parametrize(
    "url",
    ["https://example.com", "http://example.com:8080/a/b?c=d", "http://1.1.1.1/", "https://[2606:4700:4700::1111]/x"],
)
def test_addresses_that_are_accepted(url: str) -> None:
    check_url(url, (), field="url", setting="links.allowed_networks")


@pytest.mark.parametrize(
    ("pasted", "asked"),
    [
        (" https://example.com/a b.mp3\n", "https://example.com/a%20b.mp3"),
        ("http://例え.jp/录音.mp3?名=1#t=3", "http://xn--r8jz45g.jp/%E5%BD%95%E9%9F%B3.mp3?%E5%90%8D=1"),
        ("https://example.com:8443/a%20b.mp3?x=%2F&y=a+b", "https://example.com:8443/a%20b.mp3?x=%2F&y=a+b"),
        ("http://[2606:4700::1]:80/x", "http://[2606:4700::1]:80/x"),
        ("HTTP://Example.com/X", "http://example.com/X"),
        ("https://user:word@example.com/", "https://user:word@example.com/"),  # for `check` to refuse
        ("http://[::1", "http://[::1"),
    ],
)
def test_a_pasted_address_is_requested_in_ascii(pasted: str, asked: str) -> None:
    assert to_ascii(pasted) == asked
    assert to_ascii(to_ascii(pasted)) == asked


@given(st.text())
def test_no_text_breaks_the_check(text: str) -> None:
    for url in (text, f"http://{text}", f"http://example.com{text}"):
        try:
            check_url(url, (), field="url", setting="links.allowed_networks")
        except InvalidRequest:
            continue


async def test_a_name_that_resolves_to_an_address_inside_is_not_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as inside:
        inside.setblocking(False)
        port = inside.getsockname()[1]
        with pytest.raises(NotAllowed, match="localhost"):
            await outbound_http.post(f"http://localhost:{port}/", b"", {}, allowed=(), timeout_s=10)
        with pytest.raises(BlockingIOError):
            inside.accept()


async def test_the_address_that_was_checked_is_the_one_that_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A DNS that answers differently the second time is asked once."""
    answers = iter(["127.0.0.1", "127.0.0.2"])
    asked: list[str] = []

    async def resolve(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    monkeypatch.setattr(anyio, "getaddrinfo", resolve)
    with socket.create_server(("127.0.0.1", 0)) as first:
        first.listen()
        port = first.getsockname()[1]
        with pytest.raises(Unreachable, match="within"):
            await outbound_http.post(
                f"http://rebound.example:{port}/", b"", {}, allowed=[ipaddress.ip_network("127.0.0.1")], timeout_s=0.3
            )
        connection, _ = first.accept()
        connection.close()
    assert asked == ["rebound.example"]


@pytest.mark.parametrize("url", ["http://no-such-name.invalid/", f"http://{'a' * 64}.example/", "http://example..com/"])
async def test_names_that_do_not_resolve(url: str) -> None:
    with pytest.raises(Unreachable):
        await outbound_http.post(url, b"", {}, allowed=(), timeout_s=30)


async def test_a_receiver_that_does_not_speak_http() -> None:
    async def babble(stream: Any) -> None:
        async with stream:
            await stream.receive()
            await stream.send(b"220 mail.example ESMTP\r\n")

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, babble)
        with pytest.raises(Unreachable):
            await outbound_http.post(
                f"http://127.0.0.1:{port}/", b"x", {}, allowed=[ipaddress.ip_network("127.0.0.1")], timeout_s=10
            )
        tasks.cancel_scope.cancel()
    await listener.aclose()
