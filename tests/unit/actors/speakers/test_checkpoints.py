"""Checkpoints are read without PyTorch, and nothing in them is run."""

from __future__ import annotations

import io
import os
import pickle
import sys
import types
import zipfile
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

from whisper_service.actors.speakers.checkpoints import read


class _Storage:
    """Stands for the numbers of a storage when a checkpoint is written."""

    def __init__(self, kind: Any, key: str, values: list[float]) -> None:
        self.kind, self.key, self.values = kind, key, values


class _Tensor:
    """A tensor as PyTorch pickles it."""

    def __init__(self, storage: _Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> None:
        self.parts = (storage, offset, size, stride, False, OrderedDict())

    def __reduce__(self) -> tuple[Any, ...]:
        return sys.modules["torch._utils"]._rebuild_tensor_v2, self.parts


class _Writer(pickle.Pickler):
    def persistent_id(self, obj: Any) -> Any:
        return ("storage", obj.kind, obj.key, "cpu", len(obj.values)) if isinstance(obj, _Storage) else None


@pytest.fixture(autouse=True)
def _torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names to write into a pickle. The reader never asks for them."""
    torch, utilities = types.ModuleType("torch"), types.ModuleType("torch._utils")

    def _rebuild_tensor_v2(*_: object) -> None:
        raise AssertionError("the reader called PyTorch")

    _rebuild_tensor_v2.__module__ = "torch._utils"
    _rebuild_tensor_v2.__qualname__ = "_rebuild_tensor_v2"
    utilities._rebuild_tensor_v2 = _rebuild_tensor_v2  # type: ignore[attr-defined]
    torch.FloatStorage = type("FloatStorage", (), {"__module__": "torch"})  # type: ignore[attr-defined]
    torch._utils = utilities  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utilities)


def storage(*values: float) -> _Storage:
    return _Storage(sys.modules["torch"].FloatStorage, "0", list(values))


def checkpoint(content: Any, data: dict[str, bytes] | None = None) -> bytes:
    pickled = io.BytesIO()
    _Writer(pickled, protocol=2).dump(content)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("name/data.pkl", pickled.getvalue())
        for key, raw in (data or {}).items():
            file.writestr(f"name/data/{key}", raw)
    return archive.getvalue()


def floats(*values: float) -> bytes:
    return np.array(values, dtype="<f4").tobytes()


def test_tensors_come_as_arrays_with_their_strides() -> None:
    held = storage(0, 1, 2, 3, 4, 5, 6)
    content = OrderedDict(rows=_Tensor(held, 1, (2, 3), (3, 1)), turned=_Tensor(held, 1, (3, 2), (1, 3)))
    found = read(checkpoint(content, {"0": floats(0, 1, 2, 3, 4, 5, 6)}))
    assert found["rows"].tolist() == [[1, 2, 3], [4, 5, 6]]
    assert found["turned"].tolist() == [[1, 4], [2, 5], [3, 6]]
    assert found["rows"].dtype == np.float32


class _Command:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("exit 3",)


@pytest.mark.parametrize("content", [_Command(), [eval], {"a": np.dtype("f4")}], ids=["command", "eval", "numpy"])
def test_no_other_name_is_allowed(content: Any) -> None:
    with pytest.raises(pickle.UnpicklingError, match="is not allowed"):
        read(checkpoint(content))


@pytest.mark.parametrize(
    ("offset", "size", "stride"), [(0, (3,), (1,)), (1, (2,), (1,)), (-1, (1,), (1,)), (1, (2,), (-1,))]
)
def test_a_tensor_beyond_its_storage_is_refused(offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> None:
    with pytest.raises(pickle.UnpicklingError, match="beyond"):
        read(checkpoint(_Tensor(storage(7, 8), offset, size, stride), {"0": floats(7, 8)}))


def test_another_archive_is_refused() -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("readme", "hello")
    with pytest.raises(zipfile.BadZipFile):
        read(archive.getvalue())
