"""Print the one line that installs what Postgres and this Python still need from the system.

Nothing is printed, and the exit code is 0, where all is there; otherwise it is 1. This runs before
anything is set up, on the interpreter that the environment will be made with.
"""

import importlib.util
import os
import shlex
import shutil
import sys

# What the programs of Postgres load, and the package of Debian and Ubuntu that has it.
# Where a package has a newer name (libssl3t64), it still provides this one.
LIBRARIES = {
    "libcrypto.so.3": "libssl3",
    "libgssapi_krb5.so.2": "libgssapi-krb5-2",
    "liblz4.so.1": "liblz4-1",
    "libreadline.so.8": "libreadline8",
    "libssl.so.3": "libssl3",
    "libxml2.so.2": "libxml2",
    "libz.so.1": "zlib1g",
    "libzstd.so.1": "libzstd1",
}
# Debian and Ubuntu keep them in a package of their own, one for each version of Python.
MODULES = ("ctypes", "ensurepip", "venv")
VENV_PACKAGE = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"


def main() -> int:
    """Look for everything, then speak once."""
    modules = [name for name in MODULES if importlib.util.find_spec(name) is None]
    libraries = [name for name in LIBRARIES if not can_load(name)]
    if not modules and not libraries:
        return 0
    print(f"setup: this system lacks {', '.join(modules + libraries)}.")
    if shutil.which("apt-get"):
        packages = sorted({LIBRARIES[name] for name in libraries})
        print(f"Install them: {install_line([VENV_PACKAGE] * bool(modules) + packages)}")
    else:
        print("Install the packages of this system that have them.")
    return 1


def can_load(library: str) -> bool:
    """Whether the system's loader finds it, for programs of this Python's architecture."""
    try:
        import ctypes

        ctypes.CDLL(library)
    except (ImportError, OSError):
        return False
    return True


def install_line(packages: list[str]) -> str:
    """The command, for root, for a user with sudo, or for one who has to become root."""
    line = f"apt-get update && apt-get install -y {' '.join(packages)}"
    if os.geteuid() == 0:
        return line
    if shutil.which("sudo"):
        return line.replace("apt-get", "sudo apt-get")
    return f"su -c {shlex.quote(line)}"


if __name__ == "__main__":
    sys.exit(main())
