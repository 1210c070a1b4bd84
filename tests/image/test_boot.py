"""It boots with what the platform sets, and with nothing at all."""

import requests

from tests.harness.waiting import wait_until
from tests.image.conftest import Deploy
from tests.image.contained import Contained
from tests.image.engine import Engine
from tests.platform import Mail
from tests.platform.containers import remove_by_force

MAIL = Mail("smtp.example.com", "587", "postmaster", "mail-password-3141", "app@example.com")

NO_COPY_ELSEWHERE = "no backup is kept outside this storage"


def test_it_serves_with_no_variable_set(engine: Engine) -> None:
    container = engine.client.containers.create(engine.image)
    try:
        container.start()
        container.reload()
        address = container.attrs["NetworkSettings"]["IPAddress"]
        wait_until(lambda: answers(f"http://{address}/up"), "200 on /up", 60)
    finally:
        remove_by_force(container)


def test_it_serves_with_exactly_the_variables_of_the_platform(deploy: Deploy) -> None:
    appliance = deploy(cpus=1, mail=MAIL)
    names = {entry.partition("=")[0] for entry in appliance.container.attrs["Config"]["Env"]}
    assert names >= {
        *("SECRET_KEY_BASE", "VAPID_PUBLIC_KEY", "VAPID_PRIVATE_KEY", "DISABLE_SSL", "NUM_CPUS"),
        *("SMTP_ADDRESS", "SMTP_PORT", "SMTP_USERNAME", "SMTP_PASSWORD", "MAILER_FROM_ADDRESS"),
    }
    assert requests.get(f"{appliance.url}/up", timeout=5).status_code == 200
    warnings = [line for line in appliance.log.splitlines() if "warning" in line]
    # Nobody but the operator can know whether the platform's archives leave the machine.
    assert [NO_COPY_ELSEWHERE in line for line in warnings] == [True]


def test_it_answers_whatever_host_is_asked_for(shared: Contained) -> None:
    for host in ("0123456789ab", "app.example.com", "localhost"):
        answer = requests.get(
            f"{shared.url}/up", headers={"Host": host}, timeout=5, allow_redirects=False
        )
        assert answer.status_code == 200


def test_an_unusable_setting_ends_the_container_with_a_sentence(engine: Engine) -> None:
    container = engine.client.containers.create(engine.image, environment={"PORT": "http"})
    try:
        container.start()
        assert container.wait(timeout=30)["StatusCode"] == 3
        assert "PORT='http' must be" in container.logs().decode()
    finally:
        remove_by_force(container)


def answers(url: str) -> bool:
    """Whether it answers 200."""
    try:
        return requests.get(url, timeout=5).status_code == 200
    except requests.RequestException:
        return False
