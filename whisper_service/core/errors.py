"""Define the errors that users and clients see.

    ServiceError                        code                     status (mapped in web/http/errors.py)
    ├── InvalidRequest                  invalid_request          422
    │   ├── BadEdit                     bad_edit                 422
    │   ├── VersionMissing              version_missing          428
    │   ├── EmptyFile                   empty_file               422
    │   ├── BadArchive                  bad_archive              422
    │   └── InvalidConfig               invalid_config           -
    ├── UnsupportedMedia                unsupported_media_type   415
    ├── TooLarge                        too_large                413
    ├── NotFound                        not_found                404
    ├── Conflict                        conflict                 409
    │   ├── IllegalTransition           illegal_transition       409
    │   ├── EditConflict                edit_conflict            409
    │   ├── UploadOffset                upload_offset            409
    │   ├── UploadIncomplete            upload_incomplete        409
    │   ├── OffsetAhead                 offset_ahead             409
    │   ├── LiveEnded                   live_ended               409
    │   ├── MediaRemoved                media_removed            409
    │   └── ModelInUse                  model_in_use             409
    ├── DiskFull                        disk_full                507
    ├── DataDirectoryInUse              data_dir_in_use          -
    ├── ModelUnavailable                model_unavailable        503
    ├── ModelBroken                     model_broken             503
    │   └── ModelTooBig                 model_too_big            503
    ├── ImportRefused                   import_refused           403
    ├── Unavailable                     shutting_down            503
    ├── StoreBroken                     database_broken          500
    ├── StoreBusy                       database_busy            503
    ├── ObjectStoreFailed               object_store_failed      503
    │   ├── ObjectStoreUnreachable      object_store_unreachable 503
    │   ├── ObjectStoreDenied           object_store_denied      503
    │   ├── BucketUnusable              bucket_unusable          503
    │   ├── ObjectStoreSupportMissing   object_store_support_missing 503
    │   ├── RecordingLost               recording_lost           404
    │   └── RecordingAltered            recording_altered        503
    ├── UploadBroken                    upload_broken            400
    ├── LinkFailed                      url_failed               -
    ├── WebPage                         web_page                 -
    ├── UploadLocked                    upload_locked            423
    ├── ChecksumMismatch                checksum_mismatch        460
    ├── UploadProtocol                  upload_protocol          412
    ├── CallFailed                      call_failed              500      (app.calls)
    │   ├── CallWaits                   call_waits               503      (app.calls)
    │   └── SpeakersMissing             speakers_unavailable     503      (app.calls)
    ├── SpeakersUnheard                 speakers_unheard         500      (app.known_speakers)
    ├── Unauthorized                    unauthorized             401
    ├── TooManyTries                    too_many_tries           429
    ├── TooManyUploads                  too_many_uploads         503
    ├── TooManySessions                 too_many_sessions        429
    ├── TokenRequired                   token_required           -
    ├── AddressUnavailable              address_unavailable      -        (web.server)
    ├── NotMedia                        not_media                -        (actors.media.open_part)
    ├── NoAudio                         no_audio                 -        (actors.media.tracks)
    ├── NoSuchTrack                     no_such_track            -        (actors.media.tracks)
    ├── BeginsTooLate                   begins_too_late          -        (actors.media.time_range)
    ├── DecodeFailed                    decode_failed            -        (actors.media.tracks)
    ├── SpoolMissing                    spool_missing            -        (actors.media.main)
    ├── TooLong                         too_long                 -        (actors.media.main)
    └── Inflated                        inflated                 -        (actors.media.main)

In brackets: the module of the class, if another one. Status "-": no request is answered with the error; it ends the
process or is the `error` of a job. docs/operations.md explains each code to operators. The docstring of a class is its
default message. The code of a class is its name in snake case, unless the class states another one. A code never
changes: a class that gets another name states the code that it had.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar

from whisper_service.core.domain import Problem


class ServiceError(Exception):
    """Something went wrong."""

    code: ClassVar[str] = "internal"
    hint: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        """Derive the code of a class that states none from its name: `TooLarge` has the code `too_large`."""
        if "code" not in vars(cls):
            cls.code = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()

    def __init__(self, message: str | None = None, *, hint: str | None = None, **params: Any) -> None:
        self.message = message or (type(self).__doc__ or "").strip().splitlines()[0]
        self.advice = hint if hint is not None else self.hint
        self.params = params
        self.problem = Problem(self.code, self.message, self.advice, params)  # for the API and the database
        super().__init__(self.message)


class InvalidRequest(ServiceError):
    """The request is not valid."""


class BadEdit(InvalidRequest):
    """This edit cannot be made."""

    hint = "Nothing was changed. Correct the edit and send it again."


class VersionMissing(InvalidRequest):
    """An operation does not say which version of its line it is for."""

    hint = "Nothing was changed. Send the version of the line, which the transcript has, as `v`."


class EmptyFile(InvalidRequest):
    """The file is empty."""

    hint = "Check that the recording was saved completely and send it again."


class BadArchive(InvalidRequest):
    """The archive is not that of a model."""

    hint = "Pack the folder of one model in CTranslate2's format as .zip, .tar or .tar.gz."


class InvalidConfig(InvalidRequest):
    """The configuration is not valid."""


class UnsupportedMedia(ServiceError):
    """This address does not accept a body of this kind."""

    code = "unsupported_media_type"


class TooLarge(ServiceError):
    """The file is larger than this service accepts."""


class NotFound(ServiceError):
    """What the request names does not exist."""


class Conflict(ServiceError):
    """The request does not fit the present state."""


class IllegalTransition(Conflict):
    """The job cannot do this in its present state."""


class EditConflict(Conflict):
    """A line was changed meanwhile."""

    hint = "Look at the line as it is now, and choose which text to keep."


class ModelInUse(Conflict):
    """The model is in use."""

    hint = "Wait for the jobs that use it, or pause them. Then try again."


class MediaRemoved(Conflict):
    """The recording of this job was deleted to save space. Its text was kept."""

    hint = (
        "Send the recording again. storage.keep_media_days and storage.max_media_bytes say how long recordings"
        " are kept."
    )


class DiskFull(ServiceError):
    """There is not enough space on the disk."""

    hint = "Free some space, or set data_dir to a folder on a larger disk. Then try again."


class DataDirectoryInUse(ServiceError):
    """Another whisper_service is using this data directory."""

    code = "data_dir_in_use"
    hint = "Stop the other one, or choose another directory with --data-dir."


class ModelUnavailable(ServiceError):
    """The model is not on this machine."""


class ModelBroken(ServiceError):
    """The model cannot be loaded."""

    hint = "Remove the model, then install it again."


class ModelTooBig(ModelBroken):
    """The model needs more memory than this machine has."""

    hint = "Choose a smaller model. GET /api/models says which models fit."


class ImportRefused(ServiceError):
    """Models may not be imported from this folder."""

    hint = "Name the folder in models.import_dirs of the configuration, or send the model as an archive."


class Unavailable(ServiceError):
    """The service is shutting down."""

    code = "shutting_down"
    hint = "Try again when the service runs again. Nothing that was accepted is lost."


class StoreBroken(ServiceError):
    """The database cannot be used."""

    code = "database_broken"
    hint = "Restore the file from a backup, or move it away to start with an empty list of jobs."


class StoreBusy(ServiceError):
    """Another program has locked the database for seconds."""

    code = "database_busy"
    hint = "Close the program that has the file open, for instance a database browser or a backup. Then try again."


class ObjectStoreFailed(ServiceError):
    """The object storage cannot be used."""

    hint = "The log of the service says more. `doctor` tries the object storage."


class ObjectStoreUnreachable(ObjectStoreFailed):
    """The object storage does not answer."""

    hint = "Check the network and s3.endpoint. The service tries again by itself."


class ObjectStoreDenied(ObjectStoreFailed):
    """The object storage refuses access."""

    hint = (
        "Check the credentials (s3.access_key_id and s3.secret_access_key, or AWS_ACCESS_KEY_ID and others), and that"
        " they may put, get and delete objects in the bucket."
    )


class BucketUnusable(ObjectStoreFailed):
    """The bucket cannot be used."""

    hint = "Make the bucket that storage.media names, or correct storage.media and s3.region."


class ObjectStoreSupportMissing(ObjectStoreFailed):
    """The package that speaks to object storage is not installed."""

    hint = 'Install "whisper_service[s3]" and start the service again. Recordings stay on this machine until then.'


class RecordingLost(ObjectStoreFailed):
    """The recording is not in the object storage any more."""

    hint = "Somebody deleted it there. Its text can be exported; to hear the recording here, send it again."


class RecordingAltered(ObjectStoreFailed):
    """The bytes in the object storage are not those of the recording."""

    hint = "Somebody changed the object there, or the storage is broken. Send the recording again."


class UploadBroken(ServiceError):
    """The upload broke off before it was complete."""

    hint = "Send the file again."


class LinkFailed(ServiceError):
    """The link could not be fetched."""

    code = "url_failed"
    hint = "Check the address, or download the file yourself and send it."


class WebPage(ServiceError):
    """This is a web page, not an audio or video file."""

    hint = "Give the address of the audio or video file itself, or download the file and send it."


class Unauthorized(ServiceError):
    """This service requires a token."""

    hint = "Send the token as `Authorization: Bearer TOKEN`. In a browser, log in at /login."


class TooManyTries(ServiceError):
    """Too many wrong tokens came from this address."""

    hint = "Wait as long as Retry-After says, then send the right token."


class TooManyUploads(ServiceError):
    """The service already receives as many uploads as it may at the same time."""

    hint = "Send the file again in a moment, or raise server.max_uploads."


class TooManySessions(ServiceError):
    """As many live sessions as this service allows are open."""

    hint = "End one of them, or raise live.max_sessions."


class TokenRequired(ServiceError):
    """The service would listen for other machines without a token."""

    hint = (
        "Set security.token, security.token_file or WHISPER_SERVICE_SECURITY__TOKEN; or listen on 127.0.0.1; or set"
        " security.open = true if everybody who reaches this address may use the service."
    )


class UploadOffset(Conflict):
    """The piece does not begin where the upload ends."""

    hint = "Send HEAD to learn the offset of the upload, and continue there."


class UploadIncomplete(Conflict):
    """The upload is not complete."""

    hint = "Send the rest first. HEAD says at which offset it begins."


class OffsetAhead(Conflict):
    """The sound of the session does not reach to this offset yet."""

    hint = "Send what comes before first. params.offset says where the sound on the disk ends."


class LiveEnded(Conflict):
    """The live session has ended."""

    hint = "Begin a new session. If this one ended only because nothing was sent for a while, resume it."


class UploadLocked(ServiceError):
    """Another connection is sending this upload."""

    hint = "Send HEAD: it ends the other connection and says the offset. Continue there."


class ChecksumMismatch(ServiceError):
    """The checksum of the piece does not fit its bytes."""

    hint = "Send the piece again. Nothing of it was kept."


class UploadProtocol(ServiceError):
    """Uploads in pieces need version 1.0.0 of the tus protocol."""

    hint = "Send the header Tus-Resumable: 1.0.0, or send the file in one piece to /api/jobs."
