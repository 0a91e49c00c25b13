"""The rungs of the fallback end, each is lighter, and the way up is longer after every failure."""

from __future__ import annotations

from itertools import pairwise

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from whisper_service.core import fallback
from whisper_service.core.domain import Problem
from whisper_service.core.fallback import LONGEST_STRETCH_S, Fallback, Rung

OOM = Problem("oom", "There was not enough memory.")
GPU = Rung("cuda", "auto", 8, 2)
CPU = Rung("cpu", "auto", 8, 4)
GPU_TYPES = {
    "cuda:0": {"float32", "float16", "int8_float16", "int8_float32", "int8"},
    "cpu": {"float32", "int8", "int8_float32"},
}
types = st.sampled_from(
    [
        "auto",
        "default",
        "float32",
        "float16",
        "bfloat16",
        "int8_float32",
        "int8_float16",
        "int8_bfloat16",
        "int8",
        "odd",
    ]
)
sizes = st.integers(1, 64)
cpus = st.builds(Rung, st.just("cpu"), types, sizes, sizes)
gpus = st.builds(Rung, st.sampled_from(["cuda", "cuda:1"]), types, sizes, sizes)
supports = st.dictionaries(st.sampled_from(["cpu", "cuda:0", "cuda:1"]), st.sets(types))


def shown(rungs: tuple[Rung, ...]) -> list[str]:
    return [f"{rung.device} {rung.compute_type} {rung.slots}x{rung.batch}" for rung in rungs]


def test_from_a_full_gpu_to_the_cpu() -> None:
    assert shown(fallback.rungs(GPU, CPU, GPU_TYPES)) == [
        *[
            "cuda auto 2x8",
            "cuda auto 2x4",
            "cuda auto 2x2",
            "cuda auto 2x1",
            "cuda auto 1x1",
            "cuda int8_float16 1x1",
            "cuda int8 1x1",
        ],
        *["cpu auto 4x8", "cpu auto 4x4", "cpu auto 4x2", "cpu auto 4x1", "cpu auto 1x1"],
    ]


def test_a_cpu_has_its_own_way_down() -> None:
    wanted = Rung("cpu", "float32", 3, 2)
    assert shown(fallback.rungs(wanted, CPU, {})) == [
        "cpu float32 2x3",
        "cpu float32 2x1",
        "cpu float32 1x1",
        "cpu int8 1x1",
    ]


def test_only_what_the_device_can_is_on_it_and_the_cpu_only_if_it_is_allowed() -> None:
    old = {"cuda:1": {"float32", "int8", "int8_float32"}}
    wanted = Rung("cuda:1", "float32", 1, 1)
    assert shown(fallback.rungs(wanted, None, old)) == ["cuda:1 float32 1x1", "cuda:1 int8 1x1"]


@given(wanted=gpus | cpus, cpu=st.none() | cpus, supported=supports)
def test_it_begins_with_what_is_wanted_ends_and_every_rung_is_lighter(
    wanted: Rung, cpu: Rung | None, supported: dict[str, set[str]]
) -> None:
    rungs = fallback.rungs(wanted, cpu, supported)
    assert rungs[0] == wanted
    assert len(rungs) < 40
    assert all(lower.lightness < upper.lightness for upper, lower in pairwise(rungs))
    assert (rungs[-1].kind == "cpu") == (wanted.kind == "cpu" or cpu is not None)
    assert (rungs[-1].batch, rungs[-1].slots) == (1, 1)


@given(wanted=gpus | cpus, cpu=st.none() | cpus, supported=supports, loading=st.lists(st.booleans()))
def test_stepping_down_again_and_again_arrives_at_the_end(
    wanted: Rung, cpu: Rung | None, supported: dict[str, set[str]], loading: list[bool]
) -> None:
    rungs = fallback.rungs(wanted, cpu, supported)
    rung, steps = wanted, 0
    while (
        lower := fallback.next_lighter(rungs, rung, loading=bool(loading) and loading[steps % len(loading)])
    ) is not None:
        assert lower.lightness < rung.lightness
        rung, steps = lower, steps + 1
    assert steps < 40


