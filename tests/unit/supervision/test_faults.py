"""The error texts of libraries and the exit codes of processes lead to the right diagnosis."""

from __future__ import annotations

import importlib.util
import signal
import sys
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_service.supervision import faults
from whisper_service.supervision.faults import FaultKind
from whisper_service.supervision.link import Exit

K = FaultKind
TERMINATE = "terminate called after throwing an instance of '{}'\n  what():  {}\n"

WORDINGS = [
    # memory
    ("CUDA failed with error out of memory", K.OOM),
    ("RuntimeError: CUDA failed with error out of memory", K.OOM),
    ("cuBLAS failed with status CUBLAS_STATUS_ALLOC_FAILED", K.OOM),
    ("cuBLAS failed with status CUBLAS_STATUS_NOT_INITIALIZED", K.OOM),
    ("parallel_for failed: cudaErrorInvalidDevice: invalid device ordinal", K.OOM),
    ("parallel_for failed: cudaErrorMemoryAllocation: out of memory", K.OOM),
    ("std::bad_alloc", K.OOM),
    ("RuntimeError: Resource temporarily unavailable", K.OOM),
    (TERMINATE.format("std::system_error", "Resource temporarily unavailable"), K.OOM),
    ("RuntimeError: can't start new thread", K.OOM),
    ("BlockingIOError: [Errno 11] Resource temporarily unavailable", K.UNKNOWN),
    (TERMINATE.format("std::bad_alloc", "std::bad_alloc"), K.OOM),
    ("OSError: [Errno 12] Cannot allocate memory", K.OOM),
    ("\nlibgomp: Thread creation failed: Resource temporarily unavailable\n", K.OOM),
    ("OMP: Error #34: System unable to allocate necessary resources for OMP thread:", K.OOM),
    (
        "ImportError: /x/_pocketfft_umath.cpython-311-x86_64-linux-gnu.so: failed to map segment from shared object",
        K.OOM,
    ),
    ("MemoryError", K.OOM),
    ("numpy._core._exceptions._ArrayMemoryError: Unable to allocate 1.00 GiB for an array", K.OOM),
    ("bad allocation", K.OOM),
    ("cudaErrorInvalidDevice", K.OOM),
    ("cuDNN failed with status CUDNN_STATUS_ALLOC_FAILED", K.OOM),
    # the device
    ("cuBLAS failed with status CUBLAS_STATUS_EXECUTION_FAILED", K.CUDA),
    ("CUDA failed with error an illegal memory access was encountered", K.CUDA),
    ("CUDA failed with error unspecified launch failure", K.CUDA),
    ("CUDA failed with error initialization error", K.CUDA),
    ("cuBLAS failed with status CUBLAS_STATUS_NOT_SUPPORTED", K.CUDA),
    ("CUDA failed with error no kernel image is available for execution on the device", K.CUDA),
    (TERMINATE.format("std::runtime_error", "CUDA failed with error unspecified launch failure"), K.CUDA),
    # libraries
    ("Library libcublas.so.12 is not found or cannot be loaded", K.LIBRARY_MISSING),
    ("RuntimeError: Library libcublas.so.12 is not found or cannot be loaded", K.LIBRARY_MISSING),
    (
        "Unable to load any of {libcudnn_ops.so.9.1.0, libcudnn_ops.so.9.1, libcudnn_ops.so.9, libcudnn_ops.so}",
        K.LIBRARY_MISSING,
    ),
    ("libcublasLt.so.12: cannot open shared object file: No such file or directory", K.LIBRARY_MISSING),
    # no usable device
    ("CUDA failed with error CUDA driver version is insufficient for CUDA runtime version", K.DEVICE_UNUSABLE),
    ("RuntimeError: CUDA failed with error no CUDA-capable device is detected", K.DEVICE_UNUSABLE),
    ("ValueError: This CTranslate2 package was not compiled with CUDA support", K.DEVICE_UNUSABLE),
    ("RuntimeError: CUDA failed with error invalid device ordinal", K.DEVICE_UNUSABLE),
    # the model
    ("RuntimeError: Unable to open file 'model.bin' in model '/m'", K.MODEL_BROKEN),
    (
        "RuntimeError: Unsupported model binary version. This executable supports models with version 6 or below",
        K.MODEL_BROKEN,
    ),
    ("RuntimeError: File model.bin is incomplete: failed to read a buffer of size 4096 at position 12", K.MODEL_BROKEN),
    # the disk
    ("OSError: [Errno 28] No space left on device", K.DISK_FULL),
    ("sqlite3.OperationalError: database or disk is full", K.DISK_FULL),
    # neither
    ("KeyError: 'x'", K.UNKNOWN),
    ("", K.UNKNOWN),
]


@pytest.mark.parametrize(("text", "kind"), WORDINGS)
def test_wordings(text: str, kind: FaultKind) -> None:
    diagnosis = faults.classify(text)
    assert diagnosis.kind is kind
    assert diagnosis.problem.code == kind.value
    assert diagnosis.problem.message
    assert diagnosis.problem.hint


EXITS = [
    (-signal.SIGKILL, K.KILLED, "killed"),
    (-signal.SIGSEGV, K.CRASHED, "segmentation fault"),
    (-signal.SIGABRT, K.CRASHED, "abort"),
    (-signal.SIGFPE, K.CRASHED, "arithmetic"),
    (-signal.SIGILL, K.CRASHED, "instruction"),
    (-signal.SIGBUS, K.CRASHED, "bus error"),
    (-signal.SIGTERM, K.CRASHED, "signal 15"),
    (1, K.CRASHED, "exit code 1"),
    (70, K.CRASHED, "exit code 70"),
    (0, K.UNKNOWN, "unexpected"),
    (None, K.UNKNOWN, "unexpected"),
]


