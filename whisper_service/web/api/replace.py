"""Replace words in many transcripts, and take that back."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import Router, get, post
from litestar.params import JSONBody, PathParameter

from whisper_service.app.replace import Expected, GroupResult, JobFinds, Replacement
from whisper_service.core.chinese import variants
from whisper_service.core.domain import Value
from whisper_service.core.errors import InvalidRequest
from whisper_service.editing.matching import Phrase
from whisper_service.storage.transcript_edits import Edit
from whisper_service.web.api.edits import MAX_BODY, Author, Batch, Client, UndoRequest
from whisper_service.web.http.errors import problems
from whisper_service.web.http.parameters import MAX_ID, Served

MAX_PHRASE = 200
Group = Annotated[str, PathParameter(description="The batch of a replacement.", max_length=64)]
JobKey = Annotated[str, msgspec.Meta(max_length=MAX_ID)]


class ReplaceRequest(Value, frozen=True, forbid_unknown_fields=True):
    """What is replaced, by what, and where. Without `expected` nothing is replaced: the answer says what would be."""

    find: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_PHRASE)]
    replace: Annotated[str, msgspec.Meta(max_length=MAX_PHRASE)]
    case: Annotated[bool, msgspec.Meta(description="Upper and lower case differ.")] = False
    whole: Annotated[bool, msgspec.Meta(description="Whole words only, in scripts with spaces between words.")] = False
    scripts: Annotated[bool, msgspec.Meta(description="Traditional characters count as simplified ones.")] = False
    ids: Annotated[tuple[JobKey, ...], msgspec.Meta(max_length=500, description="Look in these jobs.")] = ()
    q: Annotated[str, msgspec.Meta(max_length=500, description="Look in the jobs that this search finds.")] = ""
    expected: (
        Annotated[
            dict[JobKey, Expected],
            msgspec.Meta(max_length=500, description="Replace in these jobs, if they are still as the answer said."),
        ]
        | None
    ) = None
    batch: Batch | None = None
    client: Client = ""
    author: Author = ""


class Finds(Value, frozen=True):
    """What would be replaced. `complete`: no more than these transcripts have finds."""

    count: int
    jobs: list[JobFinds]
    complete: bool


class CharacterPairs(Value, frozen=True):
    """Traditional characters, and at the same places the simplified ones that they count as."""

    traditional: str
    simplified: str


@post(
    "/replace",
    operation_id="replaceInTranscripts",
    summary="Replace words in many transcripts",
    description=(
        "First without `expected`: the answer tells the finds in each job of `ids`, or in those that the search `q` "
        "finds. Then with `expected`, the count and the number of the newest edit of each job as they were told: each "
        "job gets one edit, and all of them share the group `batch`. A job that was changed meanwhile is left out and "
        "named. Sent twice with one batch, it is made once."
    ),
    status_code=200,
    request_max_body_size=MAX_BODY,
    responses=problems(403, 404, 409, 413, 422, 503, 507),
)
async def replace(service: Served, data: JSONBody[ReplaceRequest]) -> Finds | GroupResult:
    wanted = Replacement(Phrase(data.find, case=data.case, whole=data.whole), data.replace, data.scripts)
    if not data.find.strip():
        raise InvalidRequest("There is nothing to look for.", hint="Send some characters.", field="find")
    if data.expected is None:
        jobs, complete = await service.replacements.look(wanted, ids=data.ids, query=data.q)
        return Finds(sum(job.count for job in jobs), jobs, complete)
    if data.batch is None:
        raise InvalidRequest("A replacement needs a batch.", hint="Send `batch`.", field="batch")
    edit = Edit(data.batch, (), data.client, data.author)
    return await service.replacements.replace(wanted, data.expected, edit)


@post(
    "/edits/groups/{group:str}/undo",
    operation_id="undoGroup",
    summary="Take a replacement in many transcripts back",
    description="One edit in each transcript. A transcript whose lines were changed since is left out and named.",
    status_code=200,
    responses=problems(403, 404, 422, 503, 507),
)
async def undo(service: Served, group: Group, data: JSONBody[UndoRequest]) -> GroupResult:
    return await service.replacements.undo(group, Edit(data.batch, (), data.client, data.author))


@get(
    "/characters",
    operation_id="getCharacters",
    summary="Traditional characters and the simplified ones that they count as",
    responses=problems(),
)
async def characters() -> CharacterPairs:
    known = variants()
    return CharacterPairs("".join(map(chr, known)), "".join(known.values()))


router = Router("/api", tags=["Jobs"], route_handlers=[replace, undo, characters])
