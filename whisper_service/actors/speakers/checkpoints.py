"""Checkpoints of PyTorch, read without PyTorch.

A checkpoint is a ZIP archive with a pickle and the raw bytes of each tensor. A pickle may name any function to call, so
this reader knows the few names that stand in a checkpoint of tensors, and refuses every other.
"""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from io import BytesIO
from typing import IO, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

Tensor = npt.NDArray[Any]
STORAGES: Final[dict[str, type[np.generic]]] = {
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "DoubleStorage": np.float64,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
}


class _Kind(NamedTuple):
    """The type of the numbers in a storage."""

    dtype: type[np.generic]


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: IO[bytes], archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(file)
        self._archive, self._root = archive, root

    def find_class(self, module: str, name: str) -> Any:
        known = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _tensor,
            ("torch._utils", "_rebuild_parameter"): lambda data, *_: data,
            **{("torch", storage): _Kind(dtype) for storage, dtype in STORAGES.items()},
        }
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed in a checkpoint")
        return known[module, name]

    def persistent_load(self, pid: Any) -> Tensor:
        """Return the numbers of a storage. `pid` is ("storage", kind, key, device, count)."""
        what, kind, key, _, count = pid
        if what != "storage" or not isinstance(kind, _Kind):
            raise pickle.UnpicklingError(f"{what} is not allowed in a checkpoint")
        return np.frombuffer(self._archive.read(f"{self._root}/data/{key}"), dtype=kind.dtype, count=count)


def _tensor(storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: object) -> Tensor:
    """Return a tensor as its own array. `offset` and `stride` count numbers, not bytes."""
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    if not 0 <= offset <= last < len(storage) or min(stride, default=0) < 0:
        raise pickle.UnpicklingError("a tensor reaches beyond its storage")
    steps = [step * storage.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(storage[offset:], size, steps).copy()


def read(data: bytes) -> Any:
    """Return what a checkpoint holds, with numpy's arrays for tensors.

    Raises `pickle.UnpicklingError` for a name that is not allowed, and `zipfile.BadZipFile`.
    """
    with zipfile.ZipFile(BytesIO(data)) as archive:
        name = next((name for name in archive.namelist() if name.endswith("/data.pkl")), None)
        if name is None:
            raise zipfile.BadZipFile("the archive is not a checkpoint of PyTorch")
        with archive.open(name) as file:
            return _Unpickler(file, archive, name.removesuffix("/data.pkl")).load()