@pytest.mark.parametrize(("code", "kind", "words"), EXITS)
def test_exit_codes(code: int | None, kind: FaultKind, words: str) -> None:
    diagnosis = faults.classify("Loading the model\nencoding 8 rows\n", code)
    assert diagnosis.kind is kind
    assert words in diagnosis.problem.message
    assert diagnosis.problem.params == {"detail": "encoding 8 rows"}


@pytest.mark.parametrize("code", [-signal.SIGABRT, -signal.SIGSEGV, -signal.SIGKILL, 70, None])
@pytest.mark.parametrize(("text", "kind"), [pair for pair in WORDINGS if pair[1] is not K.UNKNOWN])
def test_the_end_of_the_log_says_more_than_the_exit_code(text: str, kind: FaultKind, code: int | None) -> None:
    tail = f"2024-01-01 loading\n{text}\nsome frame of a stack\n"
    assert faults.classify(tail, code).kind is kind


def test_a_system_with_few_signals_can_load_the_module(monkeypatch: pytest.MonkeyPatch) -> None:
    few = types.ModuleType("signal")
    for name in ("SIGABRT", "SIGFPE", "SIGILL", "SIGINT", "SIGSEGV", "SIGTERM"):  # all that Windows has
        setattr(few, name, getattr(signal, name))
    spec = importlib.util.find_spec("whisper_service.supervision.faults")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "signal", few)
    spec.loader.exec_module(module)
    assert "segmentation" in module.classify("", -signal.SIGSEGV).problem.message
    assert module.classify("", -9).kind.value == K.KILLED.value
    assert "exit code 3221225477" in module.classify("", 0xC0000005).problem.message


def test_a_kill_for_lack_of_memory_is_not_one_from_outside() -> None:
    assert faults.classify("encoding 8 rows\n", -signal.SIGKILL, oom_killed=True).kind is K.OOM
    assert (
        faults.classify("encoding 8 rows\n", -signal.SIGSEGV, oom_killed=True).kind is K.CRASHED
    )  # another was killed


def test_an_uncaught_exception_is_quoted() -> None:
    inner = "Traceback (most recent call last):\n  File 'x.py', line 1, in f\n    f()\nKeyError: 'a'\n"
    outer = (
        "\nDuring handling ...:\n\nTraceback (most recent call last):\n  File 'y.py', line 2, in g\n    g()\n    ^^^\n"
        "ValueError: b\nand more\n"
    )
    diagnosis = faults.classify(f"loading\n{inner}{outer}", faults.EXIT_UNCAUGHT)
    assert diagnosis.kind is K.CRASHED
    assert diagnosis.problem.message == "The process ended with an exception: ValueError: b"


def test_a_lack_of_memory_counts_more_than_the_errors_after_it() -> None:
    tail = "CUDA failed with error an illegal memory access was encountered\nCUDA failed with error out of memory\n"
    assert faults.classify(tail, -6).kind is K.OOM


def test_the_matching_line_is_kept_for_experts() -> None:
    line = "RuntimeError: CUDA failed with error out of memory"
    tail = f"Traceback (most recent call last):\n  File ...\n{line}\nanother line\n"
    assert faults.classify(tail, 70).problem.params == {"detail": line}


def test_the_error_is_kept_and_not_its_source_line() -> None:
    tail = (
        "Traceback (most recent call last):\n  File 'x.py'\n    raise RuntimeError('out of memory')\n"
        "RuntimeError: out of memory\n"
    )
    assert faults.classify(tail, faults.EXIT_UNCAUGHT).problem.params == {"detail": "RuntimeError: out of memory"}


def test_a_driver_that_is_too_old_is_not_called_a_broken_card() -> None:
    text = "CUDA failed with error CUDA driver version is insufficient for CUDA runtime version"
    assert "driver" in faults.classify(text).problem.message


def test_a_hang_says_how_long() -> None:
    diagnosis = faults.hung(119.6)
    assert diagnosis.kind is K.HUNG
    assert "120 seconds" in diagnosis.problem.message


def test_an_unreadable_message_is_a_crash_with_the_detail() -> None:
    diagnosis = faults.unreadable_message("MessagePack data is malformed")
    assert diagnosis.kind is K.CRASHED
    assert diagnosis.problem.params == {"detail": "MessagePack data is malformed"}


@given(st.text(), st.none() | st.integers(-64, 255))
def test_there_is_always_an_answer(text: str, code: int | None) -> None:
    problem = faults.classify(text, code).problem
    assert problem.message
    assert len(problem.params.get("detail", "")) <= 500
    assert "\n" not in problem.params.get("detail", "")


def test_a_lost_machine_is_the_cause_whatever_the_log_says() -> None:
    lost = faults.diagnose(Exit(-signal.SIGKILL, "CUDA failed with error out of memory", lost="The machine is gone."))
    assert lost.kind is K.LOST
    assert lost.problem.code == "lost"
    assert lost.problem.message == "The machine is gone."


@pytest.mark.parametrize(
    ("ended", "kind"),
    [
        (Exit(-signal.SIGKILL), K.KILLED),
        (Exit(-signal.SIGKILL, oom_killed=True), K.OOM),
        (Exit(1, "RuntimeError: CUDA failed with error out of memory"), K.OOM),
        (Exit(-signal.SIGSEGV), K.CRASHED),
        (Exit(), K.UNKNOWN),
    ],
)
def test_the_cause_of_an_exit_is_that_of_its_code_and_words(ended: Exit, kind: FaultKind) -> None:
    assert faults.diagnose(ended) == faults.classify(ended.words, ended.code, oom_killed=ended.oom_killed)
    assert faults.diagnose(ended).kind is kind
