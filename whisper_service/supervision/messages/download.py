"""The messages of the download actor: models, and tests of the way to their hub. Pure."""

from __future__ import annotations

from pathlib import PurePath

from whisper_service.core.domain import Problem, Value
from whisper_service.supervision.messages.base import Message


class Hub(Value, frozen=True):
    """Where models come from. The token goes to each of `endpoints` and to no host that they redirect to."""

    endpoints: tuple[str, ...]  # addresses, tried in order
    token: str | None = None  # None: no token, not even one that is stored on this machine
    proxy: str | None = None  # URL, perhaps with name and password; None: as the environment says
    offline: bool = False
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 10.0  # without a single byte

    def __repr__(self) -> str:
        """Return no secret."""
        return f"Hub({len(self.endpoints)} endpoints)"


class RemoteFile(Value, frozen=True):
    """A file of a model whose files lie in several repos. `sources`, repo and path in it, are tried in order."""

    name: str  # in the directory of the model
    sources: tuple[tuple[str, str], ...]


class Download(Message, frozen=True):
    """Download a model. Answered by `DownloadProgress` every second, then by `Downloaded` or `Fault(scope="download")`.

    No request is sent when `target` has a complete model already, or when `offline`. Partial files lie in
    `partial_of(target)`. To cancel, kill the actor: the same command continues later, and deleting that directory gives
    the partial files up. `token` goes to each of `endpoints` and to no host that they redirect to.
    """

    model: str  # the name in reports
    repo: str  # "owner/name" on the hub
    target: str  # the directory of the finished model; its parent need not exist
    hub: Hub
    spare_bytes: int = 0  # bytes that must stay free on the disk afterwards
    files: tuple[RemoteFile, ...] = ()  # the files of the model, if they are not those of `repo`


class TestConnection(Message, frozen=True):
    """Ask every endpoint for this repo, and download nothing. Answered by `ConnectionTested`."""

    repo: str
    hub: Hub
    path: str = ""  # a file of the repo; empty: the repo is a model


class EndpointState(Value, frozen=True):
    """How a hub answered. The address has no name and password. `problem` None: the hub answered as it should."""

    endpoint: str
    problem: Problem | None = None


class Transfer(Value, frozen=True):
    """The progress of a download."""

    bytes: int = 0  # of the model on this disk, also from earlier attempts; falls when a file must be downloaded again
    total: int | None = None  # None: not known yet
    speed_bps: float = 0.0  # bytes per second, over the last seconds
    eta_s: float | None = None  # None: no byte comes
    endpoint: str = ""  # in use; empty: none yet, or the download waits for its turn
    failed: tuple[EndpointState, ...] = ()  # the endpoints that were tried before this one


class DownloadProgress(Message, frozen=True):
    """How much of a model has come, from the endpoint in use. Sent every second, also when no byte comes."""

    model: str
    transfer: Transfer


class Downloaded(Message, frozen=True):
    """The model is complete, checked, and in its place."""

    model: str
    bytes: int  # of all its files
    endpoint: str = ""  # empty: the model was here already


class ConnectionTested(Message, frozen=True):
    """How each endpoint answered, in the order of the command."""

    results: tuple[EndpointState, ...]


def partial_of(target: str) -> str:
    """Return the directory of a model's partial files: beside `target`, with a name that no model can have."""
    path = PurePath(target)
    return str(path.with_name(f".{path.name}.partial"))
