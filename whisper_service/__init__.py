"""Self-hosted speech transcription that survives anything."""

__version__ = "0.1.0"
