"""The speech actor: holds a Whisper model and turns batches of chunks into segments.

Keeps the order of commands: one model at a time, batches to its slots, idle memory back to the system. `slots` works on
the batches, `recognition` finds their text.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from whisper_service.actors.speech import allocator, cuda_libraries, instruction_set
from whisper_service.core.domain import Problem
from whisper_service.supervision.boot import Emit, Inbox
from whisper_service.supervision.faults import FaultKind
from whisper_service.supervision.messages.base import Fault, Ready, Shutdown
from whisper_service.supervision.messages.drafts import DraftSound
from whisper_service.supervision.messages.speech import Align, Load, Transcribe

if TYPE_CHECKING:
    from whisper_service.actors.speech.loaded_model import LoadedModel
    from whisper_service.actors.speech.slots import Slots

IDLE_S: Final = 5.0
"""Without a batch for so long, unused memory goes back to the system."""
NOT_LOADED: Final = Problem(
    "model_not_loaded",
    "No model is loaded.",
    "The service repairs this by itself. If it does not, restart the service.",
)


def run(inbox: Inbox, emit: Emit) -> None:
    """Run the actor. The entry of the process."""
    allocator.tune()
    instruction_set.choose()
    cuda_libraries.preload()
    # Only now: the model stack needs the tuned allocator, the chosen instructions and the open libraries.
    from whisper_service.actors.speech import loaded_model

    emit(Ready(pid=os.getpid(), facts=loaded_model.facts()))
    serve(inbox, emit, loaded_model.load)


def serve(inbox: Inbox, emit: Emit, load: Callable[[Load], LoadedModel | Fault], idle_s: float = IDLE_S) -> None:
    """Answer commands until `Shutdown`."""
    model: LoadedModel | None = None
    slots: Slots | None = None
    released = True  # unused memory went back to the system after the last command
    while True:
        command = inbox.get(None if released else idle_s)
        if command is None:
            if slots is None or slots.idle:
                allocator.release()
                released = True
            continue
        released = False
        match command:
            case Shutdown():
                return
            case Load():
                if model is not None and slots is not None:  # the next model needs its memory
                    slots.close()
                    model.unload()
                    model = slots = None
                    allocator.release()
                loaded = load(command)
                if isinstance(loaded, Fault):
                    emit(loaded)
                    if loaded.fatal:
                        os._exit(1)
                    continue
                model, slots = loaded, loaded.slots(inbox, emit)
                emit(model.report)
            case Transcribe() | Align() | DraftSound() if slots is not None:
                slots.put(command)
            case Transcribe(batch=batch):
                emit(Fault(scope="batch", kind=FaultKind.UNKNOWN.value, problem=NOT_LOADED, batch=batch))
            case Align(request=request):
                emit(Fault(scope="alignment", kind=FaultKind.UNKNOWN.value, problem=NOT_LOADED, request=request))
            case DraftSound(request=request):
                emit(Fault(scope="draft", kind=FaultKind.UNKNOWN.value, problem=NOT_LOADED, request=request))
