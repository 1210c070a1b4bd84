"""What some tests need of the machine; without it they are skipped, saying why."""

import os
import shutil
import subprocess

import pytest

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
needs_git = pytest.mark.skipif(not shutil.which("git"), reason="needs git")
needs_compiler = pytest.mark.skipif(
    not shutil.which("gcc"), reason="needs gcc, to build a file lock that does not exclude"
)


def namespaces_work() -> bool:
    """Whether this process may make mount and PID namespaces of its own."""
    probe = ["unshare", "--mount", "--pid", "--fork", "mount", "-t", "tmpfs", "none", "/mnt"]
    if os.geteuid() != 0 or not shutil.which("unshare"):
        return False
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


needs_namespaces = pytest.mark.skipif(
    not namespaces_work(), reason="needs root and the right to make namespaces"
)
