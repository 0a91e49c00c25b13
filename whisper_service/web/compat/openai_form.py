"""Read the fields of OpenAI's transcription form. Pure.

Fields that only other models have, or that clients add themselves, are ignored. A value that would need another answer
than the service can give is refused, and the error names the field.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from litestar.openapi.spec import OpenAPIType, Schema

from whisper_service.core import languages
from whisper_service.core.chinese import script_of
from whisper_service.core.domain import Options, Preset, Task, Value
from whisper_service.core.speaker_count import OFF
from whisper_service.core.text import quoted
from whisper_service.web.compat import form_values
from whisper_service.web.compat.form_values import Given, invalid, many, one
from whisper_service.web.http.model_aliases import model_of
from whisper_service.web.http.operations import OPTIONS, RECORDING, choice, flag, text


class OpenAIFormat(StrEnum):
    """A form of OpenAI's answers."""

    JSON = "json"
    TEXT = "text"
    SRT = "srt"
    VERBOSE_JSON = "verbose_json"
    VTT = "vtt"
    DIARIZED_JSON = "diarized_json"


GRANULARITIES: Final = ("word", "segment")
MOST_KNOWN: Final = 4
"""Speakers with a reference. OpenAI's service takes no more."""
MAX_NAME: Final = 200
MAX_REFERENCE: Final = 8 << 20
"""Characters of a data URL: ten seconds at 96 kHz in stereo with 24 bits have 7.7 million."""
FIELDS: Final = {
    "file": RECORDING,
    "model": text("A model on this machine. whisper-1 and OpenAI's other names mean the configured model."),
    "language": form_values.LANGUAGE,
    "prompt": form_values.PROMPT,
    "response_format": choice(OpenAIFormat, OpenAIFormat.JSON),
    "temperature": form_values.TEMPERATURE,
    "timestamp_granularities[]": Schema(
        type=OpenAPIType.ARRAY,
        items=Schema(type=OpenAPIType.STRING, enum=[*GRANULARITIES]),
        description="For verbose_json.",
    ),
    "stream": flag("Send the text as events while the work goes on."),
    "known_speaker_names[]": Schema(
        type=OpenAPIType.ARRAY,
        items=text("The name of a speaker.", max_length=MAX_NAME),
        max_items=MOST_KNOWN,
        description="For diarized_json: who speaks in the references, in their order.",
    ),
    "known_speaker_references[]": Schema(
        type=OpenAPIType.ARRAY,
        items=text("A recording of 1.2 to 10 s as a data URL.", max_length=MAX_REFERENCE),
        max_items=MOST_KNOWN,
        description="For diarized_json: speech of each known speaker.",
    ),
}
"""The documented fields."""
KNOWN: Final = FIELDS.keys() | {
    "languages", "languages[]", "keywords", "keywords[]", "hotwords", "timestamp_granularities", "include", "include[]",
    "preset", "known_speaker_names", "known_speaker_references", "min_speakers", "max_speakers",
}  # fmt: skip
"""All fields that are read."""


class OpenAICall(Value, frozen=True):
    """A request of a client."""

    options: Options  # `speakers` is "off", unless the reply tells them apart
    reply: OpenAIFormat = OpenAIFormat.JSON
    words: bool = False  # in verbose_json
    segments: bool = True  # in verbose_json
    logprobs: bool = False  # in json
    stream: bool = False

    @property
    def diarized(self) -> bool:
        """Whether the answer says who speaks."""
        return self.reply is OpenAIFormat.DIARIZED_JSON


def parse(given: Given, *, task: Task, preset: Preset) -> OpenAICall:
    """Return the request in these fields. Raises `InvalidRequest` that names the field."""
    form_values.check_temperature(given)
    wanted = _granularities(many(given, "timestamp_granularities"))
    codes = many(given, "languages")
    language = one(given, "language") or (codes[0] if len(codes) == 1 else "")
    reply = _reply(one(given, "response_format"), task)
    options = Options(
        model=model_of(_model(one(given, "model"))),
        language=languages.find_code(language),
        script=script_of(language),
        task=task,
        preset=form_values.preset(given, preset),
        prompt=form_values.prompt(one(given, "prompt"), [*many(given, "keywords"), *many(given, "hotwords")]),
        speakers=OFF,
    )
    return OpenAICall(
        options=form_values.with_speakers(given, options) if reply is OpenAIFormat.DIARIZED_JSON else options,
        reply=reply,
        words="word" in wanted,
        segments=not wanted or "segment" in wanted,
        logprobs="logprobs" in many(given, "include"),
        stream=form_values.boolean(given, "stream"),
    )


def _model(name: str) -> str:
    longest = OPTIONS["model"].max_length or 0
    if len(name) > longest:
        raise invalid("model", "The name of the model is too long.", f"It may have {longest} characters.")
    return name


def _reply(name: str, task: Task) -> OpenAIFormat:
    reply = form_values.chosen(name, OpenAIFormat.JSON, "response_format", "a response format")
    if reply is OpenAIFormat.DIARIZED_JSON and task is not Task.TRANSCRIBE:
        message = "Speakers are told apart in transcriptions only."
        hint = "Send the recording to /v1/audio/transcriptions, or use another response_format."
        raise invalid("response_format", message, hint, "unsupported_value")
    return reply


def _granularities(wanted: Sequence[str]) -> frozenset[str]:
    for name in wanted:
        if name not in GRANULARITIES:
            hint = f"Use {' or '.join(GRANULARITIES)}, or both."
            raise invalid("timestamp_granularities", f"{quoted(name, 40)} is not a granularity.", hint)
    return frozenset(wanted)
