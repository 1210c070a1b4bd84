"""`make check` runs the tests that start nothing: no appliance, no Postgres, no server.

Which those are is written nowhere: whatever starts something asks here first.
"""

import os

import pytest

_ONLY_FAST = "APPLIANCE_TESTS_FAST"


def want_only_fast() -> None:
    """From now on, in this process and in those that it starts, only fast tests are wanted."""
    os.environ[_ONLY_FAST] = "yes"


def skip_if_fast() -> None:
    """Skip the test that came here, if only fast ones are wanted."""
    if os.environ.get(_ONLY_FAST):
        pytest.skip("it starts programs; make test runs it")
