"""What is written of chunks: those that were found, and those that are done. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from whisper_service.core.domain import Segment, Span


@dataclass(frozen=True)
class FoundChunk:
    """A new chunk of a job in work. `fields`: what is set of the job besides."""

    job_id: str
    span: Span
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def index(self) -> int:
        """The number of the chunk."""
        return self.span.index

    @property
    def segments(self) -> Sequence[Segment]:
        """The text of the chunk: none so far."""
        return ()


@dataclass(frozen=True)
class DoneChunk:
    """A chunk with its text. `probability` is that of the language when the model detected it."""

    job_id: str
    index: int
    segments: Sequence[Segment]
    language: str | None
    probability: float | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if any(segment.chunk != self.index for segment in self.segments):
            raise ValueError(f"segments of another chunk than {self.index}")


ChunkWrite = FoundChunk | DoneChunk


@dataclass
class JobWrites:
    """What a group of writes changes of one job."""

    segments: list[Segment] = field(default_factory=list)
    fields: dict[str, Any] = field(default_factory=dict)

    def add(self, write: ChunkWrite) -> None:
        """Add a write that the store has done. Its fields replace those of earlier ones."""
        self.segments += write.segments
        self.fields |= write.fields
