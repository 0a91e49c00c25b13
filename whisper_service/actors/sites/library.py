"""yt-dlp: the only module that knows it. It finds the recording of a web page and fetches it.

yt-dlp gets no cookies, no configuration, no plugins, no cache, no proxy and no program but one. Its own client is used,
which connects through Python's sockets: `confinement` sees these.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from whisper_service.actors.sites.confinement import PROGRAMS

_KEPT_OUT: Final = ("curl_cffi", "requests", "websockets")
"""yt-dlp would use these packages where they are installed. The first one connects without Python's sockets."""
ENTRIES: Final = 100
"""Recordings of a list that are counted: a list may have thousands, and a site tells about a hundred at a time."""
HOPS: Final = 3
"""A list of one recording may name another page, which may have a list of one."""
FORMAT: Final = "bestaudio/best[height<=?480]/best"
"""Sound alone where the site has it. One format, because two would have to be joined by another program."""
RETRIES: Final = 3

Found = dict[str, Any]
"""What yt-dlp knows of a recording."""
Progress = Callable[[int, int | None], None]
"""Takes the bytes that have come, and how many there are in all. None: unknown."""


class NothingFound(Exception):
    """No video was found."""


class ManyFound(Exception):
    """The web page has several recordings. `count` is a number, or `at least 100`."""

    def __init__(self, count: str) -> None:
        self.count = count
        super().__init__(count)


class Silence:
    """A logger that drops what yt-dlp says: its lines have addresses, which are not for logs."""

    def debug(self, message: str) -> None:
        """Drop a line."""

    warning = error = debug


class SiteLibrary:
    """yt-dlp with its settings. Errors of its own are described by `describe`.

    Import errors of a package that is not installed are raised here.
    """

    def __init__(self, folder: Path, timeout_s: float) -> None:
        os.environ["YTDLP_NO_PLUGINS"] = "1"
        for name in _KEPT_OUT:
            sys.modules[name] = None  # type: ignore[assignment]  # an import fails as if the package was not installed
        import yt_dlp

        self._ydl = yt_dlp.YoutubeDL(
            {
                "cachedir": False,
                "continuedl": False,
                "enable_file_urls": False,
                "extract_flat": "in_playlist",  # the entries of a list are counted, not looked at
                "extractor_retries": 1,
                "ffmpeg_location": str(folder / "none"),
                "format": FORMAT,
                "fragment_retries": RETRIES,
                "geo_bypass": False,  # would send an invented address
                "hls_prefer_native": True,
                "js_runtimes": {name: {} for name in PROGRAMS},
                "logger": Silence(),
                "noplaylist": True,  # of an address of a recording in a list, the recording is meant
                "nopart": True,
                "noprogress": True,
                "playlist_items": f"1:{ENTRIES}",
                "proxy": "",  # a proxy would resolve names by itself
                "quiet": True,
                "retries": RETRIES,
                "skip_unavailable_fragments": False,  # otherwise sound would be left out without a word
                "socket_timeout": timeout_s,
                "updatetime": False,
            }
        )

    def find(self, url: str) -> Found:
        """Return what the web page says of its recording. Raises `NothingFound`, `ManyFound` or an error of yt-dlp."""
        found = self._ydl.extract_info(url, download=False)
        for _ in range(HOPS):
            if found is None:
                break
            if found.get("_type", "video") not in ("playlist", "multi_video"):
                return dict(found)
            entries = [entry for entry in found.get("entries") or () if entry]
            if not entries:
                break
            if len(entries) > 1:
                count = found.get("playlist_count")
                raise ManyFound(str(count or (len(entries) if len(entries) < ENTRIES else f"at least {ENTRIES}")))
            (found,) = entries
            if found.get("_type") in ("url", "url_transparent"):
                found = self._ydl.process_ie_result(found, download=False)
        raise NothingFound

    def fetch(self, found: Found, path: Path, progress: Progress) -> None:
        """Fetch a recording that was found into a file. Raises an error of yt-dlp, or what `progress` raises."""

        def hook(status: dict[str, Any]) -> None:
            estimate = status.get("total_bytes_estimate")
            total = status.get("total_bytes") or (int(estimate) if estimate else None)
            progress(int(status.get("downloaded_bytes") or 0), total)

        self._ydl.add_progress_hook(hook)
        complete, _ = self._ydl.dl(str(path), found)
        if not complete:
            raise ConnectionError("the connection broke before the end")


def is_live(found: Found) -> bool:
    """Return whether the recording is not finished."""
    return bool(found.get("is_live")) or found.get("live_status") in ("is_live", "is_upcoming", "post_live")


_WORDS: Final = {
    "GeoRestrictedError": "geo-restricted",
    "UnsupportedError": "Unsupported URL",
    "UserNotLive": "not currently live",
    "NothingFound": "No video was found",
}
"""Classes of errors that say more than their texts."""


def describe(error: BaseException) -> str:
    """Return the texts of an error and of its causes, for `site_problems.explain`."""
    texts = []
    for cause in _causes(error):
        names = {kind.__name__ for kind in type(cause).__mro__}
        texts += [word for name, word in _WORDS.items() if name in names]
        if not names & {"DownloadError", "UnsupportedError"}:  # the first repeats its cause, the other has the address
            texts.append(str(getattr(cause, "orig_msg", None) or cause).strip())
    return ". ".join(dict.fromkeys(filter(None, texts))) or str(error)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes. yt-dlp notes them in its own way."""
    seen: set[int] = set()
    at: BaseException | None = error
    while isinstance(at, BaseException) and id(at) not in seen:
        yield at
        seen.add(id(at))
        noted = (getattr(at, "exc_info", None) or (None, None))[1]
        at = next((each for each in (noted, getattr(at, "cause", None), at.__cause__) if each not in (None, at)), None)
