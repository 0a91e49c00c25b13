"""List the languages that Whisper knows, and check the codes that clients send. Pure."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Final

from whisper_service.core.errors import InvalidRequest

LANGUAGES: Final[dict[str, str]] = {
    "af": "Afrikaans", "am": "Amharic", "ar": "Arabic", "as": "Assamese", "az": "Azerbaijani",
    "ba": "Bashkir", "be": "Belarusian", "bg": "Bulgarian", "bn": "Bengali", "bo": "Tibetan",
    "br": "Breton", "bs": "Bosnian", "ca": "Catalan", "cs": "Czech", "cy": "Welsh",
    "da": "Danish", "de": "German", "el": "Greek", "en": "English", "es": "Spanish",
    "et": "Estonian", "eu": "Basque", "fa": "Persian", "fi": "Finnish", "fo": "Faroese",
    "fr": "French", "gl": "Galician", "gu": "Gujarati", "ha": "Hausa", "haw": "Hawaiian",
    "he": "Hebrew", "hi": "Hindi", "hr": "Croatian", "ht": "Haitian Creole", "hu": "Hungarian",
    "hy": "Armenian", "id": "Indonesian", "is": "Icelandic", "it": "Italian", "ja": "Japanese",
    "jw": "Javanese", "ka": "Georgian", "kk": "Kazakh", "km": "Khmer", "kn": "Kannada",
    "ko": "Korean", "la": "Latin", "lb": "Luxembourgish", "ln": "Lingala", "lo": "Lao",
    "lt": "Lithuanian", "lv": "Latvian", "mg": "Malagasy", "mi": "Maori", "mk": "Macedonian",
    "ml": "Malayalam", "mn": "Mongolian", "mr": "Marathi", "ms": "Malay", "mt": "Maltese",
    "my": "Burmese", "ne": "Nepali", "nl": "Dutch", "nn": "Nynorsk", "no": "Norwegian",
    "oc": "Occitan", "pa": "Punjabi", "pl": "Polish", "ps": "Pashto", "pt": "Portuguese",
    "ro": "Romanian", "ru": "Russian", "sa": "Sanskrit", "sd": "Sindhi", "si": "Sinhala",
    "sk": "Slovak", "sl": "Slovenian", "sn": "Shona", "so": "Somali", "sq": "Albanian",
    "sr": "Serbian", "su": "Sundanese", "sv": "Swedish", "sw": "Swahili", "ta": "Tamil",
    "te": "Telugu", "tg": "Tajik", "th": "Thai", "tk": "Turkmen", "tl": "Tagalog",
    "tr": "Turkish", "tt": "Tatar", "uk": "Ukrainian", "ur": "Urdu", "uz": "Uzbek",
    "vi": "Vietnamese", "yi": "Yiddish", "yo": "Yoruba", "yue": "Cantonese", "zh": "Chinese",
}  # fmt: skip
"""Whisper's language token -> its English name. `jw` is the model's own spelling of Javanese (ISO 639-1: `jv`)."""

_ALIASES: Final = {name.lower(): code for code, name in LANGUAGES.items()} | {
    "jv": "jw", "iw": "he", "in": "id", "nb": "no", "fil": "tl", "cmn": "zh", "zho": "zh", "eng": "en",
    "mandarin": "zh", "castilian": "es", "flemish": "nl", "farsi": "fa", "中文": "zh", "普通话": "zh", "粤语": "yue",
}  # fmt: skip
"""What people write instead of a code -> the code."""


def check_code(language: str) -> str | None:
    """Return the code that a client sent; None for "" and "auto", which ask for detection.

    Raises `InvalidRequest` for anything but a code, with the code that `Chinese`, `zh-CN` or `jv` probably means.
    """
    wanted = language.strip().lower()
    if wanted in ("", "auto"):
        return None
    if wanted in LANGUAGES:
        return wanted
    near = _nearest(wanted)
    hint = f"Did you mean {near} ({LANGUAGES[near]})? " if near else ""
    raise InvalidRequest(
        f"{language[:40]!r} is not a language code that Whisper knows.",
        hint=f"{hint}Use a code such as en, zh or de, or leave it out to have the language detected.",
        field="language",
        nearest=near,
    )


def find_code(language: str) -> str | None:
    """Return the code like `check_code`, but also accept names (`english`), regions (`pt-BR`) and other spellings.

    For the interfaces of other programs, whose clients cannot be changed.
    """
    wanted = language.strip().lower()
    for word in (wanted, wanted.replace("_", "-").partition("-")[0]):
        if (code := _ALIASES.get(word, word)) in LANGUAGES:
            return code
    return check_code(language)


def _nearest(wanted: str) -> str | None:
    base = wanted.replace("_", "-").partition("-")[0]
    if base in LANGUAGES:
        return base
    for word in (wanted, base):
        if word in _ALIASES:
            return _ALIASES[word]
    close = get_close_matches(wanted[:40], [*_ALIASES, *LANGUAGES], n=1)
    return _ALIASES.get(close[0], close[0]) if close else None
