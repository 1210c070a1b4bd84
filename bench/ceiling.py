"""The trivial server: `python -m bench.ceiling PORT` answers every read with the same bytes.

What the load generator reaches against it is the generator's own ceiling.
"""

import select
import socket
import sys

_BODY = b'{"status":"up"}'
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(_BODY), _BODY)


def serve(port: int) -> None:
    """Serve until killed."""
    listener = socket.create_server(("127.0.0.1", port), backlog=128)
    poll = select.epoll()
    poll.register(listener, select.EPOLLIN)
    clients: dict[int, socket.socket] = {}
    while True:
        for descriptor, _ in poll.poll():
            if descriptor == listener.fileno():
                client, _address = listener.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                clients[client.fileno()] = client
                poll.register(client, select.EPOLLIN)
            elif clients[descriptor].recv(1 << 16):
                clients[descriptor].sendall(_ANSWER)
            else:
                poll.unregister(descriptor)
                clients.pop(descriptor).close()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
