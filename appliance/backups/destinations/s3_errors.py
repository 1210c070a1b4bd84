"""What an S3 server says, or does not say, as errors for people. No secret gets into them."""

import re

from appliance.backups.backup_errors import DestinationError

_CODE = re.compile(r"<Code>\s*(\w{1,64})\s*</Code>|\(code: (\w{1,64})\)")
_STATUS = re.compile(r"non-2xx status code: (\d{3})")

_KEY = "BACKUP_S3_ACCESS_KEY_ID"
_SECRET = "BACKUP_S3_SECRET_ACCESS_KEY"  # noqa: S105 - the name of a variable
_TOKEN = "BACKUP_S3_SESSION_TOKEN"  # noqa: S105 - the name of a variable

_UNKNOWN_KEY = ("the server does not know the access key", f"Correct {_KEY}.")
_WRONG_SECRET = (
    "the secret key does not belong to the access key",
    f"Correct {_SECRET}, and see that it belongs to {_KEY}.",
)
_EXPIRED = (
    "the credentials have expired, or the session token is wrong",
    f"Put new ones into {_KEY}, {_SECRET} and {_TOKEN}; long-lived keys need no token.",
)
_DENIED = (
    "the server denies access",
    "Allow the access key to list the bucket and to read, write and delete objects in it.",
)
_CLOCK = (
    "this machine's clock differs too much from the server's",
    "Set the clock, best with NTP.",
)
_REGION = (
    "the bucket lies in another region",
    "Name it in BACKUP_DESTINATIONS, with ?region= at the end of the URL.",
)
_NO_BUCKET = ("there is no such bucket", "Make the bucket, or correct BACKUP_DESTINATIONS.")
_FULL = ("the server has no room", "Delete old backups or raise the quota.")
_BUSY = ("the server is overloaded or failing", "Try again later; what is there already is kept.")

_CODES = {
    "InvalidAccessKeyId": _UNKNOWN_KEY,
    "Unauthorized": _UNKNOWN_KEY,
    "SignatureDoesNotMatch": _WRONG_SECRET,
    "ExpiredToken": _EXPIRED,
    "InvalidToken": _EXPIRED,
    "TokenRefreshRequired": _EXPIRED,
    "AccessDenied": _DENIED,
    "AllAccessDisabled": _DENIED,
    "RequestTimeTooSkewed": _CLOCK,
    "PermanentRedirect": _REGION,
    "TemporaryRedirect": _REGION,
    "AuthorizationHeaderMalformed": _REGION,
    "NoSuchBucket": _NO_BUCKET,
    "InvalidBucketName": _NO_BUCKET,
    "QuotaExceeded": _FULL,
    "XMinioStorageFull": _FULL,
    "SlowDown": _BUSY,
    "ServiceUnavailable": _BUSY,
    "InternalError": _BUSY,
}
_STATUSES = {
    "301": _REGION,
    "401": _DENIED,
    "403": _DENIED,
    "500": _BUSY,
    "502": _BUSY,
    "503": _BUSY,
    "504": _BUSY,
    "507": _FULL,
}
# Without an answer, the words of the libraries below are all there is.
_WORDS = {
    "certificate": (
        "the server's certificate is not trusted",
        "Correct the endpoint, or add the authority that signed the certificate to this machine.",
    ),
    "dns error": ("the server's name is not known", "Correct the endpoint, or see to the DNS."),
    "kind: timeout": (
        "the server does not answer in time",
        "See whether the endpoint is right and can be reached from here.",
    ),
    "connection refused": (
        "nobody listens at the endpoint",
        "Correct the endpoint, or start its server.",
    ),
}
_UNREACHABLE = (
    "the server cannot be reached, or the connection broke",
    "See whether the endpoint is right and can be reached from here.",
)


def error_code(error: Exception) -> str:
    """The code in the server's answer, empty if there is none."""
    found = _CODE.search(str(error))
    return (found[1] or found[2]) if found else ""


def to_destination_error(error: Exception, where: str) -> DestinationError:
    """The error for people. Not the server's own words: they may repeat a session token."""
    what, hint = _known(error)
    return DestinationError(f"{where} cannot be used: {what}.", hint)


def _known(error: Exception) -> tuple[str, str]:
    code, status = error_code(error), _STATUS.search(str(error))
    if code in _CODES:
        return _CODES[code]
    if status and status[1] in _STATUSES:
        return _STATUSES[status[1]]
    if status or code:
        answer = " ".join(filter(None, [status[1] if status else "", code]))
        return f"the server answered {answer}", "See what the server's own documentation says."
    text = str(error).lower()
    return next((known for word, known in _WORDS.items() if word in text), _UNREACHABLE)
