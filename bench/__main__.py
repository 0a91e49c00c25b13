"""List the benchmarks, one line each: `python -m bench`. `python -m NAME --help` tells the options of one."""

from __future__ import annotations

import ast
from pathlib import Path

HERE = Path(__file__).parent
LIBRARY = "lib"
"""The folder of what benchmarks share; the modules in all other folders are benchmarks."""


def benchmarks() -> dict[str, str]:
    """Return the name of every benchmark, like `bench.latency.startup`, with the first line of its docstring."""
    found: dict[str, str] = {}
    for path in sorted(HERE.glob("*/*.py")):
        if path.stem != "__init__" and path.parent.name != LIBRARY:
            name = f"bench.{path.parent.name}.{path.stem}"
            found[name] = (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").partition("\n")[0]
    return found


def main() -> None:
    known = benchmarks()
    width = max(map(len, known))
    for name, line in known.items():
        print(f"{name:{width}}  {line}")


if __name__ == "__main__":
    main()
