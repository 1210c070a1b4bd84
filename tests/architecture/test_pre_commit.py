"""Who has run `pre-commit install` commits no code that `make lint` refuses."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.requirements import needs_git

pytestmark = needs_git

ROOT = Path(__file__).parents[2]
PRE_COMMIT = Path(sys.executable).with_name("pre-commit")


class Repository:
    """A repository with our configuration, in which `make lint` refuses everything."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._home = folder, folder.with_name("home")
        folder.mkdir()
        shutil.copy(ROOT / ".pre-commit-config.yaml", folder)
        (folder / "Makefile").write_text("lint:\n\t@echo lint ran; exit 1\n")
        self._run("git", "init", "-q")
        self._run("git", "add", ".")
        self._run("git", "commit", "-qm", "Before pre-commit")
        self._run(PRE_COMMIT, "install")

    def commit(self, name: str) -> "subprocess.CompletedProcess[str]":
        """Try to commit one file."""
        (self._folder / name).write_text("")
        self._run("git", "add", name)
        return self._run("git", "commit", "-m", name, check=False)

    def _run(self, *command: str | Path, check: bool = True) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            command,
            cwd=self._folder,
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=check,
        )

    def _environment(self) -> dict[str, str]:
        """Nobody's own git settings, and nothing of a commit that runs this test."""
        inherited = {name: value for name, value in os.environ.items() if name[:4] != "GIT_"}
        names = ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL")
        where = {"HOME": str(self._home), "XDG_CACHE_HOME": str(self._home)}
        return {**inherited, **where, "GIT_CONFIG_NOSYSTEM": "1", **dict.fromkeys(names, "tests")}


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """This test's own."""
    return Repository(tmp_path / "repository")


@pytest.mark.parametrize("name", ["code.py", "pyproject.toml", ".importlinter"])
def test_code_that_lint_refuses_is_not_committed(repository: Repository, name: str) -> None:
    tried = repository.commit(name)
    assert tried.returncode == 1, tried.stdout
    assert "lint ran" in tried.stdout


def test_a_document_is_committed_without_it(repository: Repository) -> None:
    tried = repository.commit("page.md")
    assert tried.returncode == 0, tried.stdout
    assert "lint ran" not in tried.stdout
