"""The settings of the service in the page: shown with their source, changed with a clear answer, and what is secret never shown."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from testkit.browser import LANGUAGES, Site, Visitor, running_site, visiting
from whisper_service.config.schema import Secret, SettingSource

pytestmark = [pytest.mark.ui, pytest.mark.anyio]

TOKEN = "hf_NobodyMayReadThis"


def setting(visitor: Visitor, key: str) -> Any:
    return visitor.page.locator(f"[data-setting='{key}']")


@pytest.mark.parametrize(
    ("locale", "said", "line"),
    [
        ("en-US", "Fixed by the environment: remove WHISPER_SERVICE_SPEECH__BATCH_SIZE", "Fixed by the command line"),
        ("zh-CN", "由环境变量固定：移除 WHISPER_SERVICE_SPEECH__BATCH_SIZE", "由命令行固定"),
    ],
)
async def test_what_the_environment_or_the_command_line_holds_is_disabled_and_says_so(
    browser: Any, tmp_path: Path, locale: str, said: str, line: str
) -> None:
    sources = {"speech.batch_size": SettingSource.ENVIRONMENT, "speech.device": SettingSource.COMMAND_LINE}
    async with running_site(tmp_path, sources=sources) as site, visiting(browser, site.url, locale=locale) as visitor:
        await visitor.go("/settings")
        held = setting(visitor, "speech.batch_size")
        assert await held.locator("input").is_disabled()
        assert said in await held.inner_text()
        assert await setting(visitor, "speech.device").locator("select").is_disabled()
        assert line in await setting(visitor, "speech.device").inner_text()
        assert await setting(visitor, "speech.preset").locator("select").is_enabled()


async def test_a_setting_is_changed_refused_and_taken_back(visitor: Visitor, site: Site) -> None:
    page = visitor.page
    await visitor.go("/settings")
    lines = setting(visitor, "captions.lines")
    assert await lines.get_attribute("data-source") == "default"
    card = page.locator("form", has=lines)
    assert await card.get_by_role("button", name="Save").is_disabled()
    visitor.expected = re.compile("/api/settings")  # browsers write every refusal into their console
    await lines.locator("input").fill("many")
    await card.get_by_role("button", name="Save").click()
    await card.locator(".problem", has_text="captions.lines is not valid").wait_for()
    assert await lines.locator("input").get_attribute("aria-invalid") == "true"
    assert site.service.config.captions.lines == 2
    await lines.locator("input").fill("1")
    await setting(visitor, "captions.max_s").locator("input").fill("6.5")
    await card.get_by_role("button", name="Save").click()
    await page.get_by_text("Saved, and in force.").wait_for()
    assert (site.service.config.captions.lines, site.service.config.captions.max_s) == (1, 6.5)
    assert await card.locator(".problem").count() == 0
    await visitor.go("/settings")
    assert await lines.locator("input").input_value() == "1"
    assert "set here" in await lines.inner_text()
    await lines.locator("[data-reset]").click()
    await page.wait_for_selector("[data-setting='captions.lines'][data-source=default]")
    assert site.service.config.captions.lines == 2
    assert await setting(visitor, "captions.max_s").locator("input").input_value() == "6.5"


async def test_bytes_are_written_in_gigabytes_and_a_change_that_waits_says_so(visitor: Visitor, site: Site) -> None:
    await visitor.go("/settings")
    room = setting(visitor, "storage.max_media_bytes")
    await room.locator("input").fill("1.5")
    await visitor.page.locator("form", has=room).get_by_role("button", name="Save").click()
    await visitor.page.get_by_text("when the service is started again").wait_for()
    assert site.service.config.storage.max_media_bytes == 1_500_000_000


async def test_a_token_goes_in_and_is_never_shown(browser: Any, tmp_path: Path) -> None:
    models = {"token": Secret(TOKEN)}
    async with running_site(tmp_path, models=models) as site, visiting(browser, site.url) as visitor:
        answers: list[str] = []

        async def keep(answer: Any) -> None:
            if answer.url.endswith("/api/settings"):
                answers.append(await answer.text())

        visitor.page.on("response", keep)
        await visitor.go("/settings")
        field = setting(visitor, "models.token").locator("input")
        assert await field.input_value() == ""
        assert await field.get_attribute("placeholder") == "set"
        await field.fill(TOKEN + "Either")
        await visitor.page.locator("form", has=field).get_by_role("button", name="Save").click()
        await visitor.page.get_by_text("Saved, and in force.").wait_for()
        assert site.service.config.models.token == TOKEN + "Either"
        assert await field.input_value() == ""
        assert TOKEN not in await visitor.page.content() + "".join(answers)
        assert answers


@pytest.mark.parametrize("locale", LANGUAGES)
@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_axe_finds_nothing_where_settings_and_the_log_are_open(
    browser: Any, site: Site, locale: str, theme: Any
) -> None:
    axe = pytest.importorskip(
        "axe_playwright_python.async_playwright", reason="axe-playwright-python is not installed"
    ).Axe()
    async with visiting(browser, site.url, locale=locale, color_scheme=theme, reduced_motion="reduce") as visitor:
        await visitor.go("/settings")
        await visitor.page.wait_for_selector("[data-setting]")
        found = [rule["id"] for rule in (await axe.run(visitor.page)).response["violations"]]
        await visitor.go("/system")
        await visitor.page.click("[data-log] summary")
        await visitor.page.wait_for_selector(".log p")
        found += [rule["id"] for rule in (await axe.run(visitor.page)).response["violations"]]
        await visitor.go("/models")
        found += [rule["id"] for rule in (await axe.run(visitor.page)).response["violations"]]
    assert found == []
