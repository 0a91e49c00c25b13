"""The settings in the page: shown with their source, changed with a clear answer, secrets never shown."""

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
        ("en-US", "Set by the environment variable WHISPER_SERVICE_SPEECH__BATCH_SIZE", "Set on the command line"),
        ("zh-CN", "由环境变量 WHISPER_SERVICE_SPEECH__BATCH_SIZE 设置", "由命令行设置"),
    ],
)
async def test_what_the_environment_or_the_command_line_holds_is_disabled_and_says_so(
    browser: Any, tmp_path: Path, locale: str, said: str, line: str
) -> None:
    sources = {"speech.batch_size": SettingSource.ENVIRONMENT, "speech.device": SettingSource.COMMAND_LINE}
    async with running_site(tmp_path, sources=sources) as site, visiting(browser, site.url, locale=locale) as visitor:
        await visitor.go("/settings")
        await visitor.page.click("[data-tab=advanced]")
        held = setting(visitor, "speech.batch_size")
        assert await held.locator("input").is_disabled()
        assert said in await held.inner_text()
        await visitor.page.click("[data-tab=recognition]")
        assert await setting(visitor, "speech.device").locator("select").is_disabled()
        assert line in await setting(visitor, "speech.device").inner_text()
        assert await setting(visitor, "speech.preset").locator("select").is_enabled()


@pytest.mark.parametrize(
    ("locale", "said"), [("en-US", "Enter a whole number from 1 to 2."), ("zh-CN", "请输入 1 到 2 之间的整数。")]
)
async def test_a_wrong_value_is_told_beside_its_field_and_each_field_is_saved_by_itself(
    browser: Any, site: Site, locale: str, said: str
) -> None:
    async with visiting(browser, site.url, locale=locale) as visitor:
        page = visitor.page
        await visitor.go("/settings")
        await page.click("[data-tab=captions]")
        lines, longest = setting(visitor, "captions.lines"), setting(visitor, "captions.max_s")
        assert await lines.get_attribute("data-source") == "default"
        assert await page.locator("[data-save]").count() == 0
        await lines.locator("input").fill("many")
        await lines.locator("input").press("Enter")
        await lines.locator("[role=alert]", has_text=said).wait_for()
        assert await lines.locator("input").get_attribute("aria-invalid") == "true"
        assert site.service.config.captions.lines == 2
        await longest.locator("input").fill("6.5")
        await lines.locator("input").fill("1")
        await lines.locator("[data-save]").click()
        await page.wait_for_selector("[data-setting='captions.lines'][data-source=stored]")
        assert await lines.locator("[role=alert]").count() == 0
        assert (site.service.config.captions.lines, site.service.config.captions.max_s) == (1, 7.0)
        assert await longest.locator("input").input_value() == "6.5"  # still to be saved
        await lines.locator("[data-reset]").click()
        await page.wait_for_selector("[data-setting='captions.lines'][data-source=default]")
        assert site.service.config.captions.lines == 2


async def test_what_the_service_alone_refuses_is_told_beside_the_field_too(visitor: Visitor, site: Site) -> None:
    visitor.expected = re.compile("/api/settings")  # browsers write every refusal into their console
    await visitor.go("/settings")
    await visitor.page.click("[data-tab=captions]")
    field = setting(visitor, "captions.max_s")
    await field.locator("input").fill("999")
    await field.locator("input").press("Enter")
    await field.locator("[role=alert]").wait_for()
    assert site.service.config.captions.max_s == 7.0


