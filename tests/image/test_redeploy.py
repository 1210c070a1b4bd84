"""Redeploys as the platform does them, under load through its proxy: no request fails."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from docker.models.containers import Container

from tests.handoff.load import Load
from tests.harness.waiting import wait_until
from tests.image.conftest import Deploy
from tests.image.contained import Contained
from tests.image.test_update import PostmasterCount, running_postmasters
from tests.platform import Application, DeployError
from tests.platform.containers import execute

REDEPLOYS = 5
# What a broken new container may cost before the platform gives it up.
PATIENCE_S = 4.0


def test_redeploys_without_a_pause_fail_no_request_and_recover_nothing(deploy: Deploy) -> None:
    appliance = deploy()
    with PostmasterCount(appliance) as count, load_on(appliance) as load:
        for _ in range(REDEPLOYS):
            appliance.platform.update(appliance.app)
            load.wait_for_more()
    load.verify(appliance)  # type: ignore[arg-type]
    assert count.most == 1
    assert [one["kind"] for one in handoffs(appliance)] == ["handoff"] * REDEPLOYS
    assert "automatic recovery in progress" not in appliance.log


@pytest.mark.parametrize("deploy_timeout_s", [0, 0.4, 0.8, 1.2])
def test_a_new_container_that_is_removed_by_force_at_any_moment_costs_no_request(
    deploy: Deploy, deploy_timeout_s: float
) -> None:
    appliance = deploy()
    with PostmasterCount(appliance) as count, load_on(appliance) as load:
        # Never healthy for the proxy, whatever it does; the earlier ones are removed half-way.
        replaced = appliance.platform.proxy(appliance.app)
        new = start_beside(appliance)
        wait_until(lambda: new_is_under_way(new), "its programs run", 30)
        threading.Event().wait(deploy_timeout_s)
        new.remove(force=True)
        wait_until(lambda: running_postmasters(appliance.container), "the old one owns", 20)
        load.wait_for_more()
        assert replaced.target is not None
    load.verify(appliance)  # type: ignore[arg-type]
    assert count.most == 1


def test_a_migration_that_fails_leaves_the_old_container_serving(deploy: Deploy) -> None:
    appliance = deploy()
    broken = "mkdir -p /storage/broken && echo 'SELECT 1/0' > /storage/broken/0001_broken.sql"
    assert execute(appliance.container, "sh", "-c", broken).code == 0
    old = appliance.container
    app = with_variables(appliance.app, CLIENT_MIGRATIONS_DIR="/storage/broken")
    with load_on(appliance) as load:
        with pytest.raises(DeployError) as failure:
            appliance.platform.update(app, deploy_timeout_s=PATIENCE_S)
        load.wait_for_more()
    load.verify(appliance)  # type: ignore[arg-type]
    assert "0001_broken.sql" in failure.value.logs
    assert appliance.container.id == old.id
    assert handoffs(appliance) == []


def test_a_new_container_that_crashes_at_the_start_leaves_the_old_one_serving(
    deploy: Deploy,
) -> None:
    appliance = deploy()
    with load_on(appliance) as load:
        with pytest.raises(DeployError) as failure:
            app = with_variables(appliance.app, HOLD_SECONDS="forever")
            appliance.platform.update(app, deploy_timeout_s=PATIENCE_S)
        load.wait_for_more()
    load.verify(appliance)  # type: ignore[arg-type]
    assert "HOLD_SECONDS" in failure.value.logs
    assert handoffs(appliance) == []


def test_a_deploy_while_the_owner_is_paused_waits_and_then_succeeds(deploy: Deploy) -> None:
    appliance = deploy()
    old = appliance.container
    with PostmasterCount(appliance) as count, load_on(appliance) as load:
        old.pause()
        with ThreadPoolExecutor(1) as pool:
            update = pool.submit(appliance.platform.update, appliance.app)
            new = wait_until(lambda: beside(appliance, old), "the new container", 30)
            wait_until(lambda: "api GET /up 503" in log(new), "it is not healthy", 60)
            old.unpause()
            update.result()
        load.wait_for_more()
    load.verify(appliance)  # type: ignore[arg-type]
    assert count.most == 1
    assert [one["kind"] for one in handoffs(appliance)] == ["handoff"]


def test_the_owner_is_killed_while_a_standby_serves(deploy: Deploy) -> None:
    appliance = deploy()
    old = appliance.container
    new = start_beside(appliance)
    wait_until(lambda: up(new), "it is up", 60)
    with PostmasterCount(appliance) as count, load_on(appliance) as load:
        new.kill()
        load.wait_for_more(40)
        wait_until(lambda: running_postmasters(old), "the old one owns again", 20)
    load.verify(appliance)  # type: ignore[arg-type]
    assert count.most == 1
    assert [one["kind"] for one in handoffs(appliance, old)] == ["takeover", "handoff"]


def test_a_container_that_is_started_again_does_not_claim(deploy: Deploy) -> None:
    appliance = deploy()
    old = appliance.container
    new = start_beside(appliance)
    wait_until(lambda: running_postmasters(new) and up(new), "the new one owns", 60)
    old.restart()
    wait_until(lambda: up(old), "the old one is up again", 60)
    assert running_postmasters(new)
    assert not running_postmasters(old)
    new.remove(force=True)
    wait_until(lambda: running_postmasters(old), "the old one owns", 20)


def test_both_are_killed_at_once_and_one_is_started_again(deploy: Deploy) -> None:
    appliance = deploy()
    old = appliance.container
    with load_on(appliance) as load:
        new = start_beside(appliance)
        wait_until(lambda: up(new), "it is up", 60)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(Container.kill, (new, old)))
    old.start()
    appliance.wait_until_up()
    load.verify(appliance)  # type: ignore[arg-type]
    assert running_postmasters(old)


@contextmanager
def load_on(appliance: Contained) -> Iterator[Load]:
    """Clients at the proxy's door."""
    with Load(appliance) as load:  # type: ignore[arg-type]
        yield load


def handoffs(appliance: Contained, container: Container | None = None) -> list[dict[str, Any]]:
    """What `appliance status --json` remembers, newest first."""
    status = execute(container or appliance.container, "appliance", "status", "--json")
    found: list[dict[str, Any]] = json.loads(status.stdout)["database"]["handoffs"]
    return found


def start_beside(appliance: Contained) -> Container:
    """Start a new container as the platform does, and leave it there."""
    platform = appliance.platform
    new = platform.containers.create(appliance.app, platform.volume(appliance.app))
    new.start()
    return new


def beside(appliance: Contained, old: Container) -> Container | None:
    """The other container of the application, if there is one."""
    containers = appliance.platform.containers.of(appliance.app.name)
    return next((one for one in containers if one.id != old.id), None)


def new_is_under_way(container: Container) -> bool:
    """Whether its programs were started."""
    return "standby:" in log(container)


def log(container: Container) -> str:
    """What it printed."""
    return container.logs().decode(errors="replace")


def up(container: Container) -> bool:
    """Whether it is healthy, asked from inside."""
    ask = "import urllib.request as r; r.urlopen('http://localhost/up', timeout=3)"
    return execute(container, "python3", "-c", ask).code == 0


def with_variables(app: Application, **variables: str) -> Application:
    """The same application with other variables."""
    return replace(app, variables={**app.variables, **variables})
