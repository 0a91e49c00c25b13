"""What can go wrong with a recording on a web page: one code for each case, with message and hint.

yt-dlp has no codes. The texts of its errors, and those of the sites that it repeats, are matched with patterns. Pure.
"""

from __future__ import annotations

import re
from typing import Any, Final

from whisper_service.core.domain import Problem

UPDATE: Final = 'pip install --upgrade "yt-dlp[default]"'
_SEND: Final = "Download the recording yourself and send the file."

CASES: Final[dict[str, tuple[str, str]]] = {
    "site_playlist": (
        "This web page has {count} recordings. One link is for one recording.",
        "Give the address of the page of one recording.",
    ),
    "site_live": (
        "This is a live stream, or one that has not begun.",
        "Wait until the site has the whole recording, then retry.",
    ),
    "site_too_long": (
        "The recording is {minutes} min long, more than the {limit} min that this service fetches from web pages.",
        "Download the recording, cut it, and send the part; or raise links.site_max_duration_s.",
    ),
    "site_too_large": (
        "The recording is larger than the {limit} MiB that this service fetches from web pages.",
        "Send a shorter or a compressed recording, or raise links.site_max_bytes and server.max_upload_bytes.",
    ),
    "site_age": ("The site shows this recording only after a check of the age.", _SEND),
    "site_robot": (
        "The site takes this machine for a robot, or got too many requests from it.",
        f"Wait some hours and retry. Or: {_SEND[0].lower()}{_SEND[1:]}",
    ),
    "site_private": ("The recording is private.", f"Ask its owner to share it. Or: {_SEND[0].lower()}{_SEND[1:]}"),
    "site_region": ("The site does not show this recording in the region of this machine.", _SEND),
    "site_login": (
        "The site shows this recording only to users who are logged in, or who pay.",
        f"The service has no accounts at sites. {_SEND}",
    ),
    "site_drm": ("The recording is encrypted (DRM), so it cannot be fetched.", "Choose another source."),
    "site_removed": ("The recording is not there any more, or never was.", "Check the address in a browser."),
    "site_unsupported": (
        "No recording was found on this web page.",
        f"Give the address of the audio or video file itself. Or update yt-dlp, which knows the sites: {UPDATE}",
    ),
    "site_failed": (
        "The recording on this web page could not be fetched: {detail}.",
        f"Sites change often. Update yt-dlp and restart the service: {UPDATE}",
    ),
}
"""Code -> message and hint. The names in braces are the `params` of the problem."""

_NETWORK: Final = "network"
_PATTERNS: Final = tuple(
    (code, re.compile(pattern, re.IGNORECASE))
    for code, pattern in (
        (_NETWORK, r"HTTP Error (408|5\d\d)"),
        ("site_age", r"confirm your age|age.?(restrict|limit|verif|gate)|inappropriate for some users"),
        ("site_robot", r"not a (ro)?bot|captcha|cloudflare|rate.?limit|too many requests|HTTP Error 429"),
        ("site_private", r"\bprivate\b|protected (tweet|post|account)"),
        ("site_region", r"geo.?(restrict|block)|your (country|region|location|area)"),
        ("site_drm", r"\bDRM\b"),
        ("site_removed", r"terminated|removed|deleted|no longer"),
        (
            "site_live",
            r"(live( ?stream| event| broadcast)?|premiere)s?\b.{0,40}\b(begin|start|offline|not (yet|currently))"
            r"|premieres? in\b|not currently live|not (yet )?started",
        ),
        (
            "site_login",
            r"log(ged)? ?in\b|sign(ed)? ?in\b|registered users|members?.only|channel's members|premium"
            r"|subscri(be|ption)|\b(paid|purchase|rent|account|password)\b|--cookies|--username|HTTP Error 40[13]",
        ),
        ("site_removed", r"not exist|not found|expired|unavailable|HTTP Error (404|410)"),
        (
            "site_unsupported",
            r"Unsupported URL|no (supported )?(video|audio|media|formats|playable)|not have a video"
            r"|formats? (is|are) not available|Unable to extract video (URL|ID)",
        ),
        (
            _NETWORK,
            r"timed? ?out|connection|getaddrinfo|name resolution|name or service|network is|SSL|certificate"
            r"|IncompleteRead|more expected|Remote end closed|unreachable|Downloaded \d+ bytes, expected",
        ),
    )
)
"""The first pattern that matches wins: a text about the age also names the login."""
_NOISE: Final = re.compile(
    r"^ERROR:\s*|\bGot error:\s*|\.? Giving up after \d+ \w+|\[[\w:+]+\]\s*|;? please report this issue on .*"
    r"|\s*\(caused by .*|\.?\s*(Use|See) --?.*|\x1b\[[\d;]*m",
    re.IGNORECASE | re.DOTALL,
)
MAX_DETAIL: Final = 200
"""Characters of an unknown error that are shown."""


def problem(code: str, **params: Any) -> Problem:
    """Return the problem of this code. `params` fill its message."""
    message, hint = CASES[code]
    return Problem(code=code, message=message.format_map(params), hint=hint, params=params)


def explain(text: str) -> tuple[Problem | None, str]:
    """Return the problem that an error text of yt-dlp tells, and the text without what only helps its developers.

    None instead of a problem: the network failed, so another attempt may succeed.
    """
    shown = _NOISE.sub("", text).strip().rstrip(".")[:MAX_DETAIL] or "no reason was given"
    code = next((code for code, pattern in _PATTERNS if pattern.search(text)), "site_failed")
    return None if code == _NETWORK else problem(code, detail=shown), shown
