"""Redeploys as the platform does them, under load through its proxy: no request fails."""

import json
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import requests
from docker.models.containers import Container

from tests.harness.appliance_load import Load
from tests.harness.nightly import most_at_night
from tests.harness.waiting import wait_until
from tests.harness.watching import PostmasterWatch
from tests.image.conftest import Deploy
from tests.image.contained import Contained, postmasters
from tests.image.engine import Engine
from tests.platform import Application, DeployError, Platform
from tests.platform.containers import execute, pause
from tests.platform.volume import LABEL, Secrets, Volume


@pytest.mark.parametrize("redeploys", most_at_night([3, 8], [3]))
def test_redeploys_without_a_pause_fail_no_request_and_recover_nothing(
    deploy: Deploy, redeploys: int
) -> None:
    appliance = deploy()
    with PostmasterWatch(appliance.pgdata) as witness, Load(appliance) as load:
        for _ in range(redeploys):
            appliance.platform.update(appliance.app)
            load.wait_for_more()
    load.verify(appliance)
    witness.check()
    assert [one["kind"] for one in handoffs(appliance)] == ["handoff"] * redeploys
    assert "automatic recovery in progress" not in appliance.log


@pytest.mark.parametrize("after_s", most_at_night([0, 0.4, 0.8, 1.2], [0.4]))
def test_a_new_container_that_is_removed_by_force_at_any_moment_costs_no_request(
    deploy: Deploy, after_s: float
) -> None:
    appliance = deploy()
    with PostmasterWatch(appliance.pgdata) as witness, Load(appliance) as load:
        new = start_beside(appliance)
        wait_until(lambda: "standby:" in log(new), "its programs run", 30)
        # Not a wait for something: that is the moment, and whatever it meets must be harmless.
        time.sleep(after_s)
        new.remove(force=True)
        wait_until(lambda: postmasters(appliance.container), "the old one owns", 20)
        load.wait_for_more()
    load.verify(appliance)
    witness.check()


def test_a_migration_that_fails_leaves_the_old_container_serving(deploy: Deploy) -> None:
    appliance = deploy()
    broken = "mkdir -p /storage/broken && echo 'SELECT 1/0' > /storage/broken/0001_broken.sql"
    assert execute(appliance.container, "sh", "-c", broken).code == 0
    app = with_variables(appliance.app, CLIENT_MIGRATIONS_DIR="/storage/broken")
    with Load(appliance) as load:
        fails_beside(appliance, app, "0001_broken.sql")
        load.wait_for_more()
    load.verify(appliance)
    assert handoffs(appliance) == []


def test_a_new_container_that_crashes_at_the_start_leaves_the_old_one_serving(
    deploy: Deploy,
) -> None:
    appliance = deploy()
    with Load(appliance) as load:
        fails_beside(appliance, with_variables(appliance.app, HOLD_SECONDS="ever"), "HOLD_SECONDS")
        load.wait_for_more()
    load.verify(appliance)
    assert handoffs(appliance) == []


def test_a_new_container_that_is_not_healthy_in_time_is_removed_and_the_old_one_serves(
    deploy: Deploy,
) -> None:
    appliance = deploy()
    old = appliance.container
    with Load(appliance) as load:
        with pytest.raises(DeployError):
            appliance.platform.update(appliance.app, deploy_timeout_s=0)
        load.wait_for_more()
    load.verify(appliance)
    assert [one.id for one in appliance.platform.containers.of(appliance.app.name)] == [old.id]


def test_a_deploy_while_the_owner_is_paused_waits_and_then_succeeds(deploy: Deploy) -> None:
    appliance = deploy()
    old = appliance.container
    with PostmasterWatch(appliance.pgdata) as witness, Load(appliance) as load:
        pause(old)
        with ThreadPoolExecutor(1) as pool:
            update = pool.submit(appliance.platform.update, appliance.app)
            wait_until(lambda: is_asked_in_vain(appliance, old), "it is not healthy", 60)
            old.unpause()
            update.result()
        load.wait_for_more()
    load.verify(appliance)
    witness.check()
    assert [one["kind"] for one in handoffs(appliance)] == ["handoff"]


