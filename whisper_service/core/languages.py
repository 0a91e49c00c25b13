"""List the languages that Whisper knows, and read the codes that clients send. Pure."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Final

from whisper_service.core.errors import InvalidRequest
from whisper_service.core.text import quoted

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

_CODES: Final[dict[str, str]] = {
    "afr": "af", "amh": "am", "ara": "ar", "asm": "as", "aze": "az", "bak": "ba", "bel": "be", "bul": "bg",
    "ben": "bn", "bod": "bo", "tib": "bo", "bre": "br", "bos": "bs", "cat": "ca", "ces": "cs", "cze": "cs",
    "cym": "cy", "wel": "cy", "dan": "da", "deu": "de", "ger": "de", "ell": "el", "gre": "el", "eng": "en",
    "spa": "es", "est": "et", "eus": "eu", "baq": "eu", "fas": "fa", "per": "fa", "fin": "fi", "fao": "fo",
    "fra": "fr", "fre": "fr", "glg": "gl", "guj": "gu", "hau": "ha", "heb": "he", "hin": "hi", "hrv": "hr",
    "hat": "ht", "hun": "hu", "hye": "hy", "arm": "hy", "ind": "id", "isl": "is", "ice": "is", "ita": "it",
    "jpn": "ja", "jav": "jw", "kat": "ka", "geo": "ka", "kaz": "kk", "khm": "km", "kan": "kn", "kor": "ko",
    "lat": "la", "ltz": "lb", "lin": "ln", "lao": "lo", "lit": "lt", "lav": "lv", "mlg": "mg", "mri": "mi",
    "mao": "mi", "mkd": "mk", "mac": "mk", "mal": "ml", "mon": "mn", "mar": "mr", "msa": "ms", "may": "ms",
    "mlt": "mt", "mya": "my", "bur": "my", "nep": "ne", "nld": "nl", "dut": "nl", "nno": "nn", "nor": "no",
    "oci": "oc", "pan": "pa", "pol": "pl", "pus": "ps", "por": "pt", "ron": "ro", "rum": "ro", "rus": "ru",
    "san": "sa", "snd": "sd", "sin": "si", "slk": "sk", "slo": "sk", "slv": "sl", "sna": "sn", "som": "so",
    "sqi": "sq", "alb": "sq", "srp": "sr", "sun": "su", "swe": "sv", "swa": "sw", "tam": "ta", "tel": "te",
    "tgk": "tg", "tha": "th", "tuk": "tk", "tgl": "tl", "tur": "tr", "tat": "tt", "ukr": "uk", "urd": "ur",
    "uzb": "uz", "vie": "vi", "yid": "yi", "yor": "yo", "zho": "zh", "chi": "zh",
    # other codes of a language that Whisper knows: older ones, and those of its main form
    "jv": "jw", "iw": "he", "in": "id", "ji": "yi", "mo": "ro", "nb": "no", "nob": "no", "fil": "tl", "cmn": "zh",
    "arb": "ar", "pes": "fa", "swh": "sw", "zsm": "ms", "lvs": "lv", "ekk": "et", "khk": "mn", "als": "sq",
}  # fmt: skip
"""Codes that are not Whisper's -> Whisper's: both kinds of ISO 639-2 (`deu`, `ger`), older codes, some of 639-3."""

_NAMES: Final = {name.lower(): code for code, name in LANGUAGES.items()} | {
    "mandarin": "zh", "castilian": "es", "flemish": "nl", "farsi": "fa", "中文": "zh", "普通话": "zh", "粤语": "yue",
}  # fmt: skip
"""What people write instead of a code -> the code."""
_TAG: Final = re.compile(r"([a-z]{2,3})((?:-[a-z0-9]{1,8})*)")
_LOCALE: Final = re.compile(r"[.@].*", re.DOTALL)
"""What follows the tag in the name of a locale, like `en_US.UTF-8`."""


def check_code(language: str) -> str | None:
    """Return Whisper's code for the code that a client sent; None for "" and "auto", which ask for detection.

    Accepts codes of two and three letters (`de`, `deu`, `ger`) and tags with a region or a script (`pt-BR`, `zh-Hant`).
    Raises `InvalidRequest` for everything else, with the code that `Chinese` or `portugese` probably means.
    """
    wanted = language.strip().lower()
    if wanted in ("", "auto"):
        return None
    if code := _code_of(wanted):
        return code
    near = _nearest(wanted)
    hint = f"Did you mean {near} ({LANGUAGES[near]})? " if near else ""
    raise InvalidRequest(
        f"{quoted(language, 40)} is not a language code that Whisper knows.",
        hint=f"{hint}Use a code such as en, zh or de, or leave it out to have the language detected.",
        field="language",
        nearest=near,
    )


def find_code(language: str) -> str | None:
    """Return the code like `check_code`, but also accept names (`english`).

    For the interfaces of other programs, whose clients cannot be changed.
    """
    return _NAMES.get(language.strip().lower()) or check_code(language)


def known_code(language: str) -> str | None:
    """Return the code like `find_code`; None also for a language that Whisper does not know."""
    try:
        return find_code(language)
    except InvalidRequest:
        return None


def _code_of(wanted: str) -> str | None:
    """Return Whisper's code for a tag in small letters. None: there is none."""
    found = _TAG.fullmatch(_LOCALE.sub("", wanted).replace("_", "-"))
    if found is None:
        return None
    if found[1] == "zh" and "yue" in found[2].split("-"):  # an older form of the tag: Cantonese as a kind of Chinese
        return "yue"
    return found[1] if found[1] in LANGUAGES else _CODES.get(found[1])


def _nearest(wanted: str) -> str | None:
    """Return the code of the name that was probably meant. Codes are not compared: near ones mean other languages."""
    if wanted in _NAMES:
        return _NAMES[wanted]
    close = get_close_matches(wanted[:40], _NAMES, n=1) if len(wanted) > 3 else []
    return _NAMES[close[0]] if close else None
