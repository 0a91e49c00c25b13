"""The parts of `huggingface_hub` that its public interface does not promise. No other module uses them.

Import this module only after `hub.ENVIRONMENT` is set: the library reads the environment once.
`tests/unit/actors/download/test_huggingface_private.py` names the part that a new version takes away.
"""

from __future__ import annotations

from huggingface_hub import constants
from huggingface_hub.file_download import http_get
from huggingface_hub.utils._headers import build_hf_headers
from huggingface_hub.utils._http import default_client_factory, hf_raise_for_status

__all__ = ["build_hf_headers", "default_client_factory", "hf_raise_for_status", "http_get", "set_block_size"]


def set_block_size(size: int) -> None:
    """Make `http_get` write to the disk after every `size` bytes."""
    constants.DOWNLOAD_CHUNK_SIZE = size
