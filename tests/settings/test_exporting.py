"""What children get is what the parent read."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import given

from appliance.errors import SettingsError
from appliance.settings import export, load, variables
from appliance.settings.foreign import REFUSED, WITHOUT_EFFECT

NAMES = [*variables(), *REFUSED, *WITHOUT_EFFECT, "APPLIANCE_UNKNOWN"]
TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=())),
    st.from_regex(r"/[\x20-\x7e]{0,40}", fullmatch=True),
    st.integers().map(str),
    st.floats().map(str),
    st.sampled_from(["/", "/tmp", "/dev/null", "true", "http://x", "secret", "a" * 5000]),
)
ENVIRONMENTS = st.dictionaries(
    st.sampled_from([*NAMES, *(f"{name}_FILE" for name in NAMES)]), TEXTS, max_size=6
)
VALID = st.fixed_dictionaries(
    {},
    optional={
        "PORT": st.integers(1, 65535).map(str),
        "STORAGE_DIR": st.from_regex(r"/[a-z .]{0,20}/x", fullmatch=True),
        "APP_URL": st.from_regex(
            r"https?://[a-z]{1,9}(:[0-9]{1,4})?(/[a-z]{0,3}){0,3}", fullmatch=True
        ),
        "SECRET_KEY_BASE": st.text(st.characters(categories=["L", "N"]), min_size=32),
        "HOLD_SECONDS": st.floats(0.1, 25).map("{:.9f}".format),
        "MIGRATION_TIMEOUT": st.floats(1, 3600).map("{:.9f}".format),
        "CLIENT_MIGRATIONS_DIR": st.sampled_from(["/tmp", "/tmp/", "/usr/../tmp"]),
        "SKIP_SCHEMA_CHECK": st.sampled_from(["true", "false", "x"]),
        "ALLOW_BROKEN_FLOCK": st.sampled_from(["true", "false", "YES"]),
        "APPLIANCE_INSTANCE": st.from_regex(r"[0-9a-f]{8,32}", fullmatch=True),
    },
)


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """This process' real environment, replaced for a while."""
    kept = dict(os.environ)
    os.environ.clear()
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(kept)


@given(ENVIRONMENTS)
def test_whatever_the_environment_holds_only_a_settings_error_comes_of_it(
    environ: dict[str, str],
) -> None:
    with suppress(SettingsError):
        load(environ)


@given(VALID)
def test_what_is_exported_is_loaded_back_equal(environ: dict[str, str]) -> None:
    with environment(environ):
        loaded = load().settings
        export(loaded)
        assert load().settings == loaded
        export(loaded)
        assert load().settings == loaded


def test_a_child_gets_what_was_in_a_file_and_not_its_name(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("a-secret-that-only-root-may-read-0123456789\n")
    with environment({"SECRET_KEY_BASE_FILE": str(file)}):
        export(load().settings)
        assert dict(os.environ) == {"SECRET_KEY_BASE": file.read_text().strip()}


def test_a_default_is_not_exported_and_other_variables_are_left_alone() -> None:
    with environment({"PORT": "80", "HOLD_SECONDS": "20.0", "PATH": "/bin", "NUM_CPUS": ""}):
        export(load().settings)
        assert dict(os.environ) == {"PATH": "/bin"}
