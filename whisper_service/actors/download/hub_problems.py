"""What can go wrong between this machine and a hub: one code for each case, with message and hint.

docs/models.md explains every code in English and Chinese.
"""

from __future__ import annotations

from typing import Any, Final

from whisper_service.core.domain import Problem
from whisper_service.models.files import CONVERSION

CASES: Final[dict[str, tuple[str, str]]] = {
    # this machine
    "offline": (
        "{repo} is not on this machine, and the settings forbid downloads.",
        "Allow downloads in the settings (HF_HUB_OFFLINE forbids them too), or copy the folder of the model to this"
        " machine.",
    ),
    "no_network": (
        "This machine has no network, so {host} cannot be reached.",
        "Connect this machine to a network, or copy the folder of the model from another machine.",
    ),
    "disk_full": (
        "The disk is too full: {needed} bytes are needed, {have} are free.",
        "Free some space, or put the models on a larger disk. What was downloaded so far is kept.",
    ),
    "not_writable": (
        "The folder of the models cannot be written to: {detail}.",
        "Correct the permissions of the folder, or choose another folder.",
    ),
    "target_occupied": (
        "{path} exists already and is not a complete model.",
        "Move that folder away. The service leaves it alone because it may contain files of yours.",
    ),
    # the connection
    "name_not_resolved": (
        "The name {host} could not be resolved.",
        "Check the spelling of the endpoint and the DNS of this machine, or set a proxy or another endpoint (mirror).",
    ),
    "connection_refused": (
        "{host} refused the connection.",
        "Check the address and the port of the endpoint, and any firewall on the way; or set another endpoint"
        " (mirror).",
    ),
    "unreachable": (
        "This machine has a network, but cannot reach {host}: {detail}.",
        "Check firewall and routing, or set a proxy or another endpoint (mirror).",
    ),
    "timeout": (
        "{host} did not answer in time.",
        "The connection is blocked or very slow: try again, or set a proxy or another endpoint (mirror).",
    ),
    "tls_not_trusted": (
        "The certificate of {host} is not trusted: {detail}.",
        "If your organisation inspects traffic, name the file of its certificate in SSL_CERT_FILE. Check the clock of"
        " this machine too.",
    ),
    # the proxy
    "proxy_refused": (
        "The proxy {proxy} cannot be reached, or refuses to connect to {host}: {detail}.",
        "Check the address of the proxy, and whether the proxy allows this host.",
    ),
    "proxy_password": (
        "The proxy {proxy} asks for a name and a password, or rejects the ones it got.",
        "Set the proxy as http://name:password@host:port.",
    ),
    "proxy_invalid": (
        "The address of the proxy cannot be used: {detail}.",
        "Set the proxy as http://host:port or http://name:password@host:port.",
    ),
    # what the hub answers
    "not_a_hub": (
        "{host} answers, but not as a hub does: {detail}.",
        "Check the address of the endpoint. In a guest network, a sign-in page may answer in place of the hub.",
    ),
    "token_refused": (
        "{host} gives no access to {repo} (401): the model is private, or does not exist, or the token is not valid.",
        "Check the name of the model. If the model is private, set a valid token.",
    ),
    "access_denied": (
        "{host} denies access to {repo} (403).",
        "Check what the token allows. If the hub is closed to your region or network, set another endpoint (mirror).",
    ),
    "gated": (
        "{repo} is open only to accounts that accepted its conditions on {host}.",
        "Accept the conditions on the page of the model, and set the token of that account.",
    ),
    "repo_not_found": (
        "There is no model {repo} on {host} (404).",
        "Check the name, written as owner/name. A mirror may not have the model. An address that is not a hub may also"
        " answer 404.",
    ),
    "revision_not_found": (
        "{repo} on {host} has no revision {revision} (404).",
        "Leave out the revision to get the current one, or correct it.",
    ),
    "repo_invalid": (
        "“{repo}” cannot be the name of a model on a hub.",
        "Write the name as owner/name.",
    ),
    "rate_limited": (
        "{host} got too many requests from this machine (429).",
        "Wait some minutes and try again. With a token, a hub allows more requests.",
    ),
    "server_error": (
        "{host} reports an error of its own ({status}).",
        "Try again later, or set another endpoint (mirror).",
    ),
    # what is downloaded
    "cut_off": (
        "The download from {host} broke off before its end.",
        "Try again: the download goes on where it stopped.",
    ),
    "hash_mismatch": (
        "{file} from {host} does not have the size or the hash that the hub states. The file was deleted.",
        "Try again. If it happens again, something on the way changes the data: set another endpoint.",
    ),
    "not_a_model": (
        "{repo} is not a Whisper model in CTranslate2's format: it has no {missing}.",
        CONVERSION,
    ),
    "file_missing": (
        "{repo} has no file {missing}.",
        "Try again later, set another endpoint (mirror), or copy the files from another machine: `models import`.",
    ),
    "download_failed": (
        "The download from {host} failed: {detail}.",
        "Try again. If it happens again, report it with the log of the download actor.",
    ),
}
"""Code -> message and hint, in the order in which a download meets them: of two problems, the later one got further.

The names in braces are the `params` of the problem.
"""


class HubError(Exception):
    """An error whose problem is already known."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(problem.message)


def problem(code: str, **params: Any) -> Problem:
    """Return the problem of this code. `params` fill its message."""
    message, hint = CASES[code]
    return Problem(code=code, message=message.format_map(params), hint=hint, params=params)
