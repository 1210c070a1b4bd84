"""Options that several of the commands about backups have."""

from pathlib import Path

import click


def _folder(_context: click.Context, _parameter: click.Parameter, text: str | None) -> Path | None:
    if text == "":
        # As "$NAS" is, if nobody set it. A path would be the folder that one is in.
        raise click.BadParameter("it is empty. Name a folder.")
    return None if text is None else Path(text)


json = click.option("--json", "as_json", is_flag=True, help="Print it for programs.")
folder = click.option(
    "--dir",
    "folder",
    type=click.Path(file_okay=False),
    callback=_folder,
    help="Use this folder only, which must be there, whatever the settings say.",
)
identity = click.option(
    "--identity",
    "identities",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="File with an age key that opens it. May be given several times.",
)
passphrase_file = click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="File with the passphrase that opens it, instead of BACKUP_PASSPHRASE.",
)
source = click.option(
    "--from", "source", metavar="DESTINATION", help="Use the copy in this destination only."
)
yes = click.option("-y", "--yes", is_flag=True, help="Do not ask.")
