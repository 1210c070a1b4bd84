"""What is known of an app outside its folder: its object, and nothing of what it is about."""

import re
from pathlib import Path

import pytest

from appliance.apps import registry
from appliance.errors import ExitCode
from appliance.migrations.tracks import load_tracks
from appliance.settings import APPS
from tests.harness.appliance import Appliance

ROOT = Path(__file__).parents[2]
WORDS = re.compile(r"accounts?|postings?|trial[ _-]?balance", re.IGNORECASE)
# Whatever is programmed or configured, and the migrations of the engine.
OUTSIDE = [
    path
    for folder in ("appliance", "rootfs", "hooks", "scripts")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.is_file()
    and "__pycache__" not in path.parts
    and (ROOT / "appliance" / "apps" / "books") not in path.parents
]


def named_in(text: str) -> list[str]:
    """The words of the books in a text; an identifier like `open_account` has one, too."""
    return [match[0] for match in WORDS.finditer(text)]


def test_nothing_outside_the_books_names_what_is_in_them() -> None:
    assert len(OUTSIDE) > 100
    texts = {path: path.read_text(encoding="utf-8", errors="replace") for path in OUTSIDE}
    found = {
        str(path.relative_to(ROOT)): named for path in OUTSIDE if (named := named_in(texts[path]))
    }
    assert found == {}


@pytest.mark.parametrize("text", ["SELECT FROM accounts", "open_account", "a Trial Balance"])
def test_this_rule_sees_what_it_forbids(text: str) -> None:
    assert named_in(text)


def test_the_setting_and_the_registry_know_the_same_apps() -> None:
    nobody = registry.load("none")
    assert [app.name for app in registry.others(nobody) if app.name != "none"] == list(APPS)
    assert [registry.load(name).name for name in APPS] == list(APPS)


def test_tracks_come_in_the_order_engine_app_client() -> None:
    for name, wanted in (("books", ["engine", "books", "client"]), ("none", ["engine", "client"])):
        tracks = load_tracks(registry.load(name).tracks(), None)
        assert [track.name for track in tracks] == wanted


def test_an_app_that_nobody_knows_is_refused_with_the_names_of_those_that_are_known(
    storage_folder: Path,
) -> None:
    appliance = Appliance(storage_folder, APP="blog")
    refused = appliance.run("status", check=False)
    assert refused.returncode == ExitCode.SETTINGS
    assert "APP='blog' must be books or none" in refused.stderr
