"""Idempotency-Key: a request that is sent again gets the first answer again, and nothing else.

The key is claimed in the transaction that does the work, so there is no moment in which the work
is done and the answer is not kept. Refusals undo the transaction, and with it the claim.
"""

import hashlib
import re
from dataclasses import dataclass

from appliance.database.connect import Connection
from appliance.database.pipeline import Query, Rows, no_answer
from appliance.web.answers import Answer
from appliance.web.api_keys import ApiCredentials, Caller
from appliance.web.problems import Fault, ProblemError, unprocessable

HEADER = "Idempotency-Key"
PATTERN = r"^[\x21-\x7e]{1,255}$"

# Waits for a transaction that holds the same key; it then conflicts, or was undone. Only whoever
# has a live API key can make it wait.
_CLAIM = """
    INSERT INTO appliance.idempotency_keys (api_key_id, key, fingerprint)
    SELECT id, $1, $2::bytea FROM appliance.api_keys
    WHERE public_id = $3 AND secret_hash = $4 AND revoked_at IS NULL
    ON CONFLICT DO NOTHING RETURNING 1
"""
_KEEP = """
    UPDATE appliance.idempotency_keys SET status = $1, location = $2, body = $3
    WHERE api_key_id = $4 AND key = $5
"""
_FIND = """
    SELECT fingerprint, status, location, body FROM appliance.idempotency_keys
    WHERE api_key_id = $1 AND key = $2
"""
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


@dataclass(frozen=True, slots=True)
class Claim:
    """A key, and a fingerprint of the request that uses it."""

    key: str
    fingerprint: bytes


def read_claim(header: str | None, route: str, body: bytes) -> Claim | None:
    """Make the claim of a request, None if it has no key; raises 422 for a key that is none."""
    if header is None:
        return None
    if not _KEY.fullmatch(header):
        fault = Fault(parameter=HEADER, message="Use 1 to 255 visible ASCII characters.")
        raise unprocessable("The Idempotency-Key cannot be used.", fault)
    return Claim(header, hashlib.sha256(route.encode() + b"\n" + body).digest())


def claim_key(claim: Claim, credentials: ApiCredentials) -> Query[bool]:
    """Claim the key for the API key; its answer is False if the key was used before."""
    values = (claim.key, claim.fingerprint, credentials.public_id, credentials.secret_hash)
    return Query(_CLAIM, values, bool)


def keep(claim: Claim, caller: Caller, answer: Answer) -> Query[None]:
    """Keep the answer of the request that has claimed the key."""
    values = (answer.status, answer.location, answer.body, caller.id, claim.key)
    return Query(_KEEP, values, no_answer)


def replay(claim: Claim, caller: Caller) -> Query[Answer]:
    """Find the answer that was kept; raises 409 if the key came with another request."""

    def read(rows: Rows) -> Answer:
        for fingerprint, status, location, body in rows:
            if fingerprint != claim.fingerprint:
                raise _reused()
            return Answer(status, body, location, replayed=True)
        raise ProblemError(409, "This Idempotency-Key has just expired. Send the request again.")

    return Query(_FIND, (caller.id, claim.key), read)


def prune(connection: Connection, older_than_days: int) -> int:
    """Forget answers older than this and return how many. Needs the role that owns the table."""
    return connection.execute(
        "DELETE FROM appliance.idempotency_keys "
        "WHERE created_at < now() - make_interval(days => %s)",
        (older_than_days,),
    ).rowcount


def _reused() -> ProblemError:
    return ProblemError(
        409,
        "This Idempotency-Key was used for another request. Use a new key for a new request.",
        kind="idempotency-key-reused",
    )
