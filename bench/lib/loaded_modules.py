"""Run `whisper_service` and write at its end which modules it has loaded.

python -m bench.lib.loaded_modules FILE serve ...
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    from whisper_service.cli.main import main

    target = sys.argv.pop(1)
    code = main()
    names = sorted(sys.modules)  # before this module needs any of its own
    with open(target, "w", encoding="utf-8") as file:  # noqa: PTH123
        file.write("\n".join(names))
    sys.exit(code)
