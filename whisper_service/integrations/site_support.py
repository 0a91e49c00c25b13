"""Say whether recordings can be fetched from web pages: the package yt-dlp must be there, and not too old."""

from __future__ import annotations

from datetime import UTC, date, datetime
from importlib import metadata
from typing import Final

from whisper_service.core.domain import Value

INSTALL: Final = 'pip install "whisper_service[sites]"'
UPDATE: Final = 'pip install --upgrade "yt-dlp[default]"'
OLD_DAYS: Final = 90
"""Sites change all the time, and yt-dlp follows with a version about every month."""


class SiteSupport(Value, frozen=True):
    """Whether recordings are fetched from web pages, with which version of yt-dlp, and what should be done."""

    usable: bool
    version: str | None  # of yt-dlp; None: it is not installed
    age_days: int | None  # of that version; None: unknown
    hint: str = ""  # empty: nothing has to be done


def site_support(enabled: bool, today: date | None = None) -> SiteSupport:
    """Return the state of now. `enabled`: the settings allow it. yt-dlp is not imported."""
    try:
        version = metadata.version("yt-dlp")
    except metadata.PackageNotFoundError:
        hint = f"To fetch recordings from web pages, install yt-dlp and restart the service: {INSTALL}"
        return SiteSupport(False, None, None, hint if enabled else "")
    released = _release_date(version)
    age_days = None if released is None else ((today or datetime.now(UTC).date()) - released).days
    old = age_days is not None and age_days > OLD_DAYS
    hint = f"This version is {age_days} days old, and sites change. Update it and restart the service: {UPDATE}"
    return SiteSupport(enabled, version, age_days, hint if enabled and old else "")


def _release_date(version: str) -> date | None:
    """Return the date that is the version of yt-dlp: 2026.10.26."""
    try:
        year, month, day = map(int, version.split(".")[:3])
        return date(year, month, day)
    except ValueError:
        return None
