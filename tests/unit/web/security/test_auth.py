"""Tokens, sessions and wrong tokens, without a network."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_service.config.schema import Config, SecuritySettings, ServerSettings
from whisper_service.config.tokens import check_access, is_local, read_tokens
from whisper_service.core.errors import InvalidConfig, TokenRequired, TooManyTries, Unauthorized
from whisper_service.web.security import auth
from whisper_service.web.security.auth import COOKIE, MAX_WRONG, SESSION_S, WINDOW_S, Access, LoginLimit, Tokens

TOKEN = "correct-horse-battery-staple"
OTHER = "incorrect-horse-battery-staple"


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


# -- tokens ----------------------------------------------------------------------------------------------------------


def test_tokens_come_from_the_setting_and_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"# of the living room\n\n{OTHER}\n  {TOKEN}-2  \n")
    both = SecuritySettings(token=TOKEN, token_file=str(file))
    assert read_tokens(both) == (TOKEN, OTHER, f"{TOKEN}-2")
    assert read_tokens(SecuritySettings()) == ()


@pytest.mark.parametrize(
    "token",
    [
        "short",
        "fifteen-letters",
        "has a space in it, too",
        "tab\tin-a-long-token",
        "中文字符中文字符中文字符中文字符",
        "control\x01character-",
    ],
)
def test_a_token_that_cannot_serve_is_refused_and_not_quoted(tmp_path: Path, token: str) -> None:
    file = tmp_path / "tokens"
    file.write_text(token)
    for security in (SecuritySettings(token=token), SecuritySettings(token_file=str(file))):
        with pytest.raises(InvalidConfig) as caught:
            read_tokens(security)
        assert token not in str(caught.value.problem)
        assert "secrets.token_urlsafe" in caught.value.advice


@pytest.mark.parametrize("content", [None, b"", b"# nothing\n\n", b"\xff\xfe\xff"])
def test_a_file_without_a_token_is_explained(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "tokens"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InvalidConfig, match="tokens") as caught:
        read_tokens(SecuritySettings(token_file=str(file)))
    assert caught.value.advice


# -- start -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.8.8", "LOCALHOST"])
def test_for_this_machine_alone_no_token_is_needed(host: str) -> None:
    check_access(Config(server=ServerSettings(host=host)))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1", "whisper.example.org"])
def test_for_others_a_token_or_an_explicit_word_is_needed(host: str) -> None:
    with pytest.raises(TokenRequired) as caught:
        check_access(Config(server=ServerSettings(host=host)))
    assert "security.token" in caught.value.advice
    check_access(Config(server=ServerSettings(host=host), security=SecuritySettings(token=TOKEN)))
    check_access(Config(server=ServerSettings(host=host), security=SecuritySettings(open=True)))


@pytest.mark.parametrize("proxy", ["proxy", "10.0.0.0/33", "10.0.0.1/8", "", "*"])
def test_a_proxy_that_is_no_address_is_refused_by_name(proxy: str) -> None:
    with pytest.raises(InvalidConfig, match="trusted_proxies"):
        check_access(Config(security=SecuritySettings(trusted_proxies=("127.0.0.1", proxy))))
    check_access(Config(security=SecuritySettings(trusted_proxies=("127.0.0.1", "::1", "172.16.0.0/12"))))


@pytest.mark.parametrize(
    "name", ["https://whisper.example.org", "whisper.example.org:8443", "a b", "", "*example.org", "2001:db8::1"]
)
def test_a_name_that_no_host_has_is_refused(name: str) -> None:
    with pytest.raises(InvalidConfig, match="allowed_hosts"):
        check_access(Config(security=SecuritySettings(allowed_hosts=("whisper.example.org", name))))
    check_access(
        Config(
            security=SecuritySettings(allowed_hosts=("whisper.example.org", "*.lan", "*", "[2001:db8::1]", "my_host."))
        )
    )


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost.", True),
        ("[::1]", True),
        ("127.0.0.1.", True),
        ("0.0.0.0", False),
        ("localhost.evil.example", False),
        ("", False),
    ],
)
def test_what_means_this_machine(host: str, local: bool) -> None:
    assert is_local(host) is local


# -- sessions --------------------------------------------------------------------------------------------------------


def test_only_the_whole_token_fits() -> None:
    tokens = Tokens([TOKEN, OTHER])
    assert tokens.accept(TOKEN)
    assert tokens.accept(OTHER)
    for wrong in ("", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), " " + TOKEN, TOKEN + "\0", "\udcff"):
        assert not tokens.accept(wrong)
    assert not Tokens([]).accept("")


def test_a_session_lasts_until_its_time_and_no_longer_than_its_token() -> None:
    clock = Clock()
    tokens = Tokens([TOKEN, OTHER], clock)
    session = tokens.new_session(OTHER)
    assert tokens.accept_session(session)
    assert session != tokens.new_session(OTHER), "each is its own"
    assert OTHER not in session
    assert Tokens([OTHER], clock).accept_session(session), "of the service after a restart"
    assert not Tokens([TOKEN], clock).accept_session(session), "the token was taken away"
    clock.now += SESSION_S - 1
    assert tokens.accept_session(session)
    clock.now += 1
    assert not tokens.accept_session(session)


@given(st.text())
def test_no_session_can_be_made_up(cookie: str) -> None:
    assert not Tokens([TOKEN]).accept_session(cookie)


@given(st.data())
def test_a_session_with_one_character_changed_is_none(data: st.DataObject) -> None:
    tokens = Tokens([TOKEN], Clock())
    session = tokens.new_session(TOKEN)
    at = data.draw(st.integers(0, len(session) - 1))
    other = data.draw(st.characters().filter(lambda character: character != session[at]))
    assert not tokens.accept_session(session[:at] + other + session[at + 1 :])


# -- wrong tokens ----------------------------------------------------------------------------------------------------


def test_who_guesses_has_to_wait() -> None:
    clock = Clock()
    limit = LoginLimit(clock)
    for number in range(MAX_WRONG):
        limit.check("192.0.2.1")
        limit.add("192.0.2.1", f"guess {number}")
        clock.now += 1
    with pytest.raises(TooManyTries) as caught:
        limit.check("192.0.2.1")
    assert caught.value.params["retry_after_s"] == WINDOW_S - MAX_WRONG
    limit.check("192.0.2.2")  # another address is not to blame
    clock.now += WINDOW_S - MAX_WRONG
    limit.check("192.0.2.1")


def test_the_same_wrong_token_again_and_again_locks_nobody_out() -> None:
    limit = LoginLimit(Clock())
    for _ in range(10 * MAX_WRONG):
        limit.add("192.0.2.1", "of last year")
        limit.check("192.0.2.1")


def test_a_subscriber_with_many_addresses_counts_as_one() -> None:
    limit = LoginLimit(Clock())
    for number in range(MAX_WRONG):
        limit.add(f"2001:db8::{number:x}", f"guess {number}")
    with pytest.raises(TooManyTries):
        limit.check("2001:db8::ffff")
    limit.check("2001:db8:0:1::1")


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "MAX_ADDRESSES", 100)
    limit = LoginLimit(Clock())
    for number in range(1000):
        limit.add(f"192.0.{number // 256}.{number % 256}", "guess")
    assert len(limit._wrong) == 100


# -- access ----------------------------------------------------------------------------------------------------------


def test_without_tokens_every_request_passes() -> None:
    Access(Tokens([])).check("192.0.2.1", [], [])


@pytest.mark.parametrize("authorization", [f"Bearer {TOKEN}", f"bearer  {TOKEN} ", f"BEARER {TOKEN}"])
def test_the_token_passes(authorization: str) -> None:
    Access(Tokens([TOKEN])).check("192.0.2.1", [authorization], [])


@pytest.mark.parametrize(
    "authorization",
    [
        [],
        [""],
        ["Bearer"],
        ["Bearer "],
        [TOKEN],
        [f"Bearer {TOKEN[:-1]}"],
        [f"Bearer {TOKEN}x"],
        [f"Basic {TOKEN}"],
        ["Basic Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5LXN0YXBsZTo="],
        [f"Bearer {TOKEN}", f"Bearer {TOKEN}"],
        [f"Bearer {TOKEN}, Bearer {TOKEN}"],
    ],
)
def test_nothing_else_passes(authorization: list[str]) -> None:
    with pytest.raises(Unauthorized):
        Access(Tokens([TOKEN])).check("192.0.2.1", authorization, [])


def test_a_session_passes_among_other_cookies() -> None:
    tokens = Tokens([TOKEN])
    session = tokens.new_session(TOKEN)
    access = Access(tokens)
    access.check("", [], [f'a="b; c"; {COOKIE}=old; {COOKIE}={session}; d'])
    access.check("", [], ["theme=dark", f"{COOKIE}={session}"])
    access.check("", ["Bearer wrong"], [f"{COOKIE}={session}"])
    for cookie in (
        f"x{COOKIE}={session}",
        f"{COOKIE}x={session}",
        f"{COOKIE}={session}x",
        f"{COOKIE} {session}",
        COOKIE,
    ):
        with pytest.raises(Unauthorized):
            access.check("", [], [cookie])


@given(st.lists(st.text(st.characters(max_codepoint=255))), st.lists(st.text(st.characters(max_codepoint=255))))
def test_whatever_is_sent_the_answer_is_no(authorization: list[str], cookies: list[str]) -> None:
    with pytest.raises((Unauthorized, TooManyTries)):
        Access(Tokens([TOKEN])).check("192.0.2.1", authorization, cookies)


def test_wrong_tokens_are_logged_once_and_never_quoted(caplog: pytest.LogCaptureFixture) -> None:
    access = Access(Tokens([TOKEN]))
    with caplog.at_level(logging.DEBUG):
        for _ in range(3):
            with pytest.raises(Unauthorized):
                access.check("192.0.2.1", [f"Bearer {OTHER}"], [])
        access.check("192.0.2.1", [f"Bearer {TOKEN}"], [])
    assert len(caplog.records) == 1
    assert "192.0.2.1" in caplog.text
    assert OTHER not in caplog.text
    assert TOKEN not in caplog.text
