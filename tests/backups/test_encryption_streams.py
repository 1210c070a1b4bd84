"""Encryption between files, pipes, threads and programs: errors, signals, memory."""

import io
import re
import signal
import subprocess
import sys
from subprocess import PIPE
from typing import Any

import pytest

from tests.backups.encryptors import CHUNK, DECRYPTOR, FOR_KEY, KEY, MIB, PUBLIC, encrypted

THERE_AND_BACK = """
import os, sys, threading
from appliance.backups.format.encryption import Keyring, make_encryptor
read, write = os.pipe()
def encrypt():
    with open(write, "wb") as target:
        make_encryptor([sys.argv[1]], None).encrypt(sys.stdin.buffer, target)
threading.Thread(target=encrypt).start()
with open(read, "rb") as source:
    Keyring([sys.argv[2]]).decryptor_for([sys.argv[1]], None).decrypt(source, sys.stdout.buffer)
print(open("/proc/self/status").read(), file=sys.stderr)
"""

DATA = encrypted(bytes(range(256)) * 1024)


@pytest.mark.parametrize("size", [1, 5000, CHUNK, MIB])
def test_a_full_disk_is_said_even_by_the_last_byte(size: int) -> None:
    for work, data in ((FOR_KEY.encrypt, bytes(size)), (DECRYPTOR.decrypt, encrypted(bytes(size)))):
        with open("/dev/full", "wb", 0) as full, pytest.raises(OSError, match="No space"):
            work(io.BytesIO(data), full)


@pytest.mark.parametrize("error", [BrokenPipeError(), InterruptedError(), ValueError()])
def test_what_source_and_target_raise_is_raised_as_it_is(error: Exception) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise error

        write: Any = read

    for work in (FOR_KEY.encrypt, DECRYPTOR.decrypt):
        for source, target in ((Broken(), io.BytesIO()), (io.BytesIO(DATA), Broken())):
            with pytest.raises(type(error)) as raised:
                work(source, target)
            assert raised.value is error


def test_a_signal_handler_may_raise() -> None:
    before = signal.signal(signal.SIGALRM, lambda *_: 1 // 0)
    with open("/dev/zero", "rb") as zeros, open("/dev/null", "wb") as null:
        for after_s in (0.01, 0.02, 0.03):
            signal.setitimer(signal.ITIMER_REAL, after_s)
            with pytest.raises(ZeroDivisionError):
                FOR_KEY.encrypt(zeros, null)
    signal.signal(signal.SIGALRM, before)


def test_memory_is_flat_and_pipes_between_threads_and_programs_do() -> None:
    peaks_kib: list[int] = []
    for size in (8 * MIB, 128 * MIB):
        command = [sys.executable, "-c", THERE_AND_BACK, PUBLIC, str(KEY)]
        with subprocess.Popen(["head", f"-c{size}", "/dev/zero"], stdout=PIPE) as zeros:
            done = subprocess.run(command, stdin=zeros.stdout, capture_output=True, check=True)
        assert done.stdout == bytes(size)
        peaks_kib += map(int, re.findall(rb"VmHWM:\s+(\d+)", done.stderr))
    assert peaks_kib[1] < peaks_kib[0] + 4 * 1024
