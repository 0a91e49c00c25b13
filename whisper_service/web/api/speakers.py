"""Show the speakers of a job, name and join them, and count them again."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import Router, get, patch, post
from litestar.params import JSONBody, PathParameter

from whisper_service.app.speakers import SpeakerOverview
from whisper_service.core.domain import MAX_SPEAKERS, Options, SpeakerLimit, Value
from whisper_service.core.errors import InvalidRequest
from whisper_service.editing.operations import SpeakerId, SpeakerName
from whisper_service.storage.transcript_edits import EditResult
from whisper_service.web.http.errors import problems
from whisper_service.web.http.parameters import JobId, Served

SpeakerIdInPath = Annotated[str, PathParameter(description="The identifier of a speaker of the job.", max_length=60)]


class SpeakerEdit(Value, frozen=True, forbid_unknown_fields=True):
    """What can be changed about a speaker. What is left out stays."""

    name: Annotated[SpeakerName, msgspec.Meta(description='"": no name.')] | msgspec.UnsetType = msgspec.UNSET
    merged_into: (
        Annotated[SpeakerId, msgspec.Meta(description="The speaker that is the same. null: none is.")]
        | msgspec.UnsetType
        | None
    ) = msgspec.UNSET


class RecountRequest(Value, frozen=True, forbid_unknown_fields=True):
    """How many speakers there are."""

    speakers: (
        Annotated[int, msgspec.Meta(ge=1, le=MAX_SPEAKERS)]
        | Annotated[str, msgspec.Meta(pattern=r"^(auto|[1-9]|1[0-9]|20)$", description="auto, or 1 to 20.")]
    ) = "auto"
    min_speakers: SpeakerLimit | None = None
    max_speakers: SpeakerLimit | None = None


@get(
    "/{job_id:str}/speakers",
    operation_id="getSpeakers",
    summary="Who speaks, and when",
    description="A speaker without a name is shown as Speaker N, where N is `position` plus 1.",
    responses=problems(404, 422),
)
async def overview(service: Served, job_id: JobId) -> SpeakerOverview:
    return await service.speakers.overview(job_id)


@patch(
    "/{job_id:str}/speakers/{speaker_id:str}",
    operation_id="editSpeaker",
    summary="Name a speaker, or join two",
    description="An edit of the text like others: it is in the log of edits and can be taken back.",
    responses=problems(403, 404, 422, 503, 507),
)
async def edit(service: Served, job_id: JobId, speaker_id: SpeakerIdInPath, data: JSONBody[SpeakerEdit]) -> EditResult:
    if data == SpeakerEdit():
        raise InvalidRequest("There is nothing to change.", hint="Send name or merged_into.", field="name")
    merged = data.merged_into
    return await service.speakers.change(
        job_id,
        speaker_id,
        name=None if data.name is msgspec.UNSET else data.name,
        merge=merged is not msgspec.UNSET,
        into=None if merged is msgspec.UNSET else merged,
    )


@post(
    "/{job_id:str}/speakers",
    operation_id="countSpeakers",
    summary="Count the speakers again",
    description=(
        "For a job that has ended, from what is stored of its voices, without the recording. It answers when the new "
        "speakers are stored. Names and merges stay with their voices. 409: it is not possible, and why."
    ),
    status_code=200,
    responses=problems(403, 404, 409, 422, 503, 507),
)
async def recount(service: Served, job_id: JobId, data: JSONBody[RecountRequest]) -> SpeakerOverview:
    return await service.speakers.recount(
        job_id, Options(speakers=str(data.speakers), min_speakers=data.min_speakers, max_speakers=data.max_speakers)
    )


router = Router("/api/jobs", tags=["Jobs"], route_handlers=[overview, edit, recount])
