"""Run the command line. Nothing else is imported here, because every actor runs the top level of this file again."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line; returns the exit code."""
    from whisper_service.cli.main import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
