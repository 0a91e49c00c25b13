"""Fixtures every test may use."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

if (
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN
):  # from a shell's background job; children would not hear Ctrl-C either
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest.register_assert_rewrite("testkit.browser", "tests.ui.editing")  # so that a failure tells the values it saw

settings.register_profile("suite", deadline=None)  # how long an example takes is no matter for a test
settings.load_profile("suite")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _own_log() -> Iterator[None]:
    """Take away the log handlers of a test that starts the program in this process: pytest closes their stream."""
    names = ("", "whisper_service", "uvicorn.access", "uvicorn.asgi")
    root, levels = logging.getLogger(), {name: logging.getLogger(name).level for name in names}
    before = list(root.handlers)
    yield
    for handler in set(root.handlers) - set(before):
        if type(handler) is logging.StreamHandler:  # those of pytest are kinds of it
            root.removeHandler(handler)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
