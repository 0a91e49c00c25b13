"""The names that the speech actor uses from inside faster-whisper.

`faster_whisper.__all__` holds none of these names, so any release may change them. No other module of the speech actor
imports from inside faster-whisper. `test_faster_whisper_private.py` tells which name or parameter is gone.
"""

from faster_whisper.feature_extractor import FeatureExtractor
from faster_whisper.tokenizer import Tokenizer
from faster_whisper.transcribe import get_suppressed_tokens

__all__ = ["FeatureExtractor", "Tokenizer", "get_suppressed_tokens"]
