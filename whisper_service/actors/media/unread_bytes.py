"""Counts the bytes of a stream that FFmpeg passes over. Streams are frames in a row, with nothing but tags between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import av

STRAY_BYTES: Final = 65_536
"""Fewer bytes that nothing reads are a signature, or the tag of some program."""
SAMPLE_BYTES: Final = 4
"""The most bytes of a sample in a packet, but for uncompressed sound of 64 bits."""


class UnreadBytes:
    """The bytes between the packets of a stream and behind them, counted from the beginning of the file."""

    def __init__(self) -> None:
        self._read_to = 0
        self._skipped, self._first = 0, 0

    def count(self, packet: av.Packet[av.AudioStream]) -> None:
        """Count what lies between this packet and the one before."""
        if packet.pos is None:
            return
        gap = packet.pos - self._read_to
        if self._read_to and gap > STRAY_BYTES:
            self._add(self._read_to, gap)
        self._read_to = max(self._read_to, packet.pos + packet.size)

    def count_surplus(self, packet: av.Packet[av.AudioStream], frames: Sequence[av.AudioFrame]) -> None:
        """Count what is too much in a packet: all that is behind the last frame of FLAC comes with that frame."""
        most = sum(frame.samples * frame.layout.nb_channels * SAMPLE_BYTES for frame in frames)
        if frames and packet.pos is not None and packet.size > most + STRAY_BYTES:
            self._add(packet.pos + most, packet.size - most)

    def up_to(self, end: int) -> tuple[int, int]:
        """Return the first byte that was passed over, and how many. `end`: the size of the stream, in bytes."""
        if not self._read_to:
            return 0, 0
        first = self._first if self._skipped else self._read_to
        return first, self._skipped + end - self._read_to

    def _add(self, first: int, count: int) -> None:
        self._first = self._first if self._skipped else first
        self._skipped += count