async def test_values_are_shown_as_people_say_them(visitor: Visitor, site: Site) -> None:
    page = visitor.page
    await visitor.go("/settings")
    await page.click("[data-tab=recognition]")
    longest = setting(visitor, "media.max_duration_s")
    assert await longest.locator("input").input_value() == "100"
    assert await longest.locator("[data-unit]").input_value() == "h"
    assert "default" not in (await longest.inner_text()).lower()  # the source is told only if it is another
    await page.click("[data-tab=captions]")
    wide = setting(visitor, "captions.cjk_line_columns")
    assert await wide.locator("input").input_value() == "16"
    await wide.locator("input").fill("18")
    await wide.locator("[data-save]").click()
    await page.get_by_text("Saved", exact=True).wait_for()
    assert site.service.config.captions.cjk_line_columns == 36
    await page.click("[data-tab=storage]")
    kept = setting(visitor, "storage.keep_media_days")
    assert await kept.locator("[data-off]").is_checked()
    assert await kept.locator("input[type=text]").count() == 0
    await kept.locator("[data-off]").uncheck()
    await kept.locator("input[type=text]").fill("14")
    await kept.locator("[data-save]").click()
    await page.get_by_text("Restart the server to apply").wait_for()
    assert site.service.config.storage.keep_media_days == 14
    await kept.locator("[data-off]").check()
    await visitor.reads(
        "document.querySelectorAll('[data-setting=\"storage.keep_media_days\"] input[type=text]').length", 0
    )
    room = setting(visitor, "storage.max_media_bytes")
    await room.locator("[data-off]").uncheck()
    await room.locator("input[type=text]").fill("1.5")
    await room.locator("[data-save]").click()
    await page.wait_for_selector("[data-setting='storage.max_media_bytes'][data-source=stored]")
    assert site.service.config.storage.max_media_bytes == 1_500_000_000


async def test_a_setting_is_found_by_its_name_in_every_tab(visitor: Visitor) -> None:
    page = visitor.page
    await visitor.go("/settings")
    await page.fill("input[type=search]", "reading speed")
    await visitor.count("[data-setting]", 2)
    await page.fill("input[type=search]", "level")
    await setting(visitor, "log.level").wait_for()
    await page.fill("input[type=search]", "nothing like it")
    await page.get_by_text("No setting matches").wait_for()
    await page.click("[data-tab=storage]")
    await visitor.sees(lambda: page.input_value("input[type=search]"), "")
    await setting(visitor, "storage.undo_s").wait_for()
    assert await page.evaluate("document.documentElement.scrollHeight") < 1_400


async def test_a_token_goes_in_and_is_never_shown(browser: Any, tmp_path: Path) -> None:
    models = {"token": Secret(TOKEN)}
    async with running_site(tmp_path, models=models) as site, visiting(browser, site.url) as visitor:
        answers: list[str] = []

        async def keep(answer: Any) -> None:
            if answer.url.endswith("/api/settings"):
                answers.append(await answer.text())

        visitor.page.on("response", keep)
        await visitor.go("/settings")
        await visitor.page.click("[data-tab=models]")
        field = setting(visitor, "models.token").locator("input")
        assert await field.input_value() == ""
        assert await field.get_attribute("placeholder") == "set"
        await field.fill(TOKEN + "Either")
        await setting(visitor, "models.token").locator("[data-save]").click()
        await visitor.page.get_by_text("Saved", exact=True).wait_for()
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
        found: list[str] = []
        for tab in ("page", "recognition", "models", "storage", "captions", "advanced"):
            await visitor.page.click(f"[data-tab={tab}]")
            found += [rule["id"] for rule in (await axe.run(visitor.page)).response["violations"]]
        await visitor.go("/system")
        await visitor.page.click("[data-log] summary")
        await visitor.page.wait_for_selector(".log p")
        found += [rule["id"] for rule in (await axe.run(visitor.page)).response["violations"]]
        await visitor.go("/models")
        found += [rule["id"] for rule in (await axe.run(visitor.page)).response["violations"]]
    assert found == []


async def test_the_name_of_the_site_is_that_of_the_header_and_the_tab_of_everybody(
    browser: Any, visitor: Visitor, site: Site
) -> None:
    page = visitor.page
    async with visiting(browser, site.url) as other:
        await other.go("/models")
        await other.live()
        await visitor.go("/settings")
        field = page.locator("[data-setting='page.title']")
        assert await field.locator("input").input_value() == "whisper_service"
        await field.locator("input").fill("Acme & <Sons>")
        await page.keyboard.press("Enter")
        for tab in (visitor, other):
            await tab.reads("document.querySelector('.brand span').innerText", "Acme & <Sons>")
            await tab.reads("document.title.split(' · ').at(-1)", "Acme & <Sons>")
        await other.go("/settings")
        await visitor.sees(lambda: other.page.evaluate("document.title.split(' · ').at(-1)"), "Acme & <Sons>")
        await field.locator("[data-reset]").click()
        await other.reads("document.querySelector('.brand span').innerText", "whisper_service")
