"""Loads the command once, and forks a process for each run of it; see `command`."""

import gc
import json
import os
import select
import signal
import socket
import sys


def main() -> None:
    """Serve at the abstract address in the first argument, until standard input is closed."""
    import appliance.cli.backup
    import appliance.cli.doctor
    import appliance.cli.keys
    import appliance.cli.status  # noqa: F401 - loaded before it forks

    gc.freeze()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"\0{sys.argv[1]}")
        listener.listen(16)
        # Ctrl-C is for the tests, which end this.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        # The kernel takes those away that answered their caller.
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        print("ready", flush=True)
        while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
            connection = listener.accept()[0]
            if os.fork() == 0:
                listener.close()
                _answer(connection)
            connection.close()


def _answer(connection: socket.socket) -> None:
    """Run the command in a child and tell its number, then its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, (spoken, *files), _, _ = socket.recv_fds(connection, 16, 4)
    with open(spoken, "rb") as file:
        file.seek(0)
        request = json.load(file)
    child = os.fork()
    if child == 0:
        connection.close()
        _become(files, request["arguments"], request["environment"], request["folder"])
    connection.sendall(b"%d\n" % child)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    connection.sendall(b"%d\n" % code)
    os._exit(0)


def _become(
    files: list[int], arguments: list[str], environment: dict[str, str], folder: str
) -> None:
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for target, source in enumerate(files):
            os.dup2(source, target)
            os.close(source)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        sys.argv[:] = ["appliance", *arguments]
        code = _run()
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _run() -> int:
    from appliance.entry import main as command

    try:
        return command()
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else int(error.code is not None)


if __name__ == "__main__":
    main()
