"""Cuts a text into words as the model writes them: by spaces, and by character where a script has no spaces. Pure.

The page has the same rules in TypeScript. They use only what both languages know of Unicode, so that both cut alike.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from whisper_service.core.text import NEUTRAL, OPENING

_UNSPACED: Final = (
    (0x0E00, 0x109F),  # Thai, Lao, Tibetan, Burmese
    (0x1780, 0x17FF),  # Khmer
    (0x3005, 0x3007),  # marks of repetition, zero
    (0x3040, 0x30FF),  # Hiragana, Katakana
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),  # Han
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0xFF66, 0xFF9F),  # Katakana of half width
    (0x20000, 0x3FFFF),
)
"""Code points of the scripts that write no spaces between words."""
_WIDE_MARKS: Final = ((0x3001, 0x303F), (0xFF01, 0xFF65))
"""Code points of marks that need no space behind them. Letters among them are told apart by `spoken`."""
_SPOKEN_MARKS: Final = frozenset("%&+")
_CHARACTERS: Final = 20_000
"""What is known of so many characters, and of so many words, is kept: a text has few, again and again."""
_ASCII_WORD: Final = re.compile(r"[^0-9A-Za-z%&+$]*[0-9A-Za-z%&+$][^\s(\[{]*")
"""A word of a text in ASCII, by the rules of `split_words`. Five times as fast."""


def split_words(text: str) -> list[str]:
    """Return the words of a text, each with the spaces before it and its marks. Joined they are the text.

    A text without any letter or number is one word. An empty text has none.
    """
    return _split_ascii(text) if text.isascii() else _split(text)


def _split_ascii(text: str) -> list[str]:
    words = _ASCII_WORD.findall(text)
    rest = text[sum(map(len, words)) :]  # marks behind the last word
    if words and rest:
        words[-1] += rest
    return words or [text] * bool(text)


def _split(text: str) -> list[str]:
    words: list[str] = []
    word = ""
    last = ""  # the last letter or number of `word`
    for character in text:
        if _ends(word, last, character):
            words.append(word)
            word, last = "", ""
        word += character
        if spoken(character) and not _combining(character):
            last = character
    if word and (last or not words):
        words.append(word)
    elif word:  # marks behind the last word
        words[-1] += word
    return words


def _ends(word: str, last: str, character: str) -> bool:
    """Return whether the next character begins a new word. `word` without a letter takes whatever follows."""
    if not last or _combining(character):
        return False
    if spoken(character):
        # Behind a space or an opening mark the word has ended already; only scripts without spaces end here.
        return unspaced(character) or unspaced(last) or _wide_mark(word[-1])
    if character.isspace():
        return True
    return character in OPENING and character not in NEUTRAL and character not in "‘’"


@lru_cache(_CHARACTERS)
def key(word: str) -> str:
    """Return what two words must share to be the same word: letters and numbers, without case, width and marks."""
    normal = unicodedata.normalize("NFKC", word).lower()
    return "".join(filter(spoken, normal)) or normal.strip()


@lru_cache(_CHARACTERS)
def spoken(character: str) -> bool:
    """Return whether a character is said: a letter, a number, a sign of money or one of `%&+`."""
    return unicodedata.category(character)[0] in "LNM" or character in _SPOKEN_MARKS or _money(character)


@lru_cache(_CHARACTERS)
def unspaced(character: str) -> bool:
    """Return whether a character belongs to a script without spaces between words."""
    return _within(character, _UNSPACED)


def joint(before: str, after: str) -> str:
    """Return what stands between two texts that become one: nothing beside a script without spaces, else a space."""
    ends = [character for character in before if spoken(character)][-1:]
    begins = [character for character in after if spoken(character)][:1]
    return "" if all(map(unspaced, ends + begins)) and ends and begins else " "


@lru_cache(_CHARACTERS)
def _wide_mark(character: str) -> bool:
    return _within(character, _WIDE_MARKS) and not spoken(character)


def _within(character: str, ranges: Iterable[tuple[int, int]]) -> bool:
    return any(first <= ord(character) <= last for first, last in ranges)


def _money(character: str) -> bool:
    return unicodedata.category(character) == "Sc"


@lru_cache(_CHARACTERS)
def _combining(character: str) -> bool:
    return unicodedata.category(character)[0] == "M"