def test_the_owner_is_killed_while_a_standby_serves(deploy: Deploy) -> None:
    appliance = deploy()
    old = appliance.container
    new = start_beside(appliance)
    wait_until(lambda: up(new), "it is up", 60)
    with PostmasterWatch(appliance.pgdata) as witness, Load(appliance) as load:
        new.kill()
        load.wait_for_more(40)
        wait_until(lambda: postmasters(old), "the old one owns again", 20)
    load.verify(appliance)
    witness.check()
    assert [one["kind"] for one in handoffs(appliance, old)] == ["takeover", "handoff"]


def test_a_container_that_is_started_again_does_not_claim(deploy: Deploy) -> None:
    appliance = deploy()
    old = appliance.container
    new = start_beside(appliance)
    wait_until(lambda: postmasters(new) and up(new), "the new one owns", 60)
    old.restart()
    wait_until(lambda: up(old), "the old one is up again", 60)
    assert postmasters(new)
    assert not postmasters(old)
    new.remove(force=True)
    wait_until(lambda: postmasters(old), "the old one owns", 20)


def test_both_are_killed_at_once_and_one_is_started_again(deploy: Deploy) -> None:
    appliance = deploy()
    old = appliance.container
    with Load(appliance) as load:
        new = start_beside(appliance)
        wait_until(lambda: up(new), "it is up", 60)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(Container.kill, (new, old)))
    old.start()
    appliance.wait_until_up()
    load.verify(appliance)
    assert postmasters(old)


def test_a_full_disk_stops_the_new_container_and_not_the_old_one(
    platform: Platform, engine: Engine
) -> None:
    app = Application(f"full-{secrets.token_hex(3)}", engine.image)
    small = {"type": "tmpfs", "device": "tmpfs", "o": "size=400m"}
    volume = Volume(platform.volume_name(app), Secrets.generate())
    platform.client.volumes.create(volume.name, labels={LABEL: volume.label()}, driver_opts=small)
    try:
        platform.deploy(app)
        appliance = Contained(platform, app)
        with Load(appliance) as load:
            fill = "cd /storage && fallocate -l $(($(stat -f -c '%a*%S' .) - 24*1024*1024)) filling"
            assert execute(appliance.container, "sh", "-c", fill).code == 0
            fails_beside(appliance, app, "are needed to start the database. Nothing was changed.")
            load.wait_for_more()
        load.verify(appliance)
        assert handoffs(appliance) == []
    finally:
        platform.remove(app)


def handoffs(appliance: Contained, container: Container | None = None) -> list[dict[str, Any]]:
    """What `appliance status --json` remembers, newest first."""
    status = execute(container or appliance.container, "appliance", "status", "--json")
    found: list[dict[str, Any]] = json.loads(status.stdout)["database"]["handoffs"]
    return found


def start_beside(appliance: Contained, app: Application | None = None) -> Container:
    """Start a new container as the platform does, and leave it there."""
    platform = appliance.platform
    new = platform.containers.create(app or appliance.app, platform.volume(appliance.app))
    new.start()
    return new


def fails_beside(appliance: Contained, app: Application, message: str) -> None:
    """A new container that says why it ends, and is removed when the platform has had enough."""
    old = appliance.container
    new = start_beside(appliance, app)
    wait_until(lambda: message in log(new) and restarts(new), f"{message!r} and an end", 60)
    assert not postmasters(new)
    new.remove(force=True)
    assert appliance.container.id == old.id


def restarts(container: Container) -> int:
    """How often the engine has started it again."""
    container.reload()
    return int(container.attrs["RestartCount"])


def is_asked_in_vain(appliance: Contained, old: Container) -> bool:
    """Whether another container than the old one has said that it is not up."""
    containers = appliance.platform.containers.of(appliance.app.name)
    return any("path=/up status=503" in log(one) for one in containers if one.id != old.id)


def log(container: Container) -> str:
    """What it printed."""
    return container.logs().decode(errors="replace")


def up(container: Container) -> bool:
    """Whether it is healthy, asked past the proxy."""
    container.reload()
    (network,) = container.attrs["NetworkSettings"]["Networks"].values()
    try:
        answer = requests.get(f"http://{network['IPAddress']}/up", timeout=3)
    except requests.RequestException:
        return False
    return answer.status_code == 200


def with_variables(app: Application, **variables: str) -> Application:
    """The same application with other variables."""
    return replace(app, variables={**app.variables, **variables})
