"""The agent's other phases: it prunes, and is a clock again."""

import subprocess
import sys
from pathlib import Path

from appliance.handoff import channel
from tests.harness import processes
from tests.harness.appliance import Appliance
from tests.harness.waiting import wait_until

TOKENS = """
    INSERT INTO appliance.commit_tokens
    VALUES (gen_random_uuid(), now() - interval '2 hours'), (gen_random_uuid(), now())
"""


def test_pruning_forgets_old_tokens_only_and_leaves_a_clock(
    appliance: Appliance, tmp_path: Path
) -> None:
    with appliance.connect() as connection:
        connection.execute(TOKENS)
        with channel.listen(tmp_path / "socket") as listener:
            phase = ["agent", "prune", str(listener.fileno()), ""]
            agent = subprocess.Popen(
                [sys.executable, "-P", "-m", "appliance.supervision.entry_points", *phase],
                env=appliance.environment,
                pass_fds=[listener.fileno()],
            )
        try:
            wait_until(lambda: idle(agent.pid), "it is the clock")
        finally:
            agent.kill()
            agent.wait()
        rows = connection.execute("SELECT now() - created_at < '1h' FROM appliance.commit_tokens")
        assert rows.fetchall() == [(True,)]


def idle(pid: int) -> bool:
    process = processes.read(pid)
    return process is not None and " agent idle " in process.command
