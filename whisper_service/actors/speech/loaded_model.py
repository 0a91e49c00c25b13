"""The loaded model of the speech actor: how it comes in, what is said when it does not, how it goes.

The only module of the actor's loop that imports the whole model stack.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import ctranslate2
import faster_whisper

from whisper_service.actors.speech import allocator, gpu_memory
from whisper_service.actors.speech.engine import Engine, UnloadableModel
from whisper_service.actors.speech.priority import Priority
from whisper_service.actors.speech.recognition import Recognizer
from whisper_service.actors.speech.slots import Cancellations, Slots
from whisper_service.actors.speech.speech_spans import SpeechFinder
from whisper_service.core import errors
from whisper_service.core.domain import Problem
from whisper_service.host.cpu import cores
from whisper_service.models import files as model_files
from whisper_service.supervision import faults
from whisper_service.supervision.boot import Emit
from whisper_service.supervision.faults import FaultKind
from whisper_service.supervision.protocol import Fault, Load, Loaded

SPARE_BYTES: Final = 512 << 20
"""What a model needs besides its weights, roughly: libraries on the GPU, a small batch."""
FATAL: Final = (FaultKind.OOM, FaultKind.CUDA)
"""After these only a new process has all of its memory, or any of its GPU."""


@dataclass(frozen=True)
class LoadedModel:
    """A model that has encoded once, with a listener for each slot."""

    report: Loaded
    _engine: Engine
    _listeners: list[Recognizer]
    _precedence: Priority

    def slots(self, inbox: Cancellations, emit: Emit) -> Slots:
        """The threads that work with this model. To be called once."""
        return Slots(self._listeners, inbox, emit, self._precedence)

    def unload(self) -> None:
        """Let the weights go. Its slots must be closed before."""
        self._listeners.clear()
        self._engine.unload()


def load(command: Load) -> LoadedModel | Fault:
    """The model, or what to report in its place. One of the borders: whatever the libraries raise, the actor lives on."""
    began = time.monotonic()
    try:
        size = sum(file.stat().st_size for file in Path(command.path).glob("model.bin"))
        gpu_memory.settle(lambda: gpu_memory.free_on(command.device), 2 * size + SPARE_BYTES)
        threads = command.threads or cores()
        precedence = Priority()
        engine = Engine(
            command.path,
            command.device,
            command.compute_type,
            slots=command.slots,
            threads=threads,
            express=command.express,
            before=precedence.give_way,
        )
        allocator.release()  # the file passed through memory a second time
        warm = time.monotonic()
        engine.warm_up()
        window_s = time.monotonic() - warm
        listeners = [Recognizer(engine, SpeechFinder()) for _ in range(command.slots + command.express)]
    except Exception as error:
        return _fault(command, error)
    seconds = time.monotonic() - began
    report = Loaded(
        model=command.model,
        device=command.device,
        compute_type=engine.compute_type,
        seconds=seconds,
        window_s=window_s,
    )
    return LoadedModel(report, engine, listeners, precedence)


def facts() -> dict[str, Any]:
    """What only this process can know: versions, devices, compute types, cores."""
    devices = ctranslate2.get_cuda_device_count()
    types = {"cpu": sorted(ctranslate2.get_supported_compute_types("cpu"))}
    types |= {f"cuda:{n}": sorted(ctranslate2.get_supported_compute_types("cuda", n)) for n in range(devices)}
    return {
        "ctranslate2": ctranslate2.__version__,
        "faster_whisper": faster_whisper.__version__,
        "cuda_devices": devices,
        "vram_bytes": (gpu_memory.total_on_gpu() or 0) if devices else 0,  # of the first card
        "vram_free": [
            gpu_memory.free_on(f"cuda:{n}") for n in range(devices)
        ],  # bytes, before a model is loaded; None: unknown
        "cuda_driver": gpu_memory.driver_version(),  # None: there is none; with one and no devices, CUDA cannot use it
        "compute_types": types,
        "cpus": cores(),
    }


def _reason(path: Path, error: Exception) -> tuple[str, str]:
    """Why, and what to do: the files say it better than the library, if they are to blame."""
    try:
        model_files.read(path)
    except (errors.ModelBroken, OSError) as found:
        if isinstance(found, errors.ModelBroken):
            return found.message, found.advice
    return f"{error}", "Remove the model and install it again, or choose another."


def _fault(command: Load, error: Exception) -> Fault:
    diagnosis = faults.classify(f"{type(error).__name__}: {error}")
    kind, problem = diagnosis.kind, diagnosis.problem
    if kind in (FaultKind.UNKNOWN, FaultKind.MODEL_BROKEN) or isinstance(error, UnloadableModel):
        kind = FaultKind.MODEL_BROKEN
        reason, hint = _reason(Path(command.path), error)
        problem = Problem(kind.value, f"The model {command.model} cannot be loaded: {reason}", hint, problem.params)
    return Fault(scope="model", kind=kind.value, problem=problem, fatal=kind in FATAL)
