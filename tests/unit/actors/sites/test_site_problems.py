"""Texts of yt-dlp's errors become problems with a cause and a cure."""

from __future__ import annotations

import pytest

from whisper_service.actors.sites.site_problems import CASES, explain, problem


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Sign in to confirm your age. This video may be inappropriate for some users.", "site_age"),
        ("Sign in to confirm you’re not a bot. Use --cookies for the authentication", "site_robot"),
        ("Unable to download API page: HTTP Error 429: Too Many Requests", "site_robot"),
        ("Private video. Sign in if you've been granted access to this video", "site_private"),
        ("You are not authorized to view this protected tweet", "site_private"),
        ("Join this channel to get access to members-only content like this video", "site_login"),
        ("This video is only available for registered users. Use --username and --password", "site_login"),
        ("Unable to download webpage: HTTP Error 403: Forbidden", "site_login"),
        ("Video unavailable. The uploader has not made this video available in your country", "site_region"),
        ("This video is not available from your location due to geo restriction", "site_region"),
        ("This video is no longer available because the account has been terminated", "site_removed"),
        ("Video unavailable. This video has been removed by the uploader", "site_removed"),
        ("Unable to download webpage: HTTP Error 404: Not Found", "site_removed"),
        ("This video is DRM protected", "site_drm"),
        ("This live event will begin in 3 hours.", "site_live"),
        ("Premieres in 5 hours", "site_live"),
        ("The channel is not currently live", "site_live"),
        ("Unsupported URL: https://a.example/", "site_unsupported"),
        ("No video could be found in this tweet", "site_unsupported"),
        ("Requested format is not available. Use --list-formats", "site_unsupported"),
        ("Unable to extract title; please report this issue on https://a.example/issues", "site_failed"),
        ("", "site_failed"),
    ],
)
def test_a_text_has_one_code(text: str, code: str) -> None:
    found, _ = explain(f"ERROR: [site:x] abc: {text}")
    assert found is not None
    assert found.code == code
    assert found.hint


@pytest.mark.parametrize(
    "text",
    [
        "Unable to download webpage: HTTP Error 503: Service Unavailable",
        "Unable to download webpage: The read operation timed out",
        "[Errno -3] Temporary failure in name resolution",
        "[Errno 111] Connection refused",
        "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed",
        "1024 bytes read, 2048 more expected",
    ],
)
def test_failures_of_the_network_are_tried_again(text: str) -> None:
    assert explain(text)[0] is None


def test_what_only_helps_the_makers_of_yt_dlp_is_left_out() -> None:
    text = (
        "ERROR: [vimeo] 12: Unable to find the moon (caused by KeyError('x')); please report this issue on  https://a"
    )
    found, shown = explain(text)
    assert shown == "12: Unable to find the moon"
    assert found is not None
    assert found.message == "The recording on this web page could not be fetched: 12: Unable to find the moon."
    assert explain("ERROR: x. Giving up after 3 retries")[1] == "x"


def test_every_message_can_be_filled() -> None:
    assert len(CASES) > 10
    for code in CASES:
        made = problem(code, count="3", minutes=3, limit=2, detail="x")
        assert made.message.endswith(".")
        assert "{" not in made.message + made.hint
