"""Somebody in front of a system that was just installed, in a fresh copy of the project."""

import io
import shlex
import tarfile
from pathlib import Path

from docker.models.containers import Container

from tests.platform.containers import Executed, execute

ROOT = Path(__file__).parents[2]
PROJECT = "/srv/my project"
LEFT_BEHIND = ("/.git", "/.venv", f"{Path(PROJECT).name}/storage", "_cache", "__pycache__")
LIMIT_S = "900"

# A minimal Debian 13 has no useradd.
ADD_USER = """
echo '{user}:x:1000:1000::/home/{user}:/bin/bash' >>/etc/passwd
echo '{user}:x:1000:' >>/etc/group
mkdir /home/{user} && chown {user}:{user} /home/{user}
"""

# It serves, the command works beside it, and all of it ends when it is told to.
SERVE = """
make up >/tmp/up.log 2>&1 &
up=$!
until python3 -c 'import urllib.request as r; r.urlopen("http://localhost:8080/up")' 2>/dev/null
do kill -0 $up || { cat /tmp/up.log; exit 1; }; sleep 0.5; done
STORAGE_DIR="$PWD/storage" .venv/bin/appliance keys create demo && kill -TERM $up && ! wait $up
"""


class Newcomer:
    """A user of a container, and that user's copy of the project."""

    def __init__(self, container: Container, user: str) -> None:
        self.container = container
        self.user = user
        if user != "root":
            assert self.run(ADD_USER.format(user=user), user="root").code == 0
        uid = int(self.run("id -u").stdout)
        container.put_archive("/srv", _project(uid))

    def run(self, script: str, user: str | None = None) -> Executed:
        """Run it in bash in the project, where that is already; errors are in `stdout` too."""
        script = f"exec 2>&1; cd {shlex.quote(PROJECT)} 2>/dev/null; {script}"
        command = ("timeout", LIMIT_S, "bash", "-c", script)
        return execute(self.container, *command, user=user or self.user)

    def serve(self) -> Executed:
        """`make up` until it serves, and its end."""
        return self.run(SERVE)


def _project(uid: int) -> bytes:
    def belonging(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        member.uid = member.gid = uid
        member.uname = member.gname = ""
        return None if member.name.endswith(LEFT_BEHIND) else member

    name = Path(PROJECT).name
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(ROOT, name, filter=belonging)
    return packed.getvalue()
