"""The whole way from a file to sentences, in one process: media actor, then speech actor, without pipes and planner."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from msgspec.structs import replace

from whisper_service.actors.media.chunker import ChunkPolicy
from whisper_service.actors.media.main import decode
from whisper_service.actors.samples import read_samples
from whisper_service.actors.speech import allocator, instruction_set
from whisper_service.actors.speech.chunk_io import segments_of
from whisper_service.actors.speech.engine import Engine
from whisper_service.actors.speech.recognition import Recognizer
from whisper_service.actors.speech.speech_spans import SpeechFinder
from whisper_service.actors.speech.windows import AudioChunk
from whisper_service.core.domain import Preset, Segment
from whisper_service.supervision.messages.media import ChunkFound, Decode
from whisper_service.supervision.messages.speech import ChunkInput

BATCH = 8


class Pipeline:
    """A loaded model and everything around it, on one thread."""

    def __init__(self, model: str, policy: ChunkPolicy | None = None) -> None:
        allocator.tune()
        instruction_set.choose()
        self.engine = Engine(model, "cpu", "int8", slots=1, threads=1)
        self.recognizer = Recognizer(self.engine, SpeechFinder())
        self._policy = policy

    def transcribe(
        self, path: Path, scratch: Path, language: str | None, preset: str = "balanced"
    ) -> Iterator[Segment]:
        """Yield the segments of a recording in order.

        Without a language the first sure chunk decides what is expected.
        """
        chunks = self.chunks(path, scratch)
        follow, size = language is None, 1 if language is None else BATCH
        while batch := list(islice(chunks, size)):
            rows = [replace(row, language=language, follow=follow) for row in batch]
            heard = dict(
                self.recognizer.recognise(
                    [AudioChunk(read_samples(row.spool, row.span), row.language, row.task, row.follow) for row in rows],
                    Preset(preset),
                )
            )
            for index, row in enumerate(rows):
                yield from segments_of(heard[index], row.span, word_timestamps=True)
            if language is None and (heard[0].language_probability or 0.0) > 0.5:
                language, size = heard[0].language, BATCH

    def chunks(self, path: Path, scratch: Path) -> Iterator[ChunkInput]:
        """Yield the chunks of a recording in order. Their audio is in `scratch`."""
        spool, peaks = scratch / "spool", scratch / "peaks"
        for file in (spool, peaks):
            file.touch()
        order = Decode(job_id="bench", source=str(path), spool=str(spool), peaks=str(peaks))
        spans = [r.span for r in decode(order, policy=self._policy) if isinstance(r, ChunkFound)]
        return (ChunkInput(job_id="bench", span=span, spool=str(spool)) for span in spans)
