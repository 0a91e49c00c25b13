"""Every model as its users see it: what it is, what it needs, what it is good for on this machine, and where it stands.

Puts together what the catalogue, the files, the downloads and the speech actor know; decides nothing and changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from whisper_service.core.domain import Problem, Value
from whisper_service.core.errors import ModelBroken, ServiceError
from whisper_service.host.machine import Machine
from whisper_service.models import files as model_files
from whisper_service.models.catalog import BY_QUALITY, ON_CPU, Catalog, CatalogEntry
from whisper_service.models.files import ModelFacts
from whisper_service.models.known import BY_NAME, KnownModel, Suitability


class ModelState(StrEnum):
    """Where a model stands. One that is absent may have a `problem`: why it could not be fetched."""

    ABSENT = "absent"
    DOWNLOADING = "downloading"  # or waits for its turn to be
    INSTALLED = "installed"
    LOADED = "loaded"  # a speech actor holds it
    BROKEN = "broken"  # something is there and cannot be loaded; `problem` says why


class EndpointState(Value, frozen=True):
    """A hub that was asked, without name and password; no `problem`: it answers as it should."""

    endpoint: str
    problem: Problem | None = None


class Transfer(Value, frozen=True):
    """How far a download is."""

    bytes: int = 0  # that are on this disk, from earlier attempts too
    total: int | None = None  # None: not known yet
    speed_bps: float = 0.0  # bytes per second
    eta_s: float | None = None  # None: nothing moves
    endpoint: str = ""  # in use; empty: none yet, or the download waits for its turn
    failed: tuple[EndpointState, ...] = ()  # endpoints that were tried before


class ModelInfo(Value, frozen=True):
    """A model. `None`: not known before it is here, except for `repo`: no hub has it under this name."""

    name: str
    state: ModelState
    repo: str | None = None
    languages: str | None = None  # "multilingual" or "en"
    good_for: str = ""  # English words for people
    parameters: int | None = None
    download_bytes: int | None = None  # within some percent
    disk_bytes: int = 0
    memory_bytes: int | None = None  # at work on one chunk at a time, as `suits` says
    suits: Suitability | None = None  # this machine
    recommended: bool = False  # the best that runs well here
    default: bool = False  # what "auto" means now
    builtin: bool = False  # comes with installed packages
    removable: bool = True  # by DELETE
    problem: Problem | None = None
    transfer: Transfer | None = None  # while it is downloading


class Situation(Value, frozen=True):
    """What only the running service knows. `vram_bytes`: of the card that is used, 0: none."""

    loaded: str | None = None
    device: str = "cpu"
    vram_bytes: int = 0
    transfers: Mapping[str, Transfer] = {}
    problems: Mapping[str, Problem] = {}


class Inventory:
    """See the module. Methods block for the disk: call them in a thread."""

    def __init__(self, catalog: Catalog, machine: Machine) -> None:
        self.catalog = catalog
        self.machine = machine
        self._looked: dict[str, tuple[tuple[int, int], ModelFacts | Problem]] = {}

    def all(self, now: Situation) -> list[ModelInfo]:
        """Every known model and every one that is here, the best first; then those that somebody asked a hub for."""
        best = self._recommended(now), self._default(now.device)
        entries = self.catalog.entries()
        asked = sorted({*now.transfers, *now.problems} - {entry.name for entry in entries})
        return [self._info(entry, now, *best) for entry in [*entries, *map(self.catalog.entry, asked)]]

    def one(self, name: str, now: Situation) -> ModelInfo:
        """The model of this canonical name."""
        return self._info(self.catalog.entry(name), now, self._recommended(now), self._default(now.device))

    def too_big(self, name: str) -> int | None:
        """Bytes that the model needs at least, if that is more than there is in all."""
        entry = self.catalog.entry(name)
        facts, _ = self._look(entry)
        shape = facts.shape if facts else None
        if shape is None or not self.machine.memory_bytes:
            return None
        needed = shape.parameters  # int8, and nothing but the weights
        return needed if needed > self.machine.memory_bytes else None

    def rows_on_gpu(self, name: str, free: int, compute_type: str) -> int | None:
        """How many rows of batches fit on a GPU with this much free memory, beside the model; None: its files do not say."""
        entry = self.catalog.entry(name)
        facts, _ = self._look(entry)
        return KnownModel(name, "", facts.shape, "", "").rows_within(free, compute_type) if facts else None

    def _info(self, entry: CatalogEntry, now: Situation, recommended: str | None, default: str | None) -> ModelInfo:
        known = BY_NAME.get(entry.name)
        facts, problem = self._look(entry)
        model = known or (
            KnownModel(entry.name, "", facts.shape, "multilingual" if facts.multilingual else "en", "")
            if facts
            else None
        )
        suits = model.suits(self.machine.cpus, self.machine.model_bytes, now.vram_bytes) if model else None
        return ModelInfo(
            name=entry.name,
            state=_state(entry, now, problem),
            repo=entry.source.repo if entry.source else None,
            languages=model.languages if model else None,
            good_for=model.good_for if model else "",
            parameters=model.parameters if model else None,
            download_bytes=entry.source.bytes if entry.source else None,
            disk_bytes=entry.bytes,
            memory_bytes=_memory(model, suits),
            suits=suits,
            recommended=entry.name == recommended,
            default=entry.name == default,
            builtin=entry.builtin,
            removable=entry.path is not None and not entry.builtin and not entry.configured,
            problem=None if entry.name == now.loaded else now.problems.get(entry.name) or problem,
            transfer=now.transfers.get(entry.name),
        )

    def _look(self, entry: CatalogEntry) -> tuple[ModelFacts | None, Problem | None]:
        """What the files say, remembered for as long as `model.bin` stays as it is."""
        if entry.path is None:
            return None, None
        if entry.missing:
            message = f"The model {entry.name} is incomplete: it has no {' and no '.join(entry.missing)}."
            return None, Problem(ModelBroken.code, message, ModelBroken.hint)
        try:
            status = (entry.path / "model.bin").stat()
            mark = (status.st_size, status.st_mtime_ns)
            mine = self._looked.get(entry.name)
            if mine is None or mine[0] != mark:
                mine = self._looked[entry.name] = mark, _read(entry)
        except OSError as error:
            return None, Problem(
                ModelBroken.code, f"The model {entry.name} cannot be read: {error.strerror}.", ModelBroken.hint
            )
        found = mine[1]
        return (None, found) if isinstance(found, Problem) else (found, None)

    def _default(self, device: str) -> str | None:
        try:
            return self.catalog.name_of("auto", device=device)
        except ServiceError:  # there is none
            return None

    def _recommended(self, now: Situation) -> str | None:
        """The best of the known ones that are comfortable here."""
        order = BY_QUALITY if now.vram_bytes else ON_CPU
        for name in order:
            suits = BY_NAME[name].suits(self.machine.cpus, self.machine.model_bytes, now.vram_bytes)
            if suits.fit in ("gpu", "cpu"):
                return name
        return None


def _read(entry: CatalogEntry) -> ModelFacts | Problem:
    if entry.path is None:
        raise LookupError(entry.name)
    try:
        return model_files.read(entry.path)
    except ModelBroken as error:
        return error.problem


def _state(entry: CatalogEntry, now: Situation, problem: Problem | None) -> ModelState:
    if entry.name == now.loaded:
        return ModelState.LOADED
    if entry.name in now.transfers:
        return ModelState.DOWNLOADING
    if problem is not None or (entry.complete and entry.name in now.problems):
        return ModelState.BROKEN
    return ModelState.INSTALLED if entry.complete else ModelState.ABSENT


def _memory(model: KnownModel | None, suits: Suitability | None) -> int | None:
    if model is None:
        return None
    if suits is None or suits.compute_type is None or suits.device is None:
        return model.memory_bytes("int8")
    return model.memory_bytes(suits.compute_type, device=suits.device)
