"""The manifest: read as it was written, refused if it is not ours, and every file is compared."""

import errno
import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.backups.backup_errors import DamagedError
from appliance.backups.format import manifest
from appliance.backups.format.backup_name import BackupName
from appliance.backups.format.manifest import DatabaseDump, File, Manifest, Table

FILES = {
    "roles.sql": b"CREATE ROLE books;\n",
    "app/toc.dat": b"\0\1\2",
    "app/3000.dat.gz": b"x" * 3_000_000,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A backup's folder, with its files and without a manifest."""
    for path, content in FILES.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(content)
    return tmp_path


@pytest.fixture
def made(folder: Path) -> Manifest:
    """The manifest of that folder."""
    return sample(tuple(manifest.describe(folder / path, folder) for path in FILES))


def sample(files: tuple[File, ...]) -> Manifest:
    tables = (Table("public.accounts", 3, 120, "ab", "(id)"), Table('public."B"', 0, 0, "cd", ""))
    app = DatabaseDump("app", "app", 9_000_000, {"locale": "C"}, tables, "ef")
    other = DatabaseDump(
        "other", "app", 1, {}, (Table("public.accounts", 5, 80, "ab", "(id)"),), "ef"
    )
    return Manifest(
        name=BackupName("nightly"),
        created_at="2026-11-20T13:00:00Z",
        finished_at="2026-11-20T13:00:09Z",
        appliance_version="0.1.0",
        postgres_version="16.10",
        system_identifier="7312345678901234567",
        schema={"engine": 6, "client": 0},
        encrypted=True,
        recipients=("age1qqq",),
        identity_file=None,
        roles="roles.sql",
        files=files,
        databases=(app, other),
    )


def test_it_is_read_as_it_was_written(made: Manifest, folder: Path) -> None:
    manifest.write(made, folder)
    assert manifest.read(folder) == made
    assert stat.S_IMODE((folder / manifest.FILE).stat().st_mode) == 0o640
    assert json.loads((folder / manifest.FILE).read_text())["format"] == 1
    manifest.check_files(made, folder)


def test_it_knows_what_is_in_the_backup(made: Manifest) -> None:
    assert made.size == sum(len(content) for content in FILES.values())
    assert made.content_bytes == 200
    assert [made.rows(name, "public.accounts") for name in ("app", "other", "more")] == [3, 5, None]
    assert made.rows("app", "public.gone") is None


def test_where_there_is_none_nothing_is_read(folder: Path) -> None:
    with pytest.raises(FileNotFoundError):
        manifest.read(folder)


@pytest.mark.parametrize("number", [2, 99])
def test_a_newer_format_is_named_with_what_reads_it(number: int) -> None:
    text = json.dumps({"format": number, "anything": "else"})
    said = f"The backup at nas/nightly has format {number}; this version reads format 1."
    with pytest.raises(DamagedError, match=said) as caught:
        manifest.parse(text, "nas/nightly")
    assert caught.value.hint.startswith("A newer version of the appliance made it: use that one")


@pytest.mark.parametrize("number", [0, -1, "1", 1.0, True, None])
def test_what_is_no_format_at_all_is_damaged(number: object) -> None:
    text = json.dumps({**sample(()).to_json(), "format": number})
    with pytest.raises(DamagedError, match="cannot be read"):
        manifest.parse(text, "nas/nightly")


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "5", "null", '"text"', "{}", '{"format": 1}', b"\xff\xfe", b"\0" * 64],
)
def test_what_is_no_manifest_is_damaged(text: str | bytes) -> None:
    with pytest.raises(DamagedError, match="manifest of the backup at nas/nightly cannot be read"):
        manifest.parse(text, "nas/nightly")


def test_one_that_was_cut_is_damaged_wherever_that_was(made: Manifest) -> None:
    text = json.dumps(made.to_json())
    for length in range(0, len(text), 7):
        with pytest.raises(DamagedError):
            manifest.parse(text[:length], "here")


Entry = dict[str, Any]
PLACES: list[Callable[[Entry], Entry]] = [
    lambda document: document,
    lambda document: document["files"][0],
    lambda document: document["databases"][0],
    lambda document: document["databases"][0]["tables"][0],
]


