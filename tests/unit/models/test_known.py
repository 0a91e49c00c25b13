"""The table of known models agrees with the library, with published numbers, and with itself."""

from __future__ import annotations

import math
import re

import pytest
from faster_whisper.utils import _MODELS
from hypothesis import given
from hypothesis import strategies as st

from testkit.repository import DOCS
from whisper_service.models.bundled import BUNDLED
from whisper_service.models.catalog import ALIASES
from whisper_service.models.known import BY_NAME, KNOWN, ON_CPU, ON_GPU, Fit, KnownModel

GB = 1_000_000_000
DOC = (DOCS / "models.md").read_text("utf-8")
models = pytest.mark.parametrize("model", KNOWN, ids=[model.name for model in KNOWN])


def test_names_and_repos_are_those_of_the_library() -> None:
    assert {model.name: model.repo for model in KNOWN} == {
        name: repo for name, repo in _MODELS.items() if name not in ALIASES
    }
    assert {alias: BY_NAME[name].repo for alias, name in ALIASES.items()} == {
        alias: _MODELS[alias] for alias in ALIASES
    }


def test_every_model_is_ranked_once_and_those_for_one_language_come_last() -> None:
    assert len(KNOWN) == len(ON_GPU) == len(set(ON_GPU))
    assert sorted(ON_CPU) == sorted(ON_GPU)
    for ranking in (ON_CPU, ON_GPU):
        languages = [BY_NAME[name].languages for name in ranking]
        assert languages == sorted(languages, reverse=True)
    assert (ON_GPU[0], ON_CPU[:3]) == ("large-v3-turbo", ("small", "base", "tiny"))


@pytest.mark.parametrize(
    ("name", "millions"),  # as published with the models
    [
        ("tiny", 39),
        ("base", 74),
        ("small", 244),
        ("medium", 769),
        ("large-v2", 1550),
        ("large-v3-turbo", 809),
        ("distil-small.en", 166),
        ("distil-medium.en", 394),
        ("distil-large-v2", 756),
        ("distil-large-v3", 756),
    ],
)
def test_parameters_are_the_published_ones(name: str, millions: int) -> None:
    assert BY_NAME[name].shape.parameters / 1e6 == pytest.approx(millions, rel=0.04)


def test_weights_have_the_size_of_a_real_file() -> None:
    """The built-in base model is the very conversion that the table means."""
    size = sum(file.size for file in BUNDLED["base"])
    assert 2 * BY_NAME["base"].shape.parameters == pytest.approx(BUNDLED["base"][0].size, rel=0.001)
    assert BY_NAME["base"].download_bytes == pytest.approx(size, rel=0.02)


@pytest.mark.parametrize(
    ("name", "scores", "keys_and_values"),  # MB of a chunk on a GPU, in float16
    [("base", 36, 18), ("small", 54, 55), ("medium", 72, 147), ("large-v3", 90, 246), ("large-v3-turbo", 90, 31)],
)
def test_a_chunk_takes_what_the_arithmetic_of_the_network_says(
    name: str, scores: float, keys_and_values: float
) -> None:
    shape = BY_NAME[name].shape
    one, two = (shape.memory_bytes("float16", device="cuda", chunks=chunks) for chunks in (1, 2))
    assert (two - one) / 1e6 == pytest.approx(scores + keys_and_values, abs=1.5)
    assert shape.memory_bytes("int8", chunks=2) - shape.memory_bytes("int8", chunks=1) == 2 * (two - one)


def test_memory_of_base_is_what_was_measured() -> None:
    """370 MB with one chunk, 1000 MB with eight, resident."""
    base = BY_NAME["base"].shape
    assert base.memory_bytes("int8", chunks=1) / 1e6 == pytest.approx(370, rel=0.1)
    assert base.memory_bytes("int8", chunks=8) / 1e6 == pytest.approx(1000, rel=0.2)


def test_as_many_chunks_go_on_a_gpu_as_its_memory_has_room_for() -> None:
    large = BY_NAME["large-v3"].shape
    for compute_type in ("float16", "int8_float16"):
        chunks = large.chunks_within(24 * GB, compute_type)
        assert large.memory_bytes(compute_type, device="cuda", chunks=chunks) <= 24 * GB
        assert large.memory_bytes(compute_type, device="cuda", chunks=chunks + 1) > 24 * GB
    assert large.chunks_within(GB) == 0
    assert large.chunks_within(24 * GB, "int16") == large.chunks_within(24 * GB, "float32")


