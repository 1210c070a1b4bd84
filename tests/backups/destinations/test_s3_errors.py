"""What S3 servers refuse, said so that one knows what to do; nothing secret is repeated."""

import ssl
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from appliance.backups.backup_errors import DestinationError
from appliance.backups.destinations.bucket import S3Credentials
from appliance.backups.destinations.s3 import S3Destination
from appliance.backups.format.backup_name import BackupName
from tests.backups.destinations import backups, lines
from tests.backups.destinations.places import BucketPlace
from tests.backups.destinations.servers import BUCKET, IMPATIENT, Server
from tests.harness.appliance import free_port

SECRET = "the-secret-key-itself"
DAY = timedelta(days=1)
TOKEN = "the-session-token-itself"


def test_a_key_that_the_server_does_not_know_is_told(server: Server) -> None:
    stranger = server.destination(credentials=S3Credentials("stranger", SECRET))
    _refused(stranger.list_manifests, "does not know the access key", "BACKUP_S3_ACCESS_KEY_ID")


def test_a_wrong_secret_is_told(server: Server) -> None:
    liar = server.destination(credentials=replace(server.owner, secret_access_key=SECRET))
    _refused(liar.list_manifests, "does not belong", "BACKUP_S3_SECRET_ACCESS_KEY")


def test_who_may_list_but_not_write_is_told_and_nothing_is_changed(
    bucket: BucketPlace, source: Path
) -> None:
    manifest = backups.make(source)
    bucket.destination.store(manifest, source, backups.ignore)
    before = bucket.keys()
    reader = bucket.server.destination(bucket.prefix, credentials=bucket.server.reader)
    assert reader.list_manifests()[0].manifest == manifest
    other = replace(manifest, name=BackupName("other"))
    _refused(lambda: reader.store(other, source, backups.ignore), "denies", "write and delete")
    _refused(lambda: reader.delete(BackupName("nightly")), "denies", "write and delete")
    assert bucket.keys() == before


def test_a_bucket_that_does_not_exist_is_told_and_not_made(server: Server, source: Path) -> None:
    nowhere = server.destination(bucket="no-such-bucket")
    manifest = backups.make(source)
    for act in (
        nowhere.list_manifests,
        nowhere.clean,
        lambda: nowhere.read_manifest(BackupName("nightly")),
        lambda: nowhere.store(manifest, source, backups.ignore),
        lambda: nowhere.delete(BackupName("nightly")),
    ):
        _refused(act, "no such bucket", "BACKUP_DESTINATIONS")
    names = [entry["Name"] for entry in server.raw.list_buckets()["Buckets"]]
    assert "no-such-bucket" not in names


@pytest.mark.parametrize(
    ("status", "code", "words", "hint"),
    [
        (400, "ExpiredToken", "expired", "BACKUP_S3_SESSION_TOKEN"),
        (400, "InvalidToken", "expired", "BACKUP_S3_SESSION_TOKEN"),
        (403, "RequestTimeTooSkewed", "clock", "clock"),
        (400, "AuthorizationHeaderMalformed", "another region", "?region="),
        (403, "AccessDenied", "denies access", "Allow"),
        (403, "", "denies access", "Allow"),
        (507, "XMinioStorageFull", "no room", "quota"),
        (503, "SlowDown", "overloaded", "later"),
        (418, "Teapot", "answered 418 Teapot", "documentation"),
    ],
)
def test_an_answer_is_explained_and_not_repeated(
    source: Path, status: int, code: str, words: str, hint: str
) -> None:
    body = f"<Error><Code>{code}</Code><Message>{TOKEN}</Message><Token-0>{TOKEN}</Token-0></Error>"
    manifest = backups.make(source)
    with lines.answering(status, body) as endpoint:
        destination = _at(endpoint)
        for act in (
            destination.list_manifests,
            lambda: destination.read_manifest(BackupName("nightly")),
            lambda: destination.store(manifest, source, backups.ignore),
        ):
            _refused(act, words, hint)


def test_nobody_at_the_endpoint_is_told() -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    error = _refused(_at(endpoint).list_manifests, "nobody listens", "start its server")
    assert endpoint in error.message


def test_a_certificate_that_nobody_vouches_for_is_told(self_signed: str) -> None:
    _refused(_at(self_signed).list_manifests, "certificate is not trusted", "authority")


def test_no_secret_is_shown_in_a_destination() -> None:
    credentials = S3Credentials("key", SECRET, TOKEN)
    destination = S3Destination("r2", BUCKET, "p", None, None, credentials)
    shown = [repr(credentials), str(credentials), repr(destination), destination.where]
    shown += [repr(value) for value in vars(destination).values()]
    shown += [repr(value) for value in vars(destination._bucket).values()]
    assert not any(SECRET in text or TOKEN in text for text in shown)


def test_the_environment_changes_nothing(
    bucket: BucketPlace, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "stranger",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_SESSION_TOKEN": TOKEN,
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
        "AWS_REGION": "eu-north-1",
        "AWS_BUCKET": "another",
        "AWS_SKIP_SIGNATURE": "true",
        "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "true",
        "AWS_ALLOW_HTTP": "false",
    }.items():
        monkeypatch.setenv(name, value)
    destination = bucket.server.destination(bucket.prefix, timeouts=IMPATIENT)
    destination.store(backups.make(source), source, backups.ignore)
    monkeypatch.undo()
    assert bucket.destination.list_manifests()[0].manifest


def _refused(act: Callable[[], object], words: str, hint: str) -> DestinationError:
    with pytest.raises(DestinationError) as refused:
        act()
    assert words in refused.value.message
    assert hint in refused.value.hint
    shown = "".join(traceback.format_exception(refused.value))
    assert SECRET not in shown
    assert TOKEN not in shown
    return refused.value


def _at(endpoint: str) -> S3Destination:
    credentials = S3Credentials("key", SECRET, TOKEN)
    return S3Destination("r2", BUCKET, "p", endpoint, None, credentials, IMPATIENT)


def _certificate() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    address = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
    valid = builder.not_valid_before(now - DAY).not_valid_after(now + DAY)
    certificate = valid.add_extension(address, critical=False).sign(key, hashes.SHA256())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private + certificate.public_bytes(Encoding.PEM)


@pytest.fixture
def self_signed(tmp_path: Path) -> Iterator[str]:
    """The endpoint of a server with a certificate of its own making."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    (tmp_path / "both.pem").write_bytes(_certificate())
    context.load_cert_chain(tmp_path / "both.pem")
    with lines.answering(200, "", context) as endpoint:
        yield endpoint
