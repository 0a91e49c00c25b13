"""Fixtures every test may use."""

from __future__ import annotations

import pytest
from hypothesis import settings

settings.register_profile("suite", deadline=None)  # how long an example takes is no matter for a test
settings.load_profile("suite")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
