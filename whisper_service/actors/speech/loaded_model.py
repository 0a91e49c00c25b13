"""Loads a model for the speech actor, and says why a model cannot be loaded.

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
from whisper_service.actors.speech.slots import FATAL, Slots
from whisper_service.actors.speech.speech_spans import SpeechFinder
from whisper_service.core import errors
from whisper_service.core.domain import Problem
from whisper_service.core.text import reason
from whisper_service.host import memory
from whisper_service.host.cpu import cores
from whisper_service.models import files as model_files
from whisper_service.supervision import faults
from whisper_service.supervision.boot import Emit, Inbox
from whisper_service.supervision.faults import FaultKind
from whisper_service.supervision.messages.base import Fault
from whisper_service.supervision.messages.speech import Load, Loaded

SPARE_BYTES: Final = 512 << 20
"""Rough estimate of what a model needs besides its weights: libraries on the GPU, a small batch."""


@dataclass(frozen=True)
class LoadedModel:
    """A model that has encoded once, with a recogniser for each slot."""

    report: Loaded
    _engine: Engine
    _recognizers: list[Recognizer]
    _priority: Priority

    def slots(self, inbox: Inbox, emit: Emit) -> Slots:
        """Start the threads that work with this model. To be called once."""
        return Slots(self._recognizers, inbox, emit, self._priority)

    def unload(self) -> None:
        """Release the weights. The slots must be closed before."""
        self._recognizers.clear()
        self._engine.unload()


def load(command: Load) -> LoadedModel | Fault:
    """Return the loaded model, or the fault to report. Whatever the libraries raise, the actor goes on."""
    began = time.monotonic()
    try:
        size = sum(file.stat().st_size for file in Path(command.path).glob("model.bin"))
        gpu_memory.wait_until_free(lambda: gpu_memory.free_bytes(command.device), 2 * size + SPARE_BYTES)
        priority = Priority()
        engine = Engine(
            command.path,
            command.device,
            command.compute_type,
            slots=command.slots,
            threads=command.threads or cores(),
            express=command.express,
            before_call=priority.pause,
        )
        allocator.release()  # the file was read into memory a second time
        warm = time.monotonic()
        engine.warm_up()
        window_s = time.monotonic() - warm
        recognizers = [Recognizer(engine, SpeechFinder()) for _ in range(command.slots + command.express)]
    except Exception as error:
        return _fault(command, error)
    report = Loaded(
        model=command.model,
        device=command.device,
        compute_type=engine.compute_type,
        seconds=time.monotonic() - began,
        window_s=window_s,
        multilingual=engine.multilingual,
        aligns=engine.aligns,
    )
    return LoadedModel(report, engine, recognizers, priority)


def facts() -> dict[str, Any]:
    """Return what only this process can know: versions, devices, compute types, cores."""
    devices = range(ctranslate2.get_cuda_device_count())
    types = {"cpu": sorted(ctranslate2.get_supported_compute_types("cpu"))}
    types |= {f"cuda:{n}": sorted(ctranslate2.get_supported_compute_types("cuda", n)) for n in devices}
    return {
        "ctranslate2": ctranslate2.__version__,
        "faster_whisper": faster_whisper.__version__,
        "cuda_devices": len(devices),
        "vram_bytes": (gpu_memory.total_bytes() or 0) if devices else 0,  # of the first card
        "vram_total": [gpu_memory.total_bytes(n) for n in devices],  # of each card; None: unknown
        "vram_free": [gpu_memory.free_bytes(f"cuda:{n}") for n in devices],  # before a model is loaded; None: unknown
        "cuda_driver": gpu_memory.driver_version(),  # None: no driver; with a driver and no devices CUDA cannot use it
        "compute_types": types,
        "cpus": cores(),
        "memory_bytes": memory.total(),  # of the machine or the container; 0: unknown
    }


def _reason(path: Path, error: Exception) -> tuple[str, str]:
    """Return message and hint. If the files of the model are the cause, reading them gives the better message."""
    try:
        model_files.read_facts(path)
    except errors.ModelBroken as broken:
        return broken.message, broken.advice
    except OSError:
        pass
    return reason(error), "Remove the model and install it again, or choose another."


def _fault(command: Load, error: Exception) -> Fault:
    diagnosis = faults.classify(f"{type(error).__name__}: {error}")
    kind, problem = diagnosis.kind, diagnosis.problem
    if kind in (FaultKind.UNKNOWN, FaultKind.MODEL_BROKEN) or isinstance(error, UnloadableModel):
        kind = FaultKind.MODEL_BROKEN
        reason, hint = _reason(Path(command.path), error)
        problem = Problem(kind.value, f"The model {command.model} cannot be loaded: {reason}", hint, problem.params)
    return Fault(scope="model", kind=kind.value, problem=problem, fatal=kind in FATAL)
