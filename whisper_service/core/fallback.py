"""Ways to do the same work with less memory, each lighter than the one before, and when to go down and up between them. Pure.

    batches of 32 (on a GPU), 16, 8, 4, 2, 1 ─▶ one at a time ─▶ smaller numbers: float16, int8_float16, int8 ─▶ the CPU

Down at once when memory runs out or the GPU reports an error; up by one after a stretch of success. If that fails, the next
stretch is twice as long. Where a model stands on a device is in the database: a new actor starts there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import msgspec

from whisper_service.core.domain import Problem, Value

LONGEST_STRETCH_S: Final = 24 * 3600.0
BEST: Final = {"cuda": "float16", "cpu": "int8"}
"""What "auto" comes to where it is supported, as the speech actor resolves it."""
_WEIGHT: Final = {
    "float32": 5, "int16": 4, "float16": 4, "bfloat16": 4, "int8_float32": 3, "int8_float16": 2, "int8_bfloat16": 2, "int8": 1,
}  # fmt: skip
_LIGHTER: Final = {"cuda": ("float16", "int8_float16", "int8"), "cpu": ("int8",)}
"""What may be gone down to."""


class Rung(Value, frozen=True):
    """One way to work."""

    device: str  # "cpu" | "cuda" | "cuda:1" ...
    compute_type: str  # "auto", "default" or one of CTranslate2's
    batch: int  # rows of a batch
    slots: int  # batches at once

    @property
    def kind(self) -> str:
        """The device without its number."""
        return self.device.partition(":")[0]

    @property
    def lightness(self) -> tuple[int, int, int, int]:
        """Smaller needs less memory where that is scarce: first of all of the GPU's."""
        name = BEST[self.kind] if self.compute_type == "auto" else self.compute_type
        return (self.kind != "cpu", _WEIGHT.get(name, _WEIGHT["float32"]), self.slots, self.batch)


class Fallback(Value, frozen=True):
    """Where a model stands on a device that could not hold it as it was wanted."""

    rung: Rung
    at: float  # Unix seconds: since when
    problem: Problem  # why
    climb_after_s: float  # the stretch of success before the next attempt to climb
    climbed: bool = False  # came from below, and has not lasted a stretch yet


class Adjustment(Value, frozen=True):
    """What is done differently after something went wrong: codes for programs, a sentence for people."""

    kind: str  # "batch" | "slots" | "compute_type" | "device", or what happens to a part of a recording
    sentence: str
    to: int | str | None = None  # the new value; None: the kind says it all

    @property
    def params(self) -> dict[str, int | str]:
        """The change without its sentence, for the `params` of a note."""
        return {"kind": self.kind} if self.to is None else {"kind": self.kind, "to": self.to}


def rungs(wanted: Rung, cpu: Rung | None, supported: Mapping[str, Collection[str]]) -> tuple[Rung, ...]:
    """The ladder, beginning with what is wanted. `cpu` is where to go when the device has nothing lighter; None: nowhere.

    `supported` has the compute types of each device ("cpu", "cuda:0"); of a device that is not in it all count as supported.
    """
    found = list(_on_device(wanted, supported))
    if cpu is not None and wanted.kind != "cpu":
        found += _on_device(cpu, supported)
    return tuple(found)


def below(ladder: Sequence[Rung], rung: Rung, *, loading: bool = False) -> Rung | None:
    """The next lighter one; while `loading`, one that needs less for the model itself. None: there is none."""
    for lower in ladder[_place(ladder, rung) + 1 :]:
        if not loading or _of_model(lower) != _of_model(rung):
            return lower
    return None


def fall(standing: Fallback | None, to: Rung, problem: Problem, now: float, climb_after_s: float) -> Fallback:
    """After a failure. If it was an attempt to climb that failed, the next one waits twice as long."""
    stretch = climb_after_s
    if standing is not None and standing.climbed:
        stretch = min(LONGEST_STRETCH_S, 2 * standing.climb_after_s)
    return Fallback(to, now, problem, stretch)


def climb(standing: Fallback, ladder: Sequence[Rung], now: float) -> Fallback | None:
    """After a success: where to work from now on, which may be where it is; None: at the top, and it holds there."""
    place = _place(ladder, standing.rung)
    if not 0 <= now - standing.at < standing.climb_after_s:  # a clock that was set back counts as a stretch
        if place == 0:
            return None
        return Fallback(ladder[place - 1], now, standing.problem, standing.climb_after_s, climbed=True)
    return standing


def change(before: Rung, after: Rung) -> Adjustment:
    """Return what is different after the change."""
    if before.kind != after.kind:
        return Adjustment("device", f"It goes on with the {'CPU' if after.kind == 'cpu' else 'GPU'}.", after.kind)
    if before.compute_type != after.compute_type:
        sentence = f"It goes on with numbers of the type {after.compute_type}."
        return Adjustment("compute_type", sentence, after.compute_type)
    if before.slots != after.slots:
        sentence = f"It goes on with {after.slots} batch{'es' if after.slots > 1 else ''} at a time."
        return Adjustment("slots", sentence, after.slots)
    return Adjustment("batch", f"It goes on with batches of {after.batch}.", after.batch)


def _on_device(wanted: Rung, supported: Mapping[str, Collection[str]]) -> list[Rung]:
    """The rungs that stay on the device of `wanted`."""
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
    """What the model itself needs more or less memory for. On a GPU all slots share what is loaded."""
    return rung.device, rung.compute_type, rung.slots if rung.kind == "cpu" else 0


def _place(ladder: Sequence[Rung], rung: Rung) -> int:
    """0 for one that is not there (any more): other settings begin anew."""
    return ladder.index(rung) if rung in ladder else 0
