"""What the agent throws away; when it does is in tests/agent."""

import pytest

from appliance import settings
from appliance.agent import tasks
from tests.harness.appliance import Appliance

TOKENS = """
    INSERT INTO appliance.commit_tokens
    VALUES (gen_random_uuid(), now() - interval '2 hours'), (gen_random_uuid(), now())
"""


def test_pruning_forgets_old_tokens_only(
    appliance: Appliance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORAGE_DIR", str(appliance.storage.root))
    with appliance.connect() as connection:
        connection.execute(TOKENS)
        tasks.prune(settings.load().settings)
        rows = connection.execute("SELECT now() - created_at < '1h' FROM appliance.commit_tokens")
        assert rows.fetchall() == [(True,)]


def test_pruning_that_cannot_reach_the_database_is_put_off(
    appliance: Appliance, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STORAGE_DIR", str(appliance.storage.root))
    appliance.stop()
    tasks.prune(settings.load().settings)
    assert (
        "agent warning: pruning is put off for an hour: The database at" in capfd.readouterr().out
    )
