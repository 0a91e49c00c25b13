"""The messages of the speech actor: models, chunks to recognise, words to align. Pure."""

from __future__ import annotations

import msgspec

from whisper_service.core.domain import Script, Segment, Span, Task
from whisper_service.supervision.messages.base import Message


class Load(Message, frozen=True):
    """Load this model in place of any other. Answered by `Loaded` or `Fault(scope="model")`."""

    model: str  # the name in reports and jobs
    path: str  # a directory with a CTranslate2 model; on its way to another machine it becomes the one there
    device: str  # "cpu" | "cuda" | "cuda:1" ...
    compute_type: str  # "auto" or one of CTranslate2's
    slots: int  # batches in work at once
    threads: int  # cores to use in all; 0: every core that this process may run on
    express: int = 0  # additional batches of one chunk, for calls


class ChunkInput(Message, frozen=True):
    """One chunk to recognise. The chunks of one batch may belong to different jobs."""

    job_id: str
    span: Span
    spool: str  # raw little-endian int16 PCM, 16 kHz
    language: str | None = None  # None: detect it on this chunk
    follow: bool = False  # another language that is surely spoken in the chunk is followed
    task: Task = Task.TRANSCRIBE
    word_timestamps: bool = True
    script: Script | None = None  # how Chinese is written; None: Mandarin is simplified
    channels: int = 0  # the spool has so many channels, which are recognised one by one; 0: it is mono


class Transcribe(Message, frozen=True):
    """Recognise these chunks.

    Each chunk is answered by one `ChunkDone` or one `Fault` with its `index`, unless its job was cancelled. Then one
    `BatchDone` ends the batch. One `Fault(scope="batch")` without `index` may stand in place of all that is left.
    """

    batch: int
    chunks: tuple[ChunkInput, ...]
    preset: str = "balanced"
    prompt: str | None = None  # one for all chunks: CTranslate2 needs prompts of equal length
    urgent: bool = False  # a call waits for this batch: it pauses for no other one
    express: bool = False  # the batch runs beside the slots: one of them pauses for it


class Align(Message, frozen=True):
    """Find when words are said that a person wrote. Answered by `Aligned` or `Fault(scope="alignment")`.

    The answer is a function of the samples and the command, with a given model.
    """

    request: int  # comes back in the answer
    span: Span  # of the sound, at most one window of the model
    spool: str  # raw little-endian int16 PCM, 16 kHz mono
    words: tuple[str, ...]  # joined they are the text of the sound
    language: str
    task: Task = Task.TRANSCRIBE


class ModelProgress(Message, frozen=True):
    """How much of a model has come to the machine of the actor, which loads it then. Sent while bytes come."""

    model: str
    bytes: int
    total: int


class Loaded(Message, frozen=True):
    """The model is loaded and has encoded once."""

    model: str
    device: str
    compute_type: str
    seconds: float
    window_s: float = 0.0  # seconds of work for the one full window of the warm-up
    multilingual: bool = True  # False: the model knows only English
    aligns: bool = True  # the model can tell when a given text is said


class Dropped(msgspec.Struct, frozen=True):
    """Speech without a text: its place in seconds from the beginning of the recording."""

    begin: float
    end: float


class ChunkDone(Message, frozen=True):
    """One chunk is recognised. `segments` may be empty."""

    batch: int
    job_id: str
    index: int  # of the chunk
    segments: tuple[Segment, ...]
    language: str
    language_probability: float | None = None  # None: the language was given
    dropped: tuple[Dropped, ...] = ()  # speech whose every text repeats itself


class BatchDone(Message, frozen=True):
    """Every chunk of the batch was reported or cancelled."""

    batch: int
    seconds: float
    audio_s: float  # of the chunks that became text


class AlignedWord(msgspec.Struct, frozen=True):
    """When a word is said, in seconds from the beginning of the span, and the mean probability of its tokens."""

    start: float
    end: float
    probability: float


class Aligned(Message, frozen=True):
    """When the words of a text are said, in their order."""

    request: int  # of the command
    words: tuple[AlignedWord, ...]
    seconds: float = 0.0  # of work
