"""What a killed process and a full disk leave behind, with real processes and real limits."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from engine.journal import Journal, OutboxKind

REPOSITORY = Path(__file__).parents[2]


def test_every_acknowledged_intent_is_there_after_kill_9_in_the_middle_of_a_burst(tmp_path, records, killed):
    path = tmp_path / "journal.db"
    acknowledged: set[str] = set()
    for _ in range(3):
        acknowledged |= killed(path, 300, 40, ahead=False)
    assert len(acknowledged) >= 900

    journal = Journal.open(path, records.identity)
    found = {str(intent.signature) for intent in journal.open_intents()}
    assert acknowledged <= found
    shipped = {row.payload["signature"] for row in journal.outbox(100_000) if row.kind is OutboxKind.INTENT}
    assert shipped == found
    assert journal.backlog() == journal.totals()["intents"] == len(found)
    asyncio.run(journal.close())


FULL_DISK = """
import asyncio, os, resource, sys
from pathlib import Path
from solders.pubkey import Pubkey
from solders.signature import Signature
from engine.domain import Action, Intent
from engine.journal import Journal, JournalUnavailable

def intent():
    return Intent(Signature(os.urandom(64)), Pubkey(os.urandom(32)), Pubkey.new_unique(), "SOL/USD",
                  Action.FULL, 1, 0, "id", os.urandom(3000), "hash", 1, 1, 1, 1, 1, "{}")

async def main():
    journal = Journal.open(Path(sys.argv[1]), sys.argv[2])
    await journal.record_intent(intent())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
    refused = 0
    for _ in range(200):
        try:
            await journal.record_intent(intent())
        except JournalUnavailable as error:
            refused += 1
            assert "cannot be written" in str(error), error
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    before = len(journal.open_intents())
    while journal.why_closed():
        await asyncio.sleep(0.01)
    await journal.record_intent(intent())
    print(refused, before, len(journal.open_intents()))
    await journal.close()

asyncio.run(main())
"""


def test_a_full_disk_refuses_intents_and_the_journal_works_again_when_there_is_room(tmp_path, records):
    path = tmp_path / "journal.db"
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path), records.identity],
        capture_output=True,
        cwd=REPOSITORY,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    refused, before, after = map(int, done.stdout.split())
    assert refused > 0
    assert refused + before == 201
    assert after == before + 1
    journal = Journal.open(path, records.identity)
    assert len(journal.open_intents()) == after
    asyncio.run(journal.close())
