"""The inventory: every model with its state, what it needs and how well it suits this machine, for people.

This module combines what the catalog, the files, the downloads and the speech actor know. It changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from whisper_service.core.domain import Problem, Value
from whisper_service.core.errors import ModelBroken, ServiceError
from whisper_service.host.machine import Machine
from whisper_service.models.catalog import Catalog, CatalogEntry, in_order
from whisper_service.models.files import WEIGHTS, ModelFacts, read_facts
from whisper_service.models.known import BY_NAME, ON_CPU, ON_GPU, Shape, Suitability
from whisper_service.models.speaker_networks import GOOD_FOR, MEMORY_BYTES, SPEAKERS, check_networks
from whisper_service.supervision.messages.download import Transfer


class ModelState(StrEnum):
    """The state of a model."""

    ABSENT = "absent"  # with a `problem` if it could not be downloaded
    DOWNLOADING = "downloading"  # or waits for its turn to be downloaded
    INSTALLED = "installed"
    LOADED = "loaded"  # a speech actor holds it
    BROKEN = "broken"  # its folder is there and cannot be loaded; `problem` says why


class ModelKind(StrEnum):
    """What a model is for."""

    SPEECH = "speech"  # makes text
    SPEAKERS = "speakers"  # tells speakers apart; no job can name it as its model


class ModelInfo(Value, frozen=True):
    """A model for people. None: not known until the model is on this machine; for `repo`: no hub has the model."""

    name: str
    state: ModelState
    repo: str | None = None
    languages: str | None = None  # "multilingual" or "en"
    good_for: str = ""  # English words for people
    parameters: int | None = None
    download_bytes: int | None = None  # within some percent
    disk_bytes: int = 0
    memory_bytes: int | None = None  # at work on one chunk at a time, with the device and type of `suits`
    suits: Suitability | None = None  # how it runs on this machine
    recommended: bool = False  # the best known model that runs well on this machine
    default: bool = False  # what "auto" means now
    builtin: bool = False  # comes with installed packages
    removable: bool = True  # by DELETE
    problem: Problem | None = None
    transfer: Transfer | None = None  # while it is downloading
    kind: ModelKind = ModelKind.SPEECH


class Situation(Value, frozen=True):
    """What only the running service knows. `vram_bytes` is the memory of the GPU that would load; 0: no GPU."""

    loaded: frozenset[str] = frozenset()
    device: str = "cpu"
    vram_bytes: int = 0
    transfers: Mapping[str, Transfer] = {}
    problems: Mapping[str, Problem] = {}


class Inventory:
    """The models of this machine, for people. Methods block for the disk: call them in a thread."""

    def __init__(self, catalog: Catalog, machine: Machine) -> None:
        self.catalog = catalog
        self.machine = machine
        self._facts: dict[
            str, tuple[tuple[int, int], ModelFacts | Problem]
        ] = {}  # by name: size and time, what was read

    def all(self, now: Situation) -> list[ModelInfo]:
        """Return every known model and every model on this machine, the best first; then the others by name."""
        best = self._recommended(now), self._default(now.device)
        entries = self.catalog.entries()
        others = {*now.transfers, *now.problems} - {entry.name for entry in entries}
        entries = in_order([*entries, *map(self.catalog.entry, others)])
        return [self._info(entry, now, *best) for entry in entries]

    def one(self, name: str, now: Situation) -> ModelInfo:
        """Return the model of this name, which must be a name that the catalog gave."""
        return self._info(self.catalog.entry(name), now, self._recommended(now), self._default(now.device))

    def too_big(self, name: str, have: int | None = None) -> int | None:
        """Return the least memory in bytes that the model needs. None: there is as much, or one is unknown.

        `have`: the bytes that there are, 0: unknown. None: those of this machine.
        """
        have = self.machine.memory_bytes if have is None else have
        if (shape := self._shape(name)) is None or not have:
            return None
        needed = shape.parameters  # int8, and nothing but the weights
        return needed if needed > have else None

    def chunks_on_gpu(self, name: str, free: int, compute_type: str) -> int | None:
        """Return how many chunks fit on a GPU with `free` bytes, beside the model. None: its files do not tell."""
        shape = self._shape(name)
        return None if shape is None else shape.chunks_within(free, compute_type)

    def _shape(self, name: str) -> Shape | None:
        facts, _ = self._read(self.catalog.entry(name))
        return facts.shape if facts else None

    def _pair(self, entry: CatalogEntry, now: Situation) -> ModelInfo:
        """Return the networks for speakers."""
        problem = None
        if entry.path is not None:
            try:
                check_networks(entry.path)
            except ModelBroken as error:
                problem = error.problem
            except OSError as error:
                message = f"The networks for speakers cannot be read: {error.strerror}."
                problem = Problem(ModelBroken.code, message, ModelBroken.hint)
        return ModelInfo(
            name=entry.name,
            state=_state(entry, now, problem),
            repo=entry.source.repo if entry.source else None,
            good_for=GOOD_FOR,
            download_bytes=entry.source.bytes if entry.source else None,
            disk_bytes=entry.bytes,
            memory_bytes=MEMORY_BYTES,
            removable=entry.path is not None,
            problem=now.problems.get(entry.name) or problem,
            transfer=now.transfers.get(entry.name),
            kind=ModelKind.SPEAKERS,
        )

    def _info(self, entry: CatalogEntry, now: Situation, recommended: str | None, default: str | None) -> ModelInfo:
        if entry.name == SPEAKERS:
            return self._pair(entry, now)
        known = BY_NAME.get(entry.name)
        facts, problem = self._read(entry)
        shape, languages, suits, memory = None, None, None, None
        if known:
            shape, languages = known.shape, known.languages
        elif facts:
            shape, languages = facts.shape, "multilingual" if facts.multilingual else "en"
        if shape:
            suits = shape.suits(self.machine.cpus, self.machine.model_bytes, now.vram_bytes)
            memory = shape.memory_bytes(suits.compute_type or "int8", device=suits.device or "cpu")
        return ModelInfo(
            name=entry.name,
            state=_state(entry, now, problem),
            repo=entry.source.repo if entry.source else None,
            languages=languages,
            good_for=known.good_for if known else "",
            parameters=shape.parameters if shape else None,
            download_bytes=entry.source.bytes if entry.source else None,
            disk_bytes=entry.bytes,
            memory_bytes=memory,
            suits=suits,
            recommended=entry.name == recommended,
            default=entry.name == default,
            builtin=entry.builtin,
            removable=entry.path is not None and not entry.builtin and not entry.configured,
            problem=None if entry.name in now.loaded else now.problems.get(entry.name) or problem,
            transfer=now.transfers.get(entry.name),
        )

    def _read(self, entry: CatalogEntry) -> tuple[ModelFacts | None, Problem | None]:
        """Return what the files of a model tell, or their problem. Reads again when `model.bin` has changed."""
        if entry.path is None:
            return None, None
        if entry.missing:
            message = f"The model {entry.name} is incomplete: it has no {' and no '.join(entry.missing)}."
            return None, Problem(ModelBroken.code, message, ModelBroken.hint)
        try:
            status = (entry.path / WEIGHTS).stat()
            mark = (status.st_size, status.st_mtime_ns)
            if entry.name not in self._facts or self._facts[entry.name][0] != mark:
                try:
                    self._facts[entry.name] = mark, read_facts(entry.path)
                except ModelBroken as error:
                    self._facts[entry.name] = mark, error.problem
        except OSError as error:
            message = f"The model {entry.name} cannot be read: {error.strerror}."
            return None, Problem(ModelBroken.code, message, ModelBroken.hint)
        found = self._facts[entry.name][1]
        return (None, found) if isinstance(found, Problem) else (found, None)

    def _default(self, device: str) -> str | None:
        try:
            return self.catalog.name_of("auto", device=device)
        except ServiceError:  # there is no model
            return None

    def _recommended(self, now: Situation) -> str | None:
        """Return the best known model that runs well on this machine."""
        for name in ON_GPU if now.vram_bytes else ON_CPU:
            suits = BY_NAME[name].shape.suits(self.machine.cpus, self.machine.model_bytes, now.vram_bytes)
            if suits.fit in ("gpu", "cpu"):
                return name
        return None


def _state(entry: CatalogEntry, now: Situation, problem: Problem | None) -> ModelState:
    if entry.name in now.loaded:
        return ModelState.LOADED
    if entry.name in now.transfers:
        return ModelState.DOWNLOADING
    if problem is not None or (entry.complete and entry.name in now.problems):
        return ModelState.BROKEN
    return ModelState.INSTALLED if entry.complete else ModelState.ABSENT