@pytest.mark.parametrize("place", PLACES, ids=["manifest", "file", "database", "table"])
def test_nothing_may_be_missing_and_nothing_unknown_added(
    place: Callable[[Entry], Entry], made: Manifest
) -> None:
    for field in {*place(made.to_json()), "unknown"} - {"columns"}:
        document = json.loads(json.dumps(made.to_json()))
        if place(document).pop(field, "absent") == "absent":
            place(document)[field] = 1
        with pytest.raises(DamagedError, match="cannot be read"):
            manifest.parse(json.dumps(document), "here")


def test_an_older_one_that_does_not_tell_the_order_of_columns_is_read(made: Manifest) -> None:
    document = json.loads(json.dumps(made.to_json()))
    for database in document["databases"]:
        for table in database["tables"]:
            del table["columns"]
    assert manifest.parse(json.dumps(document), "here") == made


def with_path(path: object) -> str:
    return json.dumps({**sample(()).to_json(), "files": [{"path": path, "size": 1, "sha256": ""}]})


@pytest.mark.parametrize(
    "path",
    [
        *(
            manifest.FILE,
            ".staging/x",
            "..",
            "../x",
            "a/../../x",
            "a/..",
            "/etc/passwd",
            "/",
            "",
            ".",
            "./x",
            "a//b",
            "a/",
        ),
        *("a/./b", "a\0b", "a\nb", "\x1b[2J", "a\u202eb", 5, None, ["a"]),
    ],
)
def test_a_path_that_leads_elsewhere_is_refused(path: object) -> None:
    with pytest.raises(DamagedError, match="cannot be read"):
        manifest.parse(with_path(path), "here")


@given(st.one_of(st.text(), st.text(st.sampled_from("./\\a\0 ~"), max_size=12)))
def test_whatever_path_is_accepted_lies_below_the_folder(path: str) -> None:
    try:
        (file,) = manifest.parse(with_path(path), "here").files
    except DamagedError:
        return
    assert file.path == path
    below = (Path("/backups/nightly") / path).relative_to("/backups/nightly")
    assert below.parts == tuple(path.split("/"))
    assert ".." not in below.parts


@pytest.mark.parametrize("path", FILES)
def test_a_file_that_was_altered_is_named(path: str, made: Manifest, folder: Path) -> None:
    content = bytearray(FILES[path])
    content[-1] ^= 1
    (folder / path).write_bytes(content)
    with pytest.raises(DamagedError, match=f"nightly is damaged: {path} was altered"):
        manifest.check_files(made, folder)


@pytest.mark.parametrize("path", FILES)
def test_a_file_that_was_cut_or_grew_is_named(path: str, made: Manifest, folder: Path) -> None:
    for content in (FILES[path][:-1], FILES[path] + b"x", b""):
        (folder / path).write_bytes(content)
        wanted = f"{path} has {len(content)} bytes, not {len(FILES[path])}"
        with pytest.raises(DamagedError, match=wanted):
            manifest.check_files(made, folder)


@pytest.mark.parametrize("path", FILES)
@pytest.mark.parametrize("instead", ["nothing", "folder", "dead link"])
def test_a_file_that_is_missing_is_named(
    path: str, instead: str, made: Manifest, folder: Path
) -> None:
    (folder / path).unlink()
    if instead == "folder":
        (folder / path).mkdir()
    elif instead == "dead link":
        (folder / path).symlink_to("gone")
    with pytest.raises(DamagedError, match=f"{path} is missing") as caught:
        manifest.check_files(made, folder)
    assert "another" in caught.value.hint


def test_a_file_that_the_disk_does_not_give_back_is_damage(
    made: Manifest, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(manifest, "describe", broken)
    with pytest.raises(DamagedError, match=r"roles\.sql cannot be read: Input/output error"):
        manifest.check_files(made, folder)


def test_what_lies_beside_them_is_no_damage(made: Manifest, folder: Path) -> None:
    (folder / "stray").touch()
    manifest.check_files(made, folder)
