"""An ONNX network with one input and one output, computed on one thread.

ONNX Runtime adds in another order with another number of threads, and then the last bits differ. On one thread the
same input always gives the same bytes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from whisper_service.core.errors import ModelBroken, ModelUnavailable

HINT = "Install the networks for speakers again."


class Network:
    """A loaded network. The makers of ONNX files name the input differently, so its name is read from the file."""

    def __init__(self, path: Path) -> None:
        """Load a network. Raises `ModelUnavailable` and `ModelBroken`."""
        if not path.is_file():
            raise ModelUnavailable(f"The network {path.name} for speakers is not on this machine.", hint=HINT)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        options.enable_cpu_mem_arena = False  # inputs have many lengths, and the arena keeps memory for each
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            (given,), (result, *_) = self._session.get_inputs(), self._session.get_outputs()
        except Exception as error:  # ONNX Runtime raises classes of its own, without a common base
            message = f"The network {path.name} for speakers cannot be loaded."
            raise ModelBroken(message, hint=HINT, detail=str(error)[:500]) from error
        self._given, self._result = given.name, result.name

    def __call__(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Compute the output for one input."""
        (result,) = self._session.run([self._result], {self._given: values})
        return np.asarray(result, dtype=np.float32)
