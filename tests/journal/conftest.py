"""A process that opens intents until it is killed, for the tests of what it leaves behind."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]

ENDLESS = """
import asyncio, os, sys
from pathlib import Path
from solders.pubkey import Pubkey
from solders.signature import Signature
from engine.domain import Action, Intent
from engine.journal import Journal
from engine.journal.prompt_writer import PromptWriter

async def one(journal):
    while True:
        signature = Signature(os.urandom(64))
        await journal.record_intent(Intent(
            signature, Pubkey(os.urandom(32)), Pubkey.new_unique(), "SOL/USD", Action.FULL, 1, 0, "id",
            os.urandom(300), "hash", 1, 1, 1, 1, 1, "{}"))
        os.write(1, f"{signature}\\n".encode())

async def main(path, identity, writers, goes_ahead):
    journal = Journal.open(Path(path), identity, make_ahead=PromptWriter if goes_ahead == "ahead" else None)
    await asyncio.gather(*(one(journal) for _ in range(int(writers))))

asyncio.run(main(*sys.argv[1:]))
"""

Killed = Callable[..., set[str]]


@pytest.fixture
def killed(records) -> Killed:
    """Has a process open intents in a journal, and kills it once it has acknowledged some of them.

    Takes the journal's path, how many are acknowledged before, how many are opened at a time, and whether
    they go ahead of the journal; returns the signatures of all that were acknowledged.
    """

    def killed(path: Path, after: int, writers: int, *, ahead: bool) -> set[str]:
        arguments = [str(path), records.identity, str(writers), "ahead" if ahead else "in line"]
        child = subprocess.Popen(
            [sys.executable, "-c", ENDLESS, *arguments],
            stdout=subprocess.PIPE,
            cwd=REPOSITORY,
            text=True,
        )
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(after)]
        child.kill()
        lines += child.stdout.readlines()
        child.wait()
        child.stdout.close()
        return {line.strip() for line in lines if line.endswith("\n")}

    return killed
