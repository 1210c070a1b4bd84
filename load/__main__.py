"""`python -m load`: the load generator as a process, for the bench; see load/own_process.py.

It reads its orders as a line of JSON from standard input. With a `count` it answers with what came
of so many requests. Without one its clients go on, and it takes one command per line: `move PORT`
switches and answers when the backend before is drained; `end` answers with every sample.
"""

import json
import sys
from dataclasses import asdict
from typing import Any

from load.epoll_loop import drive
from load.http_request import HttpRequest
from load.own_process import Port, keep_asking


def main() -> None:
    """Obey."""
    orders: dict[str, Any] = json.loads(sys.stdin.readline())
    if "count" in orders:
        orders["message"] = orders["message"].encode()
        print(json.dumps(asdict(drive(**orders))))
    else:
        _go_on(orders)


def _go_on(orders: dict[str, Any]) -> None:
    requests = [HttpRequest(**one) for one in orders["requests"]]
    with keep_asking(Port(orders["port"]), orders["key"], requests, orders["clients"]) as load:
        while (words := sys.stdin.readline().split()) and words[0] == "move":
            load.move(Port(int(words[1])))
            print("moved", flush=True)
    print(json.dumps(load.outcomes.samples))


if __name__ == "__main__":
    main()
