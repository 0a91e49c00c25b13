"""The HTTP of links: the headers of a request for a recording, and what an answer means. Pure."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote_to_bytes, urlsplit

from whisper_service import __version__
from whisper_service.core.domain import LinkOrigin
from whisper_service.core.errors import LinkFailed, WebPage
from whisper_service.core.file_names import decode_name, disposition_parameters
from whisper_service.core.identifiers import clean_name

RANGE_NOT_SATISFIABLE: Final = 416
"""The requested range begins at the end of the recording."""
_PAGES: Final = ("text/html", "application/xhtml+xml")
_LISTS: Final = (
    "application/rss+xml", "application/atom+xml", "application/dash+xml", "application/vnd.apple.mpegurl",
    "application/x-mpegurl", "application/xml", "audio/mpegurl", "audio/x-mpegurl", "text/xml",
)  # fmt: skip
"""Feeds, and lists of the pieces of a recording: yt-dlp follows them."""
_UNWELCOME: Final = (401, 403, 406, 429)
"""How some sites answer programs. yt-dlp asks like a browser."""


class LinkUnavailable(Exception):
    """This attempt failed; another one may succeed. The text says why."""


def name_from_url(url: str) -> str:
    """Return the name that an address gives to its recording."""
    parts = urlsplit(url)
    return clean_name(decode_name(unquote_to_bytes(parts.path.rstrip("/").rpartition("/")[2])) or parts.hostname or "")


def name_from_title(title: str) -> str:
    """Return the name that the title of a web page gives to its recording."""
    return clean_name(re.sub(r"\s*[/\\]\s*", "-", " ".join(title.split())))


def link_failed(reason: str, hint: str | None = None) -> LinkFailed:
    return LinkFailed(f"The link could not be fetched: {reason}.", hint=hint)


def request_headers(origin: LinkOrigin, have: int) -> dict[str, str]:
    """Return the headers of a request for the rest of a recording of which `have` bytes are stored."""
    headers = {
        "user-agent": f"whisper_service/{__version__}",
        "accept": "audio/*, video/*, */*;q=0.5",
        "accept-encoding": "identity",
    }
    return headers | {"range": f"bytes={have}-", "if-range": origin.mark} if have else headers


def check_answer(status: int, headers: dict[str, str], *, sites: bool = False) -> None:
    """Raise `LinkUnavailable` or `LinkFailed` unless the answer is a recording, a part of it, or its end.

    Raise `WebPage` if the recording must be looked for behind the answer. `sites`: yt-dlp can do that.
    """
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    match status:
        case 200 if kind in _PAGES or (sites and kind in _LISTS):
            raise WebPage
        case _ if sites and status in _UNWELCOME and kind in _PAGES:
            raise WebPage
        case 200 | 206 | 416:
            return
        case 401 | 403:
            hint = "The server may require a login. Download the file yourself and send it."
            raise link_failed(f"the server refuses access ({status})", hint)
        case 404 | 410:
            raise link_failed(f"there is nothing at this address ({status})")
        case 408 | 425 | 429 | 500 | 502 | 503 | 504:
            raise LinkUnavailable(f"the server cannot answer now ({status})")
        case _:
            raise link_failed(f"the server answers with status {status}")


def start_of(status: int, headers: dict[str, str], have: int) -> int | None:
    """Return where in the recording the answer begins. None: the answer does not fit the `have` stored bytes."""
    content_range = headers.get("content-range", "")
    match status:
        case 200:
            return 0
        case 206:
            return have if content_range.startswith(f"bytes {have}-") else None
        case _:
            return have if have and content_range == f"bytes */{have}" else None


def mark_in(headers: dict[str, str]) -> str:
    """Return a value for `If-Range`: a strong tag or a date (RFC 9110, 13.1.5)."""
    tag = headers.get("etag", "")
    return tag if tag.startswith('"') else headers.get("last-modified", "")


def name_in(headers: dict[str, str]) -> str:
    """Return the file name in a Content-Disposition header (RFC 6266), or an empty text."""
    header = headers.get("content-disposition", "")
    name = disposition_parameters(header.encode("latin-1", "replace")).get("filename", "")
    return clean_name(name) if name else ""
