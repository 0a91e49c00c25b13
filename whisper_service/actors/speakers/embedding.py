"""Embeddings: 192 numbers that are alike for speech of one person and different for two people.

The network is CAM++ of 3D-Speaker. It gets the features of the speech less their mean over time, as in its training.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from whisper_service.actors.speakers.network import Network

WIDTH: Final = 192
LEAST_FRAMES: Final = 35
"""Features, 0.35 s. Shorter speech says little about who speaks."""


class Embedder:
    """The loaded network."""

    def __init__(self, path: Path) -> None:
        """Load the network. Raises `ModelUnavailable` and `ModelBroken`."""
        self._network = Network(path)

    def embed(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32] | None:
        """Return the embedding of features (frames, 80): 192 numbers, a vector of length 1.

        None: there are too few features, or they are silence, which has no direction.
        """
        if len(features) < LEAST_FRAMES:
            return None
        vector = self._network((features - features.mean(axis=0))[None])[0]
        length = float(np.linalg.norm(vector))
        return vector / np.float32(length) if np.isfinite(length) and length > 0 else None
