"""Whether web pages can be fetched: the version of yt-dlp is told without importing it, and an old one is named."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from importlib import metadata

import pytest

from whisper_service.integrations import site_support as module
from whisper_service.integrations.site_support import OLD_DAYS, SiteSupport, site_support


@pytest.fixture
def version(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """Return a list whose only item is the version that seems to be installed. None: none is."""
    installed: list[str | None] = ["2026.10.26"]

    def told(name: str) -> str:
        assert name == "yt-dlp"
        if installed[0] is None:
            raise metadata.PackageNotFoundError(name)
        return installed[0]

    monkeypatch.setattr(module.metadata, "version", told)
    return installed


def test_a_fresh_version_needs_nothing(version: list[str | None]) -> None:
    assert site_support(True, date(2026, 10, 27)) == SiteSupport(True, "2026.10.26", 1)
    assert site_support(False, date(2026, 10, 27)) == SiteSupport(False, "2026.10.26", 1)


def test_an_old_version_works_and_says_how_to_update(version: list[str | None]) -> None:
    found = site_support(True, date.fromordinal(date(2026, 10, 26).toordinal() + OLD_DAYS + 1))
    assert (found.usable, found.age_days) == (True, OLD_DAYS + 1)
    assert 'pip install --upgrade "yt-dlp[default]"' in found.hint
    assert site_support(True, date.fromordinal(date(2026, 10, 26).toordinal() + OLD_DAYS)).hint == ""


@pytest.mark.parametrize("text", ["2026.10.26.232801.dev0", "2026.10.26.1"])
def test_versions_between_two_releases_have_a_date_too(version: list[str | None], text: str) -> None:
    version[0] = text
    assert site_support(True, date(2026, 10, 28)).age_days == 2


def test_a_version_without_a_date_has_no_age(version: list[str | None]) -> None:
    version[0] = "master"
    assert site_support(True) == SiteSupport(True, "master", None)


def test_without_the_package_the_hint_names_the_extra(version: list[str | None]) -> None:
    version[0] = None
    found = site_support(True)
    assert (found.usable, found.version) == (False, None)
    assert 'pip install "whisper_service[sites]"' in found.hint
    assert site_support(False).hint == "", "an operator who switched pages off wants no package"


def test_the_service_does_not_import_yt_dlp() -> None:
    code = (
        "import sys, whisper_service.app.service, whisper_service.integrations.site_support as support;"
        "support.site_support(True); assert not [name for name in sys.modules if name.startswith('yt_dlp')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
