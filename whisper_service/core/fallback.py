"""Choose lighter ways to work after memory ran out, and return to heavier ones after success. Pure.

    batches of 32 (on a GPU), 16, 8, 4, 2, 1 ─▶ one at a time ─▶ smaller numbers: float16, int8_float16, int8 ─▶ the CPU

Each rung needs less memory than the rung before. The service goes down at once when memory runs out or the GPU reports
an error. It goes up by one rung after a stretch of success. If that fails, the next stretch is twice as long. The
database keeps the rung of a model on a device: a new actor starts there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import msgspec

from whisper_service.core.domain import Problem, Value

LONGEST_STRETCH_S: Final = 24 * 3600.0
BEST: Final = {"cuda": "float16", "cpu": "int8"}
"""The compute type that the speech actor chooses for "auto", if the device supports it."""
_WEIGHT: Final = {
    "float32": 5, "int16": 4, "float16": 4, "bfloat16": 4, "int8_float32": 3,
    "int8_float16": 2, "int8_bfloat16": 2, "int8": 1,
}  # fmt: skip
_LIGHTER: Final = {"cuda": ("float16", "int8_float16", "int8"), "cpu": ("int8",)}
"""The compute types that a fallback may use."""


class Rung(Value, frozen=True):
    """One way to work, one step of the fallback."""

    device: str  # "cpu" | "cuda" | "cuda:1" ...
    compute_type: str  # "auto", "default" or one of CTranslate2's
    batch: int  # chunks of a batch
    slots: int  # batches at the same time

    @property
    def kind(self) -> str:
        """The device without its number: "cpu" or "cuda"."""
        return self.device.partition(":")[0]

    @property
    def lightness(self) -> tuple[int, int, int, int]:
        """A sort key: a smaller one needs less memory, first of all the GPU's."""
        name = BEST[self.kind] if self.compute_type == "auto" else self.compute_type
        return (self.kind != "cpu", _WEIGHT.get(name, _WEIGHT["float32"]), self.slots, self.batch)


class Fallback(Value, frozen=True):
    """The rung of a model on a device that had not enough memory for the settings."""

    rung: Rung
    at: float  # Unix seconds: since when
    problem: Problem  # why
    climb_after_s: float  # the stretch of success before the next step up
    climbed: bool = False  # came from a lower rung, and has not lasted a stretch yet


class Adjustment(Value, frozen=True):
    """What is changed after a failure: codes for programs, a sentence for people."""

    kind: str  # "batch" | "slots" | "compute_type" | "device", or what happens to a part of a recording
    sentence: str
    to: int | str | None = None  # the new value; None: the kind has no value

    @property
    def params(self) -> dict[str, int | str]:
        """The change without its sentence, for the `params` of a note."""
        return {"kind": self.kind} if self.to is None else {"kind": self.kind, "to": self.to}


def rungs(wanted: Rung, cpu: Rung | None, supported: Mapping[str, Collection[str]]) -> tuple[Rung, ...]:
    """Return the rungs from the wanted one down.

    `cpu` is the rung to use when the device has no lighter one; None: the CPU must not be used. `supported` has the
    compute types of each device ("cpu", "cuda:0"). A device that is not in it supports all.
    """
    found = _on_device(wanted, supported)
    if cpu is not None and wanted.kind != "cpu":
        found += _on_device(cpu, supported)
    return tuple(found)


def next_lighter(rungs: Sequence[Rung], rung: Rung, *, loading: bool = False) -> Rung | None:
    """Return the next lighter rung; None: there is none. While `loading`: one that makes the model itself smaller."""
    for lower in rungs[_place(rungs, rung) + 1 :]:
        if not loading or _of_model(lower) != _of_model(rung):
            return lower
    return None


def step_down(current: Fallback | None, to: Rung, problem: Problem, now: float, climb_after_s: float) -> Fallback:
    """Return the fallback after a failure. If a step up failed, the next stretch is twice as long."""
    stretch = climb_after_s
    if current is not None and current.climbed:
        stretch = min(LONGEST_STRETCH_S, 2 * current.climb_after_s)
    return Fallback(to, now, problem, stretch)


def step_up(current: Fallback, rungs: Sequence[Rung], now: float) -> Fallback | None:
    """Return the fallback after a success: one rung higher if a stretch is over. None: none is needed any more."""
    if 0 <= now - current.at < current.climb_after_s:  # a clock that was set back counts as a stretch
        return current
    place = _place(rungs, current.rung)
    if place == 0:
        return None
    return Fallback(rungs[place - 1], now, current.problem, current.climb_after_s, climbed=True)


def describe_change(before: Rung, after: Rung) -> Adjustment:
    """Return what is different after a change."""
    if before.kind != after.kind:
        device = "CPU" if after.kind == "cpu" else "GPU"
        return Adjustment("device", f"The service continues with the {device}.", after.kind)
    if before.compute_type != after.compute_type:
        sentence = f"The service continues with the compute type {after.compute_type}."
        return Adjustment("compute_type", sentence, after.compute_type)
    if before.slots != after.slots:
        batches = "one batch" if after.slots == 1 else f"{after.slots} batches"
        return Adjustment("slots", f"The service continues with {batches} at a time.", after.slots)
    return Adjustment("batch", f"The service continues with batches of {after.batch}.", after.batch)


def _on_device(wanted: Rung, supported: Mapping[str, Collection[str]]) -> list[Rung]:
    """Return the rungs that stay on the device of `wanted`."""
    found = [wanted]
    while found[-1].batch > 1:
        found.append(msgspec.structs.replace(found[-1], batch=found[-1].batch // 2))
    if wanted.slots > 1:
        found.append(msgspec.structs.replace(found[-1], slots=1))
    number = wanted.device if ":" in wanted.device or wanted.kind == "cpu" else f"{wanted.device}:0"
    names = supported.get(number) or _WEIGHT
    for name in _LIGHTER[wanted.kind]:
        lighter = msgspec.structs.replace(found[-1], compute_type=name)
        if name in names and lighter.lightness < found[-1].lightness:
            found.append(lighter)
    return found


def _of_model(rung: Rung) -> tuple[str, str, int]:
    """Return what decides the size of the loaded model. On a GPU all slots share one model."""
    return rung.device, rung.compute_type, rung.slots if rung.kind == "cpu" else 0


def _place(rungs: Sequence[Rung], rung: Rung) -> int:
    """Return the index of a rung; 0 for one of other settings, which start anew."""
    return rungs.index(rung) if rung in rungs else 0
