"""The agents see the platform's copy: the owner's, a standby's, and after a handoff."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from appliance.storage import copy_detection
from appliance.storage.paths import Storage
from tests.handoff.scene import agent, wait_until_owner
from tests.harness.appliance import Appliance
from tests.harness.freezing import frozen
from tests.harness.waiting import wait_until
from tests.hooks.copying import copy
from tests.hooks.marks import OPEN, SHUT, marks
from tests.hooks.scene import back_up, books, restore

Make = Callable[..., Appliance]


def copy_and_wait(storage: Storage, target: Path) -> Storage:
    """The platform's copy, until it was seen."""
    copied = Storage(copy(storage.root, target))
    wait_until(lambda: marks(storage) == SHUT, "the copy was seen")
    assert marks(copied) == OPEN
    return copied


def test_every_agent_sees_it_also_after_a_handoff(
    pair: tuple[Appliance, Appliance], make_appliance: Make, storage_folder: Path
) -> None:
    owner, standby = pair
    for asleep in (owner, standby):
        back_up(owner.storage)
        with frozen(agent(asleep)):
            copy_and_wait(owner.storage, storage_folder.with_name(f"without-{asleep.port}"))
    back_up(owner.storage)
    third = make_appliance().start().wait_until_up()
    wait_until_owner(third)
    assert marks(owner.storage) == OPEN, "a handoff is no copy"
    # Only the newest container is left, as after an update by the platform.
    owner.kill_everything()
    standby.kill_everything()
    # Its agent may be writing the handoff down: it sees what it has missed.
    copied = copy_and_wait(third.storage, storage_folder.with_name("c"))
    assert restore(copied) == "dump"


def test_a_clean_stop_closes_it_and_the_death_of_everything_does_not(
    make_appliance: Make, storage_folder: Path
) -> None:
    first = make_appliance().start().wait_until_up()
    back_up(first.storage)
    first.kill_everything()
    assert marks(first.storage) == OPEN
    second = make_appliance().start().wait_until_up()
    assert marks(second.storage) == OPEN, "the platform may be copying"
    assert second.stop() == 0
    assert marks(second.storage) == SHUT
    copied = Storage(copy(second.storage.root, storage_folder.with_name("c")))
    assert restore(copied) == "pgdata"
    assert books(copied) == set()


def test_an_agent_closes_a_window_that_is_too_old_at_its_next_look(appliance: Appliance) -> None:
    back_up(appliance.storage)
    then = time.time() - copy_detection.LONGEST_S
    os.utime(appliance.storage.hook_window, (then, then))
    # A look of somebody wakes it; that alone is no copy.
    copy_detection.manifest_path(appliance.storage).read_bytes()
    wait_until(lambda: marks(appliance.storage) == SHUT, "it is closed")
