"""The bare parts are made as ours are made, and what the modules say of themselves is true."""

import doctest
import inspect
import re

from appliance.postgres import cluster, config
from bench import figures, report
from bench.bare import INITDB_OPTIONS


def test_the_bare_cluster_is_initialised_with_the_options_of_ours() -> None:
    source = inspect.getsource(cluster).replace("{config.SUPERUSER}", config.SUPERUSER)
    in_ours = {word.strip('"') for word in source.split() if re.match(r'f?"?--', word)}
    in_ours = {word.removeprefix('f"') for word in in_ours if "pgdata" not in word}
    assert set(INITDB_OPTIONS.split()) == in_ours


def test_the_examples_in_the_modules_are_true() -> None:
    for module in (figures, report):
        result = doctest.testmod(module)
        assert result.attempted
        assert not result.failed
