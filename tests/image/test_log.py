"""The log: on standard output, one line per request, and no secret anywhere."""

import json
import re

import requests

from tests.harness.waiting import wait_until
from tests.image.conftest import Deploy
from tests.image.test_boot import MAIL
from tests.scenarios.bookkeeper import Bookkeeper


def test_everything_is_on_standard_output(deploy: Deploy) -> None:
    container = deploy().container
    assert container.logs(stdout=True, stderr=False)
    assert container.logs(stdout=False, stderr=True) == b""


def test_a_request_is_one_line_without_its_query(deploy: Deploy) -> None:
    appliance = deploy()
    headers = {"X-Request-ID": "image-test-1"}
    requests.get(f"{appliance.url}/health?token=hidden-4711", headers=headers, timeout=5)
    wait_until(lambda: "image-test-1" in appliance.log, "the line", 10)
    [line] = [line for line in appliance.log.splitlines() if "image-test-1" in line]
    assert re.search(r"method=GET path=/health status=200 duration_ms=\d", line)
    assert "hidden-4711" not in appliance.log


def test_as_json_each_line_of_a_redeployed_container_is_one_object(deploy: Deploy) -> None:
    appliance = deploy(variables={"LOG_FORMAT": "json"})
    appliance.platform.update(appliance.app)
    requests.get(f"{appliance.url}/health", timeout=5)
    appliance.sql("DO $$BEGIN RAISE WARNING E'one\\ntwo'; END$$")
    container = appliance.container
    container.stop()
    lines = container.logs().decode().splitlines()
    objects = [json.loads(line) for line in lines]
    assert all(list(one)[:4] == ["time", "level", "program", "message"] for one in objects)
    messages = [one["message"] for one in objects]
    for message in ("handoff complete", "request", "one\ntwo", "database system is shut down"):
        assert message in messages
    assert messages[-1] == "stopped"


def test_no_secret_is_in_the_log_or_in_the_list_of_processes(deploy: Deploy) -> None:
    appliance = deploy(mail=MAIL)
    Bookkeeper(appliance).record(4, clients=1)
    secrets = appliance.platform.volume(appliance.app).secrets
    commands = "\n".join(process.command for process in appliance.processes())
    for secret in (
        secrets.secret_key_base,
        secrets.vapid_private_key,
        MAIL.password,
        appliance.key(),
    ):
        assert secret not in appliance.log
        assert secret not in commands
