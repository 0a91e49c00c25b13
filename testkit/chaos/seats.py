"""How many local seats a service under chaos has. `CHAOS_SEATS=2 pytest tests/chaos` gives two to every one of them."""

from __future__ import annotations

import os
from typing import Final

SEATS: Final = int(os.environ.get("CHAOS_SEATS", "1"))


def devices(seats: int = SEATS) -> str:
    """Return `speech.device` for so many scripted speech actors."""
    return ",".join(f"cuda:{number}" for number in range(seats)) if seats > 1 else "auto"
