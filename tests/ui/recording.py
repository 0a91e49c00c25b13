"""A browser with a microphone that plays a file, and what was recorded of it."""

from __future__ import annotations

import json
import re
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from testkit.browser import CHROMIUM, FLAGS
from testkit.sounds import RATE, Samples, babble, join, silence

Sound = npt.NDArray[np.float64]

SPOKEN = join(*(part for nth in range(12) for part in (babble(5, seed=nth), silence(4))))
"""108 s at 16 kHz: sentences with pauses that end a chunk."""
LEAST_LIKE = 0.9
"""Correlation of a second of a recording with the second of the file that it is."""
MOST_DROPPED = RATE // 4
"""Samples that a browser on a busy machine may drop of a device itself. What the page loses is found by the sample."""

WATCH = """window.captured = []
window.AudioWorkletNode = class extends AudioWorkletNode {
  constructor(...given) {
    super(...given)
    this.port.addEventListener('message', ({ data }) => data.samples && window.captured.push(...data.samples))
  }
}"""
"""Keeps what the audio thread gave, beside the page."""


def microphone(path: Path, spoken: Samples = SPOKEN) -> tuple[str, ...]:
    """Write a file, and return the flags of a browser whose microphone plays it once and may be used."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(spoken.tobytes())
    return (
        *FLAGS,
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={path}%noloop",
    )


@asynccontextmanager
async def recording_browser(flags: tuple[str, ...]) -> AsyncIterator[Any]:
    """A browser with these flags, whose tabs can be heard when they are shared."""
    from playwright.async_api import async_playwright

    async with async_playwright() as driver:
        browser = await driver.chromium.launch(
            executable_path=CHROMIUM, args=list(flags), ignore_default_args=["--mute-audio"]
        )
        yield browser
        await browser.close()


async def captured(page: Any) -> bytes:
    """Return the samples that the audio thread has given since the page was loaded. The page began with `WATCH`."""
    return np.array(await page.evaluate("window.captured"), dtype="<i2").tobytes()


def heard(data: bytes, rate: int) -> Sound:
    """Return a recording at 16 kHz. `data` is int16 at `rate`."""
    samples = np.frombuffer(data, dtype="<i2").astype(np.float64)
    times = np.arange(int(len(samples) * RATE / rate)) * rate / RATE
    return np.interp(times, np.arange(len(samples)), samples)


def follows(recorded: Sound, spoken: Samples = SPOKEN) -> int:
    """Check that a recording is one stretch of the file: nothing is missing, doubled or moved.

    Return how many voiced seconds were found. A device begins with silence, so the first one does not count.
    """
    reference = spoken.astype(np.float64)
    voiced = [
        at for at in range(0, len(recorded) - RATE, RATE) if np.sqrt((recorded[at : at + RATE] ** 2).mean()) > 300
    ]
    assert len(voiced) > 2, "there is hardly a voice in it"
    distances, alike = [], []
    for at in voiced[1:]:
        piece = recorded[at : at + RATE]
        place = _place(piece, reference)
        if place + RATE > len(reference):
            break
        distances.append(place - at)
        alike.append(float(np.corrcoef(piece, reference[place : place + RATE])[0, 1]))
    assert max(distances) - min(distances) <= MOST_DROPPED, distances
    assert np.median(alike) > LEAST_LIKE, alike
    return len(distances)


def _place(piece: Sound, reference: Sound) -> int:
    """Return where in the file a piece fits best."""
    size = 1 << (len(reference) + len(piece)).bit_length()
    spectrum = np.fft.rfft(reference, size) * np.conj(np.fft.rfft(piece, size))
    return int(np.fft.irfft(spectrum, size)[: len(reference)].argmax())


def draft(stable: str, tentative: str, start: float) -> str:
    """Return the event of a draft. Its words begin at `start` seconds."""

    def words(text: str) -> list[dict[str, Any]]:
        return [{"start": start, "end": start + 1, "word": word} for word in re.findall(" ?[^ ]+", text)]

    return f"event: draft\ndata: {json.dumps({'stable': words(stable), 'tentative': words(tentative)})}\n\n"


async def send_drafts(page: Any, *events: str) -> None:
    """Let this tab get these drafts of every session, instead of those of the service."""

    async def answer(route: Any) -> None:
        await route.fulfill(content_type="text/event-stream", body="retry: 600000\n\n" + "".join(events))

    await page.route("**/api/live/*/drafts", answer)
