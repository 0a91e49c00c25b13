"""Make a network as large as a larger model that says what a smaller one says, to measure what size costs.

    python -m bench.throughput.widen --to DIR [--model DIR] [--times 2] [--encoder 24] [--decoder 24]

Twice as wide and with 24 layers a side, base becomes as large as medium. Three times as wide with 32 layers, it is
1.4 times large-v3. The arithmetic is that of the larger network; the text is that of the smaller one, up to rounding.
A measurement has real speech, texts of a real length and a real search. Only the accuracy is not that of the larger
model. testkit/widened_model.py tells how.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from bench.lib import services
from testkit.widened_model import widen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=Path, required=True, help="the folder to write")
    parser.add_argument(
        "--model", type=Path, help="a CTranslate2 model directory in float16 (default: the built-in one)"
    )
    parser.add_argument("--times", type=int, default=2, help="how many times as wide (default: 2)")
    parser.add_argument("--encoder", type=int, default=24, help="layers of the encoder (default: 24)")
    parser.add_argument("--decoder", type=int, default=24, help="layers of the decoder (default: 24)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        source = services.model(given.model, Path(scratch))
        parameters = widen(source, given.to, times=given.times, encoder=given.encoder, decoder=given.decoder)
    size = (given.to / "model.bin").stat().st_size
    print(f"{given.to}: {parameters / 1e6:.0f} million parameters, {size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
