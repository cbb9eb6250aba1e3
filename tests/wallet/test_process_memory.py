"""Before a key is read, the process's memory is closed to other processes of its user."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import os, resource, sys
from engine.wallet.process import forbid_memory_reading
if os.getuid() == 0:
    os.setgid(65534); os.setuid(65534)  # root may read everything
    import ctypes; ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # setuid cleared it
def readable():
    child = os.fork()
    if child == 0:
        try:
            open(f"/proc/{os.getppid()}/mem", "rb").close()
        except PermissionError:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
before = readable()
forbid_memory_reading()
print(before, readable(), resource.getrlimit(resource.RLIMIT_CORE)[0])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc and prctl are Linux's")
def test_another_process_of_the_same_user_can_no_longer_read_our_memory_and_no_core_is_dumped() -> None:
    answer = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=30, check=False
    )
    assert answer.stdout.split() == ["True", "False", "0"], answer.stderr
