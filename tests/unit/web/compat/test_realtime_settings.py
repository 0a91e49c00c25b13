"""What clients of the Realtime API set, in both dialects, and how it is told back."""

from __future__ import annotations

from typing import Any

import pytest

from whisper_service.core.domain import Encoding, LiveSession, Preset
from whisper_service.core.errors import InvalidRequest
from whisper_service.web.compat.realtime_settings import AudioFormat, RealtimeSettings, format_of


def sound(**fields: Any) -> dict[str, Any]:
    return {"type": "transcription", "audio": {"input": fields}}


def test_what_is_absent_stays_and_null_clears() -> None:
    first = RealtimeSettings().updated(
        sound(
            format={"type": "audio/pcm", "rate": 24000},
            transcription={"model": "gpt-4o-transcribe", "language": "de", "prompt": "Names", "keywords": ["Ute"]},
            noise_reduction={"type": "near_field"},
            turn_detection={"type": "server_vad", "threshold": 0.4, "silence_duration_ms": 350},
        ),
        beta=False,
    )
    assert first.turn_detection is not None
    assert (first.turn_detection.silence_s, first.turn_detection.prefix_s) == (0.35, 0.3)
    told = first.told(beta=False)
    assert told["object"] == "realtime.transcription_session"
    assert told["audio"]["input"] == {
        "format": {"type": "audio/pcm", "rate": 24000},
        "transcription": {
            "model": "gpt-4o-transcribe", "language": "de", "prompt": "Names", "keywords": ("Ute",),
        },
        "noise_reduction": {"type": "near_field"},
        "turn_detection": {
            "type": "server_vad", "threshold": 0.4, "prefix_padding_ms": 300, "silence_duration_ms": 350,
        },
    }  # fmt: skip
    assert first.updated(sound(), beta=False) == first
    cleared = first.updated(sound(turn_detection=None, noise_reduction=None, transcription=None), beta=False)
    assert (cleared.turn_detection, cleared.noise_reduction) == (None, None)
    assert cleared.told(beta=False)["audio"]["input"]["transcription"] == {}
    assert cleared.format == first.format
    partly = first.updated(sound(transcription={"language": "fr"}), beta=False)
    assert (partly.transcription.language, partly.transcription.prompt) == ("fr", "Names")


def test_the_older_dialect_means_the_same() -> None:
    old = RealtimeSettings().updated(
        {
            "input_audio_format": "g711_ulaw",
            "input_audio_transcription": {"model": "whisper-1", "language": "en"},
            "turn_detection": {"type": "semantic_vad", "eagerness": "high"},
            "input_audio_noise_reduction": {"type": "far_field"},
            "include": ["item.input_audio_transcription.logprobs"],
        },
        beta=True,
    )
    new = RealtimeSettings().updated(
        sound(
            format={"type": "audio/pcmu"},
            transcription={"model": "whisper-1", "language": "en"},
            turn_detection={"type": "semantic_vad", "eagerness": "high"},
            noise_reduction={"type": "far_field"},
        )
        | {"include": ["item.input_audio_transcription.logprobs"]},
        beta=False,
    )
    assert old == new
    assert old.live() == LiveSession("realtime", 8_000, Encoding.MULAW, 1)
    told = old.told(beta=True)
    assert (told["input_audio_format"], told["turn_detection"]["eagerness"]) == ("g711_ulaw", "high")


def test_the_options_of_the_job() -> None:
    said = {"model": "gpt-live-transcribe", "languages": ["german"], "prompt": "Say it.", "keywords": ["a", "b"]}
    options = RealtimeSettings().updated(sound(transcription=said), beta=False).call(Preset.FAST).options
    assert (options.model, options.language, options.prompt, options.preset) == ("auto", "de", "a, b Say it.", "fast")
    assert RealtimeSettings().call(Preset.BALANCED).options.model == "auto"


@pytest.mark.parametrize(
    ("session", "field"),
    [
        (None, "session"),
        ({"type": "realtime"}, "session.type"),
        (sound(format={"type": "audio/opus"}), "session.audio.input.format.type"),
        (sound(format={"type": "audio/pcm", "rate": 1}), "session.audio.input.format.rate"),
        (sound(turn_detection={"type": "server_vad", "silence_duration_ms": -1}), "silence_duration_ms"),
        (sound(turn_detection={"type": "other"}), "turn_detection.type"),
        (sound(transcription={"model": 5}), "transcription.model"),
    ],
)
def test_what_cannot_be_set_names_its_field(session: Any, field: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        RealtimeSettings().updated(session, beta=False)
    assert raised.value.params["field"].endswith(field)


def test_an_unknown_language_is_refused() -> None:
    settings = RealtimeSettings().updated(sound(transcription={"language": "klingon"}), beta=False)
    with pytest.raises(InvalidRequest):
        settings.call(Preset.BALANCED)


def test_formats_of_sessions_that_can_be_resumed() -> None:
    assert format_of(LiveSession("m", 24_000)) == AudioFormat("audio/pcm", 24_000)
    assert format_of(LiveSession("m", 8_000, Encoding.ALAW)) == AudioFormat("audio/pcma")
    assert format_of(LiveSession("m", 24_000, Encoding.F32LE)) is None
    assert format_of(LiveSession("m", 24_000, channels=2)) is None
    assert format_of(LiveSession("m", 96_000)) is None
    assert format_of(LiveSession("m", 16_000, Encoding.MULAW)) is None
