"""The bare parts are made as ours are made."""

import inspect
import re

from appliance.postgres import cluster
from bench.bare import INITDB_OPTIONS


def test_the_bare_cluster_is_initialised_with_the_options_of_ours() -> None:
    flags = re.compile(r"--[a-z-]+(?:=(?!\{fresh)[A-Za-z0-9.-]+)?")
    in_ours = set(flags.findall(inspect.getsource(cluster))) - {"--pgdata"}
    in_bare = set(flags.findall(INITDB_OPTIONS))
    in_bare = {"--username" if flag.startswith("--username") else flag for flag in in_bare}
    assert in_bare == in_ours
