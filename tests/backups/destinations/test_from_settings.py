"""Destinations as the settings name them."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from appliance.backups.backup_errors import BadRequestError, DestinationError
from appliance.backups.destinations.from_settings import choose, from_settings
from appliance.backups.destinations.s3 import S3Destination
from appliance.errors import SettingsError
from appliance.settings import load
from appliance.storage.paths import Storage
from tests.backups.destinations import backups
from tests.backups.destinations.children import ROOT
from tests.backups.destinations.places import BucketPlace
from tests.backups.destinations.servers import BUCKET

STORAGE = Storage(Path("/somewhere"))
S3 = {"BACKUP_S3_ACCESS_KEY_ID": "key", "BACKUP_S3_SECRET_ACCESS_KEY": "secret"}


def test_backups_lie_in_the_storage_by_default() -> None:
    assert _where() == {"local": "/somewhere/backups"}


def test_every_destination_is_there_in_its_order() -> None:
    listed = "nas=/mnt/nas, r2=s3://bucket/pre/fix?region=auto, amazon=s3://other"
    assert _where(BACKUP_DIR="/mine", BACKUP_DESTINATIONS=listed, **S3) == {
        "local": "/mine",
        "nas": "/mnt/nas",
        "r2": "s3://bucket/pre/fix",
        "amazon": "s3://other",
    }


def test_a_bucket_from_the_settings_keeps_backups(bucket: BucketPlace, source: Path) -> None:
    owner = bucket.server.owner
    settings = load(
        {
            "BACKUP_DESTINATIONS": f"s3=s3://{BUCKET}/{bucket.prefix}?region=us-east-1"
            f"&endpoint={bucket.server.endpoint}",
            "BACKUP_S3_ACCESS_KEY_ID": owner.access_key_id,
            "BACKUP_S3_SECRET_ACCESS_KEY": owner.secret_access_key,
        }
    ).settings
    destination = from_settings(settings, STORAGE)["s3"]
    assert isinstance(destination, S3Destination)
    destination.store(backups.make(source), source, backups.ignore)
    assert bucket.destination.list_manifests()[0].manifest


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({}, "BACKUP_S3_ACCESS_KEY_ID is not set"),
        ({"BACKUP_S3_ACCESS_KEY_ID": "a"}, "BACKUP_S3_SECRET_ACCESS_KEY is not set"),
        ({"BACKUP_S3_SECRET_ACCESS_KEY": "a"}, "BACKUP_S3_ACCESS_KEY_ID is not set"),
        ({**S3, "BACKUP_S3_ACCESS_KEY_ID": "schl\u00fcssel"}, "ACCESS_KEY_ID has odd characters"),
        ({**S3, "BACKUP_S3_SESSION_TOKEN": "a b"}, "SESSION_TOKEN has odd characters"),
    ],
)
def test_credentials_that_are_missing_are_named(variables: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError, match=words) as refused:
        _where(BACKUP_DESTINATIONS="r2=s3://bucket", **variables)
    assert "r2" in refused.value.message
    assert "schl" not in str(refused.value)


@pytest.mark.parametrize(
    ("end", "words"),
    [
        ("?endpiont=https://host", "'endpiont' means nothing"),
        ("?region=a&region=b", "ambiguous"),
        ("?endpoint=host:9000", "endpoint is no URL"),
        ("?endpoint=https://user:word@host", "endpoint is no URL"),
        ("?endpoint=https://host:99999", "endpoint is no URL"),
        ("?endpoint=https://host:0", "endpoint is no URL"),
        ("?endpoint=ftp://host", "endpoint is no URL"),
        ("?region=", "region is no name"),
        ("?region=eu%0acentral", "region is no name"),
        ("/a//b", "not s3://bucket/prefix"),
        ("/../b", "not s3://bucket/prefix"),
        ("/a#b", "not s3://bucket/prefix|ambiguous"),
    ],
)
def test_a_url_that_cannot_be_meant_is_told(end: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words) as refused:
        _where(BACKUP_DESTINATIONS=f"r2=s3://bucket{end}", **S3)
    assert refused.value.hint
    assert "word" not in refused.value.message


@pytest.mark.parametrize("host", ["https://s3.host", "http://127.0.0.1:9000/", "http://[::1]:9000"])
def test_these_endpoints_can_be_meant(host: str) -> None:
    assert _where(BACKUP_DESTINATIONS=f"r2=s3://b-1.x/p?endpoint={host}", **S3)["r2"]


def test_only_the_folder_that_nobody_named_is_made(open_folder: Path) -> None:
    listed = f"nas={open_folder}/nas"
    named = _all(BACKUP_DIR=f"{open_folder}/mine", BACKUP_DESTINATIONS=listed)
    for destination in named.values():
        with pytest.raises(DestinationError, match=f"{destination.where} .* does not exist"):
            destination.list_manifests()
    (local,) = from_settings(load({}).settings, Storage(open_folder)).values()
    assert local.list_manifests() == []


def test_destinations_are_chosen_by_name_each_once() -> None:
    found = _all(BACKUP_DESTINATIONS="nas=/mnt/nas")
    assert choose(found, ["nas", "local", "nas"]) == [found["nas"], found["local"]]
    assert choose(found, []) == []


def test_an_unknown_destination_is_refused_with_those_there_are() -> None:
    every = _all(BACKUP_DESTINATIONS="nas=/mnt/nas")
    with pytest.raises(BadRequestError, match="'b\u00fccher'"):
        choose(every, ["b\u00fccher"])
    with pytest.raises(BadRequestError, match=r"'\\x1b\[2J'"):
        choose(every, ["\x1b[2J"])
    with pytest.raises(BadRequestError, match="'tape'") as refused:
        choose(every, ["local", "tape"])
    assert "local, nas" in refused.value.hint


def test_the_library_for_s3_is_loaded_only_for_a_bucket() -> None:
    code = (
        "import sys; from appliance.backups.destinations import from_settings;"
        "from appliance.settings import load; from appliance.storage.paths import Storage;"
        "from pathlib import Path;"
        "from_settings.from_settings(load({}).settings, Storage(Path('/s')));"
        "print('obstore' in sys.modules)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ended.stdout == "False\n"


def _all(**variables: str) -> dict[str, Any]:
    return dict(from_settings(load(variables).settings, STORAGE))


def _where(**variables: str) -> dict[str, str]:
    return {name: destination.where for name, destination in _all(**variables).items()}
