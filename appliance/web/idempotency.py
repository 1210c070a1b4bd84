"""Idempotency-Key: a request that is sent again gets the first answer again, and nothing else.

The key is claimed in the transaction that does the work, so there is no moment in which the work
is done and the answer is not kept. Refusals undo the transaction, and with it the claim.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass

from appliance.database.connect import Connection
from appliance.web.answers import Answer
from appliance.web.problems import Fault, ProblemError, unprocessable

HEADER = "Idempotency-Key"
PATTERN = r"^[\x21-\x7e]{1,255}$"

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


def once(
    connection: Connection, api_key_id: int, claim: Claim | None, produce: Callable[[], Answer]
) -> Answer:
    """Return the answer kept for the claim, or produce it and keep it.

    Keys belong to the API key that sent them. Raises 409 if the key came with another request.
    """
    if claim is None:
        return produce()
    # Waits for a transaction that holds the same key; it then conflicts, or was undone.
    claimed = connection.execute(
        "INSERT INTO appliance.idempotency_keys (api_key_id, key, fingerprint) "
        "VALUES (%s, %s, %s) ON CONFLICT DO NOTHING RETURNING 1",
        (api_key_id, claim.key, claim.fingerprint),
    ).fetchone()
    if claimed is None:
        return _replay(connection, api_key_id, claim)
    answer = produce()
    connection.execute(
        "UPDATE appliance.idempotency_keys SET status = %s, location = %s, body = %s "
        "WHERE api_key_id = %s AND key = %s",
        (answer.status, answer.location, answer.body, api_key_id, claim.key),
    )
    return answer


def prune(connection: Connection, older_than_days: int) -> int:
    """Forget answers older than this and return how many. Needs the role that owns the table."""
    return connection.execute(
        "DELETE FROM appliance.idempotency_keys "
        "WHERE created_at < now() - make_interval(days => %s)",
        (older_than_days,),
    ).rowcount


def _replay(connection: Connection, api_key_id: int, claim: Claim) -> Answer:
    row = connection.execute(
        "SELECT fingerprint, status, location, body FROM appliance.idempotency_keys "
        "WHERE api_key_id = %s AND key = %s",
        (api_key_id, claim.key),
    ).fetchone()
    if row is None:
        raise ProblemError(409, "This Idempotency-Key has just expired. Send the request again.")
    fingerprint, status, location, body = row
    if fingerprint != claim.fingerprint:
        raise ProblemError(
            409,
            "This Idempotency-Key was used for another request. Use a new key for a new request.",
            kind="idempotency-key-reused",
        )
    return Answer(status, body, location, replayed=True)
