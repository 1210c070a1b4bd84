"""A server that answers as it is told."""

import socket
import threading

from load.own_process import Port


def answered(status: str, *headers: str, body: str = "") -> bytes:
    """An answer."""
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers, "", body]
    return "\r\n".join(lines).encode()


class FakeServer:
    """Answers the first attempts with `answers` (b"" hangs up), and then each as is right.

    While it is `refusing`, each gets a 503.
    """

    def __init__(self, *answers: bytes, refusing: bool = False) -> None:
        self.answers, self.refusing = list(answers), refusing
        self.received: list[bytes] = []
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.backend = Port(self._listener.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            self.connections += 1
            while asked := connection.recv(4096):
                self.received.append(asked)
                if not (answer := self._answer(asked)):
                    break
                connection.sendall(answer)
            connection.close()

    def _answer(self, asked: bytes) -> bytes:
        if self.refusing:
            return answered("503")
        if self.answers:
            return self.answers.pop(0)
        return answered("201" if asked.startswith(b"POST") else "200")