@models
def test_a_smaller_type_never_takes_more(model: KnownModel) -> None:
    sizes = [model.shape.memory_bytes(kind) for kind in ("float32", "float16", "int8_float16")]
    assert sizes == sorted(sizes, reverse=True)
    with pytest.raises(KeyError):
        model.shape.memory_bytes("int3")


@pytest.mark.parametrize(
    ("name", "speed"),
    [("tiny", 109), ("base", 52), ("small", 16), ("medium", 5.3), ("large-v3-turbo", 3.9), ("large-v3", 2.9)],
)
def test_speed_is_the_share_of_the_bound_that_is_reached(name: str, speed: float) -> None:
    assert BY_NAME[name].shape.speed_on_cpu(1) / 0.2 == pytest.approx(speed, rel=0.15)


def test_what_suits_which_machine() -> None:
    def fits(cpus: int, memory: int, vram: int = 0) -> dict[Fit, set[str]]:
        by_fit: dict[Fit, set[str]] = {fit: set() for fit in Fit}
        for model in KNOWN:
            by_fit[model.shape.suits(cpus, memory, vram).fit].add(model.name)
        return by_fit

    laptop = fits(2, 8 * GB)
    assert {"tiny", "base", "small", "medium"} <= laptop[Fit.CPU]
    assert {"large-v3-turbo", "large-v3"} <= laptop[Fit.SLOW]
    assert 15 < BY_NAME["base"].shape.speed_on_cpu(2) < 25  # what the service reaches on two cores without VNNI
    assert not laptop[Fit.TOO_BIG]
    assert "large-v3" in fits(1, 2 * GB)[Fit.TOO_BIG]
    assert "large-v3" in fits(1, 4 * GB)[Fit.SLOW]
    assert "large-v3" in fits(4, 4 * GB)[Fit.CPU]
    assert "tiny" in fits(1, 500_000_000)[Fit.CPU]
    assert "large-v3" in fits(1, 500_000_000)[Fit.TOO_BIG]
    card = fits(8, 32 * GB, 24 * GB)
    assert card[Fit.GPU] == set(BY_NAME)


def test_a_small_card_takes_a_large_model_in_eight_bits() -> None:
    suits = BY_NAME["large-v3"].shape.suits(8, 32 * GB, 3 * GB)
    assert (suits.fit, suits.device, suits.compute_type) == (Fit.GPU, "cuda", "int8_float16")


@given(st.sampled_from(KNOWN), st.integers(1, 64), st.integers(0, 64 * GB), st.integers(0, 96 * GB))
def test_a_better_machine_is_never_worse(model: KnownModel, cpus: int, memory: int, vram: int) -> None:
    order = [Fit.TOO_BIG, Fit.SLOW, Fit.CPU, Fit.GPU]
    here = model.shape.suits(cpus, memory, vram)
    for better in (
        model.shape.suits(cpus + 1, memory, vram),
        model.shape.suits(cpus, memory + GB, vram),
        model.shape.suits(cpus, memory, vram + GB),
    ):
        assert order.index(better.fit) >= order.index(here.fit)
    if here.speed is not None:
        assert math.isclose(here.speed, model.shape.speed_on_cpu(cpus))


@models
def test_people_are_told_what_it_is_good_for(model: KnownModel) -> None:
    assert model.good_for
    assert model.languages == (
        "en" if model.name.endswith(".en") or model.name.startswith("distil") else "multilingual"
    )


@models
def test_the_docs_tell_the_same_numbers(model: KnownModel) -> None:
    def size(value: int) -> str:
        return f"{value / 1e9:.1f} GB" if value >= GB else f"{value / 1e6:.0f} MB"

    one, two = (model.shape.memory_bytes("float16", device="cuda", chunks=chunks) for chunks in (1, 2))
    languages = {"multilingual": "many", "en": "English"}[model.languages]
    numbers = [model.download_bytes, model.shape.memory_bytes("int8"), one, two - one]
    cells = [f"`{model.name}`", languages, f"{model.shape.parameters / 1e6:.0f} M", *map(size, numbers), model.good_for]
    assert f"| {' | '.join(cells)} |" in DOC.splitlines()


def test_the_table_of_the_docs_has_no_other_model() -> None:
    table = DOC.partition("## Known models")[2].partition("\n## ")[0]
    assert sorted(re.findall(r"^\| `(\S+)` \|", table, re.MULTILINE)) == sorted(BY_NAME)
