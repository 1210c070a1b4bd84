"""The main job on processes of this machine, as `make up` runs them."""

import pytest

from tests.harness.appliance import Appliance
from tests.scenarios import main_job

pytestmark = pytest.mark.first_start


def test_every_acknowledged_transaction_is_there_exactly_once_after_sigkill(
    appliance: Appliance,
) -> None:
    main_job.run(appliance)
