"""What model.bin says about itself, for the right file and for every wrong one."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from testkit.weights import tensor, text, weights
from whisper_service.core.errors import ModelBroken
from whisper_service.models import files as model_files
from whisper_service.models.bundled import BUNDLED, join, missing_packages
from whisper_service.models.files import ORIGIN, ModelOrigin
from whisper_service.models.known import BY_NAME, Shape

NUMBERS = [number.to_bytes(4, "little") for number in (6, 3, 1)]  # version, revision, count of tensors
OTHER_TENSORS = NUMBERS[0] + text("WhisperSpec") + NUMBERS[1] + NUMBERS[2] + tensor("x", 1) + bytes(4)


def put(folder: Path, data: bytes, *, config: bytes = b"{}") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "model.bin").write_bytes(data)
    for name, content in {"config.json": config, "tokenizer.json": b"{}", "vocabulary.json": b"[]"}.items():
        (folder / name).write_bytes(content)
    return folder


def test_the_shape_is_read_from_the_weights(tmp_path: Path) -> None:
    facts = model_files.read_facts(put(tmp_path / "m", weights(vocabulary=100, layers=3, width=8)))
    assert facts.shape == Shape(8, 3, 3, 100, 80)
    assert facts.stored == "float16"
    assert not facts.multilingual


@pytest.mark.model
@pytest.mark.skipif(bool(missing_packages(BUNDLED["base"])), reason="needs the packages of the extra [bundled]")
def test_the_real_model_is_what_the_table_says(tmp_path: Path) -> None:
    join(tmp_path, "base", BUNDLED["base"])
    facts = model_files.read_facts(tmp_path / "base")
    assert facts.shape == BY_NAME["base"].shape
    assert facts.multilingual
    assert set(model_files.verify(tmp_path / "base")) == {file.name for file in BUNDLED["base"]}
    with (tmp_path / "base" / "model.bin").open("r+b") as file:
        file.seek(100_000_000)
        file.write(b"other")
    with pytest.raises(ModelBroken, match="does not have its original content"):
        model_files.verify(tmp_path / "base")


@given(st.integers(0, len(weights()) - 1))
def test_wherever_it_ends_it_is_called_truncated(tmp_path_factory: pytest.TempPathFactory, length: int) -> None:
    folder = put(tmp_path_factory.getbasetemp() / "short", weights()[:length])
    with pytest.raises(ModelBroken, match="truncated"):
        model_files.read_facts(folder)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_reason_and_no_crash(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = put(tmp_path_factory.getbasetemp() / "any", data)
    with pytest.raises(ModelBroken) as error:
        model_files.read_facts(folder)
    assert error.value.advice


@given(st.integers(0, len(weights()) - 1), st.integers(0, 255))
def test_a_byte_that_is_another_is_no_crash(tmp_path_factory: pytest.TempPathFactory, place: int, value: int) -> None:
    data = bytearray(weights())
    data[place] = value
    try:
        model_files.read_facts(put(tmp_path_factory.getbasetemp() / "byte", bytes(data)))
    except ModelBroken as error:
        assert error.advice  # noqa: PT017


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (weights(spec="TransformerSpec"), "TransformerSpec"),
        (weights(version=99), "another version"),
        (b"PK\x03\x04" + bytes(1000), "another format"),
        (OTHER_TENSORS, "lacks the tensors"),
    ],
)
def test_what_is_no_whisper_model_is_told_apart(tmp_path: Path, data: bytes, said: str) -> None:
    with pytest.raises(ModelBroken, match=said) as error:
        model_files.read_facts(put(tmp_path / "m", data))
    assert "conversion" in error.value.advice


def test_a_damaged_json_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelBroken, match=r"config\.json of m is damaged"):
        model_files.read_facts(put(tmp_path / "m", weights(), config=b"{"))


def test_verifying_compares_with_what_was_written_down(tmp_path: Path) -> None:
    folder = put(tmp_path / "m", weights())
    assert model_files.verify(folder) == ()
    data = (folder / "model.bin").read_bytes()
    about = ModelOrigin(
        files={"model.bin": len(data), "config.json": 2}, sha256={"model.bin": hashlib.sha256(data).hexdigest()}
    )
    (folder / ORIGIN).write_bytes(msgspec.json.encode(about))
    assert model_files.verify(folder) == ("model.bin",)
    (folder / "config.json").write_bytes(b"{ }")
    with pytest.raises(ModelBroken, match=r"config\.json of m has 3 bytes; it should have 2"):
        model_files.verify(folder)
    (folder / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        model_files.verify(folder)
    put(folder, data[:-1] + b"x")
    with pytest.raises(ModelBroken, match=r"model\.bin"):
        model_files.verify(folder)
