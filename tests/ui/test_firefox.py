"""Editing in Firefox, driven by its own Marionette protocol: the other tests of the page know Chromium only."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from time import monotonic, sleep
from typing import Any

import pytest
from anyio import from_thread, to_thread

from testkit.browser import Site
from testkit.nginx import free_port
from testkit.playable import sound
from tests.ui.editing import CARET, LINES, TEXTS, stored

FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")

pytestmark = [
    pytest.mark.ui,
    pytest.mark.anyio,
    pytest.mark.skipif(FIREFOX is None, reason="there is no Firefox: apt-get install firefox-esr"),
    # What the driver and its dependencies leave behind.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.skipif(find_spec("marionette_driver") is None, reason="marionette_driver is not installed"),
]

PLACE_OF = """const [nth, at] = arguments, range = new Range()
  const p = document.querySelectorAll('.line[data-line] > p')[nth]
  range.setStart(p.firstChild, at)
  range.setEnd(p.firstChild, at + 1)
  const { left, top, width, height } = range.getBoundingClientRect()
  return [Math.round(left + 0.3 * width), Math.round(top + height / 2)]"""
COPY = """const type = (kind, text) => [kind, new Blob([text], { type: kind })]
  const both = [type('text/html', '<b>a</b><br><i>b</i>'), type('text/plain', 'a\\nb')]
  return navigator.clipboard.write([new ClipboardItem(Object.fromEntries(both))])"""
PREFERENCES = {"dom.events.testing.asyncClipboard": True}  # a script may write to the clipboard


class Firefox:
    """One tab of Firefox. All calls block."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def run(self, script: str, *given: Any) -> Any:
        return self.client.execute_script(script, script_args=list(given))

    def reads(self, expression: str, wanted: Any) -> None:
        """Wait until a JavaScript expression has this value. Fails with its last value if it never has."""
        end = monotonic() + 20
        while (found := self.run(f"return {expression}")) != wanted and monotonic() < end:
            sleep(0.05)
        assert found == wanted

    def keys(self, *keys: str) -> None:
        """Press keys one after the other."""
        pressed = self.client.actions.sequence("key", "keyboard")
        for key in keys:
            pressed = pressed.key_down(key).key_up(key)
        pressed.perform()

    def keys_with(self, held: str, key: str) -> None:
        """Press a key while another one is held."""
        keyboard = self.client.actions.sequence("key", "keyboard")
        keyboard.key_down(held).key_down(key).key_up(key).key_up(held).perform()

    def click(self, line: int, offset: int) -> None:
        """Click between two characters of a line."""
        x, y = self.run(PLACE_OF, line, offset)
        mouse = self.client.actions.sequence("pointer", "mouse", {"pointerType": "mouse"})
        mouse.pointer_move(x, y).pointer_down().pointer_up().perform()


@contextmanager
def running_firefox() -> Iterator[Firefox]:
    from marionette_driver.marionette import Marionette

    options = {"headless": True, "prefs": PREFERENCES, "gecko_log": os.devnull, "startup_timeout": 120}
    client = Marionette(bin=FIREFOX, port=free_port(), **options)
    try:
        client.start_session()
        client.set_window_rect(width=1280, height=900)
        yield Firefox(client)
    finally:
        client.cleanup()


async def in_firefox(act: Callable[[Firefox], None]) -> None:
    def run() -> None:
        with running_firefox() as firefox:
            act(firefox)

    await to_thread.run_sync(run)


async def test_a_line_is_edited_split_joined_and_pasted_into(site: Site) -> None:
    """Criterion 34: 10, 15 and 33. What Firefox does before 136 is tested in Chromium."""
    from marionette_driver.keys import Keys

    job = await site.send("talk.wav", data=sound(13 * len(LINES), chunks=len(LINES), lines=LINES))
    await site.until(job.id, "completed")
    segments = await site.service.parts.store.segments(job.id)
    first, second, third = LINES
    at = second.index("Stella")
    edited = second.replace("Stella", "x Stella")
    pasted = second.replace("Stella", "x a bStella")

    def act(firefox: Firefox) -> None:
        firefox.client.navigate(f"{site.url}/t/{job.id}")
        firefox.reads(TEXTS, list(LINES))
        firefox.click(1, at)
        firefox.reads(CARET, [1, at])
        firefox.reads("document.activeElement.isContentEditable", wanted=True)
        firefox.reads(
            f"Math.abs(document.querySelector('video').currentTime - {segments[1].words[2].start}) < 0.05", wanted=True
        )
        firefox.keys("x", " ")
        firefox.reads(TEXTS, [first, edited, third])
        firefox.keys(Keys.ENTER)
        firefox.reads(TEXTS, [first, edited[: at + 1], edited[at + 2 :], third])
        firefox.reads(CARET, [2, 0])
        firefox.keys(Keys.BACK_SPACE)
        firefox.reads(CARET, [1, at + 2])
        firefox.run(COPY)
        firefox.keys_with(Keys.CONTROL, "v")
        firefox.reads("document.querySelector('dialog[open] button[value=one]') !== null", wanted=True)
        firefox.run("document.querySelector('dialog[open] button[value=one]').click()")
        firefox.reads(TEXTS, [first, pasted, third])
        firefox.reads("document.activeElement.childNodes.length", 1)
        from_thread.run(stored, site, job.id, [first, pasted, third])

    await in_firefox(act)