def test_a_model_that_does_not_even_load_is_not_tried_with_smaller_batches() -> None:
    rungs = fallback.rungs(GPU, CPU, GPU_TYPES)
    seen = [rungs[0]]
    while (lower := fallback.next_lighter(rungs, seen[-1], loading=True)) is not None:
        seen.append(lower)
    assert shown(tuple(seen)) == [
        "cuda auto 2x8",
        "cuda int8_float16 1x1",
        "cuda int8 1x1",
        "cpu auto 4x8",
        "cpu auto 1x1",
    ]


def test_a_rung_of_other_settings_is_as_the_top() -> None:
    rungs = fallback.rungs(GPU, None, GPU_TYPES)
    assert fallback.next_lighter(rungs, Rung("cuda", "auto", 5, 2)) == rungs[1]


def test_up_after_a_stretch_of_success_and_down_for_twice_as_long_if_it_fails() -> None:
    rungs = fallback.rungs(GPU, CPU, GPU_TYPES)
    low = fallback.step_down(None, rungs[2], OOM, 100.0, 60.0)
    assert low == Fallback(rungs[2], 100.0, OOM, 60.0)
    assert fallback.step_up(low, rungs, 159.0) == low
    up = fallback.step_up(low, rungs, 160.0)
    assert up == Fallback(rungs[1], 160.0, OOM, 60.0, climbed=True)
    back = fallback.step_down(up, rungs[2], OOM, 170.0, 60.0)
    assert back == Fallback(rungs[2], 170.0, OOM, 120.0)
    assert fallback.step_up(back, rungs, 280.0) == back
    again = fallback.step_up(back, rungs, 290.0)
    assert again is not None
    top = fallback.step_up(again, rungs, 410.0)
    assert top == Fallback(rungs[0], 410.0, OOM, 120.0, climbed=True)
    assert fallback.step_up(top, rungs, 500.0) == top
    assert fallback.step_up(top, rungs, 530.0) is None


def test_a_clock_that_was_set_back_does_not_stop_the_way_up() -> None:
    rungs = fallback.rungs(GPU, None, GPU_TYPES)
    up = fallback.step_up(Fallback(rungs[1], 1e9, OOM, 60.0), rungs, 5.0)
    assert up is not None
    assert up.rung == rungs[0]


@given(st.integers(0, 40))
def test_a_stretch_has_an_end(failures: int) -> None:
    current = Fallback(GPU, 0.0, OOM, 1800.0)
    for _ in range(failures):
        current = fallback.step_down(msgspec.structs.replace(current, climbed=True), GPU, OOM, 0.0, 1800.0)
    assert 1800.0 <= current.climb_after_s <= LONGEST_STRETCH_S


def test_every_step_is_told_in_codes_and_as_a_sentence() -> None:
    rungs = fallback.rungs(GPU, CPU, GPU_TYPES)
    changes = [fallback.describe_change(upper, lower) for upper, lower in pairwise(rungs)]
    assert [(changes[n].params, changes[n].sentence) for n in (0, 3, 4, 5, 6, 10)] == [
        ({"kind": "batch", "to": 4}, "The service continues with batches of 4."),
        ({"kind": "slots", "to": 1}, "The service continues with one batch at a time."),
        ({"kind": "compute_type", "to": "int8_float16"}, "The service continues with the compute type int8_float16."),
        ({"kind": "compute_type", "to": "int8"}, "The service continues with the compute type int8."),
        ({"kind": "device", "to": "cpu"}, "The service continues with the CPU."),
        ({"kind": "slots", "to": 1}, "The service continues with one batch at a time."),
    ]
    back = fallback.describe_change(rungs[7], rungs[6])
    assert (back.params, back.sentence) == ({"kind": "device", "to": "cuda"}, "The service continues with the GPU.")
