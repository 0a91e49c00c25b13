"""`python -m whisper_service`. Nothing is imported until it is needed: every child process runs this file's top level again."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line; returns the exit code."""
    from whisper_service.cli.main import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
