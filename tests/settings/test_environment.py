"""Reading the environment: defaults, faults all together, warnings."""

from pathlib import Path

import pytest

from appliance.errors import ExitCode, SettingsError
from appliance.settings import load, variables
from appliance.storage.paths import DEFAULT_ROOT
from tests.platform.application import Application, Mail
from tests.platform.volume import Secrets

BROKEN = {
    "PORT": "eighty",
    "STORAGE_DIR": "storage",
    "APP_URL": "ftp://example.org",
    "SECRET_KEY_BASE": "changeme",
    "NUM_CPUS": "0",
    "HOLD_SECONDS": "nan",
    "CLIENT_MIGRATIONS_DIR": "/nowhere/at/all",
    "MULTI_TENANT": "true",
}


def faults(environ: dict[str, str]) -> str:
    """The message of the error that an environment causes."""
    with pytest.raises(SettingsError) as caught:
        load(environ)
    return caught.value.message


def test_nothing_is_required() -> None:
    loaded = load({})
    assert loaded.warnings == ()
    assert (loaded.settings.port, loaded.settings.storage_dir) == (80, DEFAULT_ROOT)


def test_the_variables_of_once_cause_no_warning() -> None:
    mail = Mail("smtp.example.org", username="u", password="p", sender="a@example.org")
    app = Application("app", "image", cpus=2, mail=mail)
    loaded = load(app.environment(Secrets.generate()))
    assert loaded.warnings == ()
    assert loaded.settings.num_cpus == 2


def test_all_faults_are_reported_together() -> None:
    message = faults(BROKEN)
    assert message.startswith(f"{len(BROKEN)} settings ")
    lines = message.splitlines()[1:]
    assert [line.split("- ")[1].split("=")[0].split()[0] for line in lines] == list(BROKEN)


def test_a_fault_names_the_variable_its_value_the_rule_and_a_next_step() -> None:
    assert "PORT='eighty' must be a whole number from 1 to 65535. Unset it to have 80." in faults(
        {"PORT": "eighty"}
    )
    assert "NUM_CPUS='0' must be a whole number from 1 to 1024. Unset it if" in faults(BROKEN)


def test_a_fault_ends_the_program_with_the_exit_code_for_settings() -> None:
    with pytest.raises(SettingsError) as caught:
        load(BROKEN)
    assert caught.value.exit_code == ExitCode.SETTINGS
    assert "appliance env" in caught.value.hint


def test_a_long_value_is_cut_and_a_control_character_is_escaped() -> None:
    assert len(faults({"PORT": "9" * 5000})) < 250
    message = faults({"PORT": "\x1b[31m\n80\udcff"})
    assert r"'\x1b[31m\n80\udcff'" in message


def test_empty_counts_as_unset() -> None:
    empty = dict.fromkeys([*variables(), *(f"{name}_FILE" for name in variables())], "")
    assert load({**empty, "DATABASE_URL": "", "CORS_ORIGINS": ""}) == load({})


@pytest.mark.parametrize("name", ["DATABASE_URL", "CONTROL_DATABASE_URL", "MULTI_TENANT"])
def test_what_would_put_data_elsewhere_is_refused_without_showing_it(name: str) -> None:
    message = faults({name: "postgres://user:hidden-4711@host/db"})
    assert f"{name} cannot be used: " in message
    assert "hidden-4711" not in message
    assert f"{name}_FILE cannot be used" in faults({f"{name}_FILE": "/run/secrets/x"})


@pytest.mark.parametrize("text", ["false", "0", "no", "FALSE"])
def test_tenants_that_are_switched_off_are_fine(text: str) -> None:
    assert load({"MULTI_TENANT": text}).warnings == ()


@pytest.mark.parametrize("name", ["CORS_ORIGINS", "REDIS_URL", "RATE_LIMIT", "RATE_LIMIT_FILE"])
def test_a_variable_of_a_later_version_warns_that_it_has_no_effect(name: str) -> None:
    assert load({name: "hidden-4711"}).warnings == (f"{name} has no effect in this version.",)


def test_an_unknown_name_with_our_prefix_warns_and_others_do_not() -> None:
    [warning] = load({"APPLIANCE_PROT": "80", "PATH": "/bin", "PROT": "80"}).warnings
    assert warning.startswith("APPLIANCE_PROT is not a setting")


def test_what_the_appliance_sets_for_its_own_programs_does_not_warn() -> None:
    assert load({"APPLIANCE_PYTHON": "/x", "APPLIANCE_INSTANCE": "0123abcd"}).warnings == ()


def test_a_value_may_come_from_a_file_whatever_the_variable(tmp_path: Path) -> None:
    file = tmp_path / "port"
    file.write_text("8080\n")
    assert load({"PORT_FILE": str(file)}).settings.port == 8080


def test_a_variable_and_its_file_exclude_each_other(tmp_path: Path) -> None:
    message = faults({"PORT": "80", "PORT_FILE": str(tmp_path)})
    assert "PORT and PORT_FILE are both set. Unset one of them." in message


def test_an_empty_file_counts_as_unset_and_warns(tmp_path: Path) -> None:
    file = tmp_path / "port"
    file.write_text("\n")
    loaded = load({"PORT_FILE": str(file)})
    assert loaded.settings.port == 80
    assert loaded.warnings == ("PORT_FILE names an empty file, so PORT counts as unset.",)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file or directory"),
        (b"\xff\xfe", "it is not UTF-8 text"),
        (b"8" * 70_000, "it holds more than 64 KiB"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_fault(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    file = tmp_path / "port"
    if content is not None:
        file.write_bytes(content)
    assert f"PORT_FILE='{file}' cannot be read: {reason}." in faults({"PORT_FILE": str(file)})


def test_a_folder_or_a_device_is_no_file(tmp_path: Path) -> None:
    for path in (str(tmp_path), "/dev/zero"):
        assert "cannot be read: it is not a file." in faults({"PORT_FILE": path})
