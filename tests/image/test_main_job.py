"""The main job in a container."""

from tests.image.conftest import Deploy
from tests.scenarios import main_job


def test_every_acknowledged_transaction_is_there_exactly_once_after_sigkill(
    deploy: Deploy,
) -> None:
    main_job.run(deploy())
