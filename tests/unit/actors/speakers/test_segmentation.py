"""Windows of a chunk. The network itself runs in tests/integration/actors/test_speakers.py."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from whisper_service.actors.speakers.segmentation import (
    CLASSES,
    HOP,
    LEAST,
    STEP,
    WINDOW,
    alone_flags,
    frame_of,
    window_starts,
)


@given(st.integers(LEAST, 30 * 16_000))
def test_windows_cover_the_chunk_and_lie_on_the_grid_of_frames(samples: int) -> None:
    starts = window_starts(samples)
    assert starts[0] == 0
    assert all(start % STEP == 0 for start in starts)
    assert all(0 < after - before <= HOP for before, after in pairwise(starts))
    assert 0 <= samples - (starts[-1] + WINDOW) < STEP or (samples <= WINDOW and starts == [0])


def test_a_chunk_of_the_usual_length_has_few_windows() -> None:
    assert window_starts(LEAST - 1) == []
    assert [len(window_starts(round(s * 16_000))) for s in (0.5, 10, 10.1, 15, 20, 29.5)] == [1, 1, 2, 2, 3, 5]


def test_the_first_frame_sees_its_field_and_the_next_one_step_more() -> None:
    assert frame_of(495) == 0
    assert frame_of(495 + 7 * STEP) == 7


def test_a_voice_is_alone_where_no_other_speaks() -> None:
    assert alone_flags(CLASSES).astype(int).tolist() == [
        [0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0], [0, 0, 0],
    ]  # fmt: skip
    assert np.array_equal(CLASSES.sum(axis=1), [0, 1, 1, 1, 2, 2, 2])
