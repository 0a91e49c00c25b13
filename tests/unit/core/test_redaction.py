"""Known and probable secrets are removed, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_service.core.redaction import HIDDEN, redact


@given(st.text(max_size=50), st.text(min_size=4, max_size=30), st.text(max_size=50))
def test_a_known_secret_is_gone(before: str, secret: str, after: str) -> None:
    if secret not in HIDDEN * 3 and HIDDEN not in secret and "*" not in secret:
        assert secret not in redact(before.replace("*", "") + secret + after.replace("*", ""), [secret, "", "abc"])


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("token hf_abcdefghijkl used", f"token {HIDDEN} used"),
        ("Authorization: Bearer abcdefgh12345", f"Authorization: Bearer {HIDDEN}"),
        ("via http://me:pa55@proxy:3128/", f"via http://{HIDDEN}@proxy:3128/"),
        ("via http://:pa55@proxy", f"via http://{HIDDEN}@proxy"),
        ("Cookie: session=abc; x=y\nnext", f"Cookie: {HIDDEN}\nnext"),
        ("https://huggingface.co/api/models", "https://huggingface.co/api/models"),
        ("the token is missing", "the token is missing"),
        ("12:00:01 info speech started", "12:00:01 info speech started"),
    ],
)
def test_what_looks_like_a_secret_is_hidden_and_nothing_else(text: str, clean: str) -> None:
    assert redact(text, ()) == clean


def test_longer_secrets_first() -> None:
    assert redact("abcd-efgh", ["abcd", "abcd-efgh"]) == HIDDEN
