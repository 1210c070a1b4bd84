"""Two containers on one volume: never two postmasters, and the survivor owns the data."""

from tests.harness.waiting import wait_until
from tests.harness.watching import PostmasterWatch
from tests.image.conftest import Deploy
from tests.image.contained import postmasters
from tests.scenarios.bookkeeper import Bookkeeper


def test_an_update_moves_the_data_and_never_runs_two_postmasters(deploy: Deploy) -> None:
    appliance = deploy()
    bookkeeper = Bookkeeper(appliance)
    bookkeeper.record(20, clients=2)
    old = appliance.container
    with PostmasterWatch(appliance.pgdata) as witness:
        new = appliance.platform.update(appliance.app)
        wait_until(lambda: len(postmasters(new)) == 1, "the new container owns", 60)
        appliance.wait_until_up()
        assert len(bookkeeper.recorded()) == 20
    witness.check()
    assert [entry.id for entry in appliance.platform.containers.of(appliance.app.name)] == [new.id]
    assert new.id != old.id
