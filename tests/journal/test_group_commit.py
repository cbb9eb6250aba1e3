"""What a burst of intents costs at the disk, counted in the system calls of a real process."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
NO_STRACE = "the Debian package strace is not installed"

BURSTS = """
import asyncio, os, sys
from pathlib import Path
from solders.pubkey import Pubkey
from solders.signature import Signature
from engine.domain import Action, Intent
from engine.journal import Journal

def intent():
    return Intent(Signature(os.urandom(64)), Pubkey(os.urandom(32)), Pubkey.new_unique(), "SOL/USD",
                  Action.FULL, 1, 0, "id", os.urandom(300), "hash", 1, 1, 1, 1, 1, "{}")

async def main():
    journal = Journal.open(Path(sys.argv[1]), sys.argv[2])
    await journal.record_intent(intent())  # the first commit also makes the write-ahead log
    for _ in range(int(sys.argv[3])):
        os.path.exists("/burst-begins")
        await asyncio.gather(*(journal.record_intent(intent()) for _ in range(32)))
    os.path.exists("/bursts-end")
    assert len(journal.open_intents()) == 1 + 32 * int(sys.argv[3])
    os._exit(0)  # without the fold at the end, whose syncs are not the bursts'

asyncio.run(main())
"""


@pytest.mark.skipif(shutil.which("strace") is None, reason=NO_STRACE)
def test_32_intents_at_once_are_durable_after_one_or_two_fsyncs(tmp_path, records):
    bursts = 8
    trace = tmp_path / "trace"
    done = subprocess.run(
        [
            "strace", "-f", "-qq", "-o", str(trace), "-e", "trace=fsync,fdatasync,stat,newfstatat,statx",
            sys.executable, "-c", BURSTS, str(tmp_path / "journal.db"), records.identity, str(bursts),
        ],
        capture_output=True,
        cwd=REPOSITORY,
        text=True,
        timeout=120,
        check=False,
    )  # fmt: skip
    if "ptrace" in done.stderr and done.returncode:
        pytest.skip("strace may not trace here")
    assert done.returncode == 0, done.stderr
    *_, measured = trace.read_text().partition("/burst-begins")
    measured, end, _ = measured.partition("/bursts-end")
    assert end
    syncs = [
        len(re.findall(r"\b(?:fsync|fdatasync)\(\d+", burst)) for burst in measured.split("/burst-begins")
    ]
    assert len(syncs) == bursts
    assert all(1 <= count <= 2 for count in syncs), syncs
