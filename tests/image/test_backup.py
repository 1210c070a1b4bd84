"""The platform's backup of an image without hooks: paused, copied, restored, recovered."""

from pathlib import Path

import pytest
from docker.errors import APIError

from tests.image.conftest import Deploy
from tests.image.contained import Contained
from tests.platform.containers import execute
from tests.scenarios.bookkeeper import Bookkeeper


def test_a_paused_copy_is_restored_into_a_new_application(deploy: Deploy, tmp_path: Path) -> None:
    appliance = deploy()
    bookkeeper = Bookkeeper(appliance)
    bookkeeper.record(20, clients=2)
    platform = appliance.platform
    platform.backup(appliance.app, tmp_path / "backup.tar.gz")
    bookkeeper.record(1, clients=1)
    app = platform.restore(tmp_path / "backup.tar.gz")
    try:
        restored = Contained(platform, app)
        assert app.name != appliance.app.name
        assert restored.sql("SELECT count(*) FROM transactions") == "20"
    finally:
        platform.remove(app)


def test_a_hardlink_in_the_storage_breaks_the_restore(deploy: Deploy, tmp_path: Path) -> None:
    appliance = deploy()
    for command in (["touch", "/storage/one"], ["ln", "/storage/one", "/storage/two"]):
        assert execute(appliance.container, *command).code == 0
    appliance.platform.backup(appliance.app, tmp_path / "backup.tar.gz")
    with pytest.raises(APIError):
        appliance.platform.restore(tmp_path / "backup.tar.gz")


def test_the_storage_holds_no_hardlink(deploy: Deploy) -> None:
    appliance = deploy()
    Bookkeeper(appliance).record(4, clients=1)
    found = execute(appliance.container, "find", "/storage", "-type", "f", "-links", "+1")
    assert found.stdout == ""
