"""The settings of a session of OpenAI's Realtime API: what a client may set, and how it is told back. Pure.

Two dialects mean the same: that of today (`session.update`) and the one that OpenAI calls beta
(`transcription_session.update`). Fields that are absent stay as they are; null clears.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType
from msgspec.structs import replace

from whisper_service.core.domain import Encoding, LiveSession, Preset, Task, Value
from whisper_service.core.errors import InvalidRequest
from whisper_service.web.compat import openai_form
from whisper_service.web.compat.openai_form import OpenAICall

RATE: Final = 24_000
"""Samples per second, if a client states no other rate."""
TELEPHONE: Final = 8_000
SILENCE_MS: Final = 500
PREFIX_MS: Final = 300
EAGERNESS_MS: Final = {"low": 2_000, "medium": 1_000, "auto": 1_000, "high": 500}
"""The pause that ends a turn of `semantic_vad`. The service does not guess whether a sentence is complete."""
_ENCODINGS: Final = {"audio/pcm": Encoding.S16LE, "audio/pcmu": Encoding.MULAW, "audio/pcma": Encoding.ALAW}
_BETA_FORMATS: Final = {"pcm16": "audio/pcm", "g711_ulaw": "audio/pcmu", "g711_alaw": "audio/pcma"}
REALTIME_MODELS: Final = ("gpt-live-transcribe", "gpt-realtime-whisper")
"""Names of models that OpenAI has only here. They mean the configured model."""


class AudioFormat(Value, frozen=True):
    """A format of sound, as OpenAI names it. `rate`: of audio/pcm."""

    type: Literal["audio/pcm", "audio/pcmu", "audio/pcma"] = "audio/pcm"
    rate: Annotated[int, Meta(ge=TELEPHONE, le=48_000)] | None = None

    @property
    def hz(self) -> int:
        """Samples per second."""
        return (self.rate or RATE) if self.type == "audio/pcm" else TELEPHONE

    @property
    def encoding(self) -> Encoding:
        return _ENCODINGS[self.type]

    def told(self) -> dict[str, Any]:
        return {"type": self.type, "rate": self.hz} if self.type == "audio/pcm" else {"type": self.type}


class Transcription(Value, frozen=True, omit_defaults=True):
    """What the model is told. `delay` is told back and changes nothing."""

    model: str | None = None
    language: str | None = None
    languages: tuple[str, ...] | None = None
    prompt: str | None = None
    keywords: tuple[str, ...] | None = None
    delay: str | None = None


class TurnDetection(Value, frozen=True, omit_defaults=True):
    """What ends a turn. `threshold` and the fields about answers are told back and change nothing."""

    type: Literal["server_vad", "semantic_vad"] = "server_vad"
    threshold: Annotated[float, Meta(ge=0, le=1)] | None = None
    prefix_padding_ms: Annotated[int, Meta(ge=0, le=60_000)] | None = None
    silence_duration_ms: Annotated[int, Meta(ge=0, le=60_000)] | None = None
    eagerness: Literal["auto", "low", "medium", "high"] | None = None
    create_response: bool | None = None
    interrupt_response: bool | None = None
    idle_timeout_ms: int | None = None

    @property
    def silence_s(self) -> float:
        """The pause that ends a turn, in seconds."""
        if self.type == "semantic_vad":
            return EAGERNESS_MS[self.eagerness or "auto"] / 1000
        return (SILENCE_MS if self.silence_duration_ms is None else self.silence_duration_ms) / 1000

    @property
    def prefix_s(self) -> float:
        """Sound before the speech that belongs to a turn, in seconds."""
        return (PREFIX_MS if self.prefix_padding_ms is None else self.prefix_padding_ms) / 1000

    def told(self) -> dict[str, Any]:
        told: dict[str, Any] = msgspec.to_builtins(self) | {"type": self.type}
        if self.type == "server_vad":
            return {"threshold": 0.5, "prefix_padding_ms": PREFIX_MS, "silence_duration_ms": SILENCE_MS} | told
        return {"eagerness": "auto"} | told


class _Input(msgspec.Struct, frozen=True):
    format: AudioFormat | UnsetType = UNSET
    transcription: Transcription | UnsetType | None = UNSET
    noise_reduction: dict[str, Any] | UnsetType | None = UNSET
    turn_detection: TurnDetection | UnsetType | None = UNSET


class _Audio(msgspec.Struct, frozen=True):
    input: _Input = _Input()


class _Update(msgspec.Struct, frozen=True):
    type: str = "transcription"
    audio: _Audio = _Audio()
    include: tuple[str, ...] | UnsetType | None = UNSET


class _BetaUpdate(msgspec.Struct, frozen=True):
    input_audio_format: Literal["pcm16", "g711_ulaw", "g711_alaw"] | UnsetType = UNSET
    input_audio_transcription: Transcription | UnsetType | None = UNSET
    input_audio_noise_reduction: dict[str, Any] | UnsetType | None = UNSET
    turn_detection: TurnDetection | UnsetType | None = UNSET
    include: tuple[str, ...] | UnsetType | None = UNSET


class RealtimeSettings(Value, frozen=True):
    """What is set in a session."""

    format: AudioFormat = AudioFormat()
    transcription: Transcription = Transcription()
    noise_reduction: dict[str, Any] | None = None
    turn_detection: TurnDetection | None = TurnDetection()
    include: tuple[str, ...] = ()

    def updated(self, session: Any, *, beta: bool) -> RealtimeSettings:
        """Return the settings after an update. Raises `InvalidRequest`, which names the field."""
        try:
            if beta:
                old = msgspec.convert(session, _BetaUpdate)
                kind = old.input_audio_format
                given = _Input(
                    UNSET if kind is UNSET else msgspec.convert({"type": _BETA_FORMATS[kind]}, AudioFormat),
                    old.input_audio_transcription,
                    old.input_audio_noise_reduction,
                    old.turn_detection,
                )
                include = old.include
            else:
                update = msgspec.convert(session, _Update)
                if update.type != "transcription":
                    message = "This service transcribes. It holds no conversations."
                    hint = 'Send a session with the type "transcription".'
                    raise InvalidRequest(message, hint=hint, field="session.type")
                given, include = update.audio.input, update.include
        except msgspec.ValidationError as error:
            message, _, place = str(error).partition(" - at `$.")
            field = ".".join(["session", *filter(None, [place.rstrip("`")])])
            hint = "The Realtime API of OpenAI describes the fields of a session."
            raise InvalidRequest(f"The session cannot be set: {message}.", hint=hint, field=field) from error
        return replace(
            self,
            format=self.format if given.format is UNSET else given.format,
            transcription=self._told(given.transcription),
            noise_reduction=self.noise_reduction if given.noise_reduction is UNSET else given.noise_reduction,
            turn_detection=self.turn_detection if given.turn_detection is UNSET else given.turn_detection,
            include=self.include if include is UNSET else include or (),
        )

    def told(self, *, beta: bool) -> dict[str, Any]:
        """Return the settings as the dialect has them."""
        transcription = msgspec.to_builtins(self.transcription)
        turns = None if self.turn_detection is None else self.turn_detection.told()
        if beta:
            names = {value: key for key, value in _BETA_FORMATS.items()}
            return {
                "object": "realtime.transcription_session",
                "input_audio_format": names[self.format.type],
                "input_audio_transcription": transcription,
                "input_audio_noise_reduction": self.noise_reduction,
                "turn_detection": turns,
                "include": list(self.include),
            }
        sound = {
            "format": self.format.told(),
            "transcription": transcription,
            "noise_reduction": self.noise_reduction,
            "turn_detection": turns,
        }
        return {
            "object": "realtime.transcription_session",
            "type": "transcription",
            "audio": {"input": sound},
            "include": list(self.include),
        }

    def live(self) -> LiveSession:
        """Return what a live session is told of the sound."""
        return LiveSession("realtime", self.format.hz, self.format.encoding, 1)

    def call(self, preset: Preset) -> OpenAICall:
        """Return the options of the job. Raises `InvalidRequest` that names the field."""
        said = self.transcription
        name = (said.model or "").strip()
        given = {
            "model": ["" if name in REALTIME_MODELS else name],
            "language": [said.language or ""],
            "languages[]": list(said.languages or ()),
            "prompt": [said.prompt or ""],
            "keywords[]": list(said.keywords or ()),
        }
        return openai_form.parse(given, task=Task.TRANSCRIBE, preset=preset)

    def _told(self, given: Transcription | UnsetType | None) -> Transcription:
        if given is None:
            return Transcription()
        if given is UNSET:
            return self.transcription
        changed = {name: value for name in given.__struct_fields__ if (value := getattr(given, name)) is not None}
        return replace(self.transcription, **changed)


def format_of(live: LiveSession) -> AudioFormat | None:
    """Return the format of a session as OpenAI names it. None: OpenAI has no name for it."""
    for kind, encoding in _ENCODINGS.items():
        if live.encoding is encoding and live.channels == 1:
            wanted = {"type": kind} | ({"rate": live.rate} if kind == "audio/pcm" else {})
            try:
                found = msgspec.convert(wanted, AudioFormat)
            except msgspec.ValidationError:
                return None
            return found if found.hz == live.rate else None
    return None
