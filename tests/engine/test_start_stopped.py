"""What an engine's first look at its disk means for the gate: when it starts running, and when stopped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from simulated import VirtualClock

from engine.chain.clusters import DEVNET, MAINNET, wants_an_operator
from engine.control import Gate
from engine.errors import JournalCorrupt
from engine.journal.guard import MARKER
from engine.journal.journal import Journal
from engine.runtime import _load_gate, _open_journal

LOCAL = "http://127.0.0.1:8899"


async def start(home: Path, *, waits: bool = False) -> Gate:
    """The gate of an engine that starts on what is in `home`, and ends again."""
    was_kept = (home / "journal.db").exists()
    journal = _open_journal(home / "journal.db", "a cluster/a wallet/a program", VirtualClock())
    gate = _load_gate(home, home / "STOP", journal, VirtualClock(), waits=waits, was_kept=was_kept)
    await journal.close()
    return gate


async def lift(home: Path) -> None:
    gate = await start(home)
    await gate.resume("ada", "on", gate.state.version)


async def test_a_first_start_runs_on_a_cluster_of_ones_own_and_waits_on_a_real_one(tmp_path):
    assert (await start(tmp_path / "own")).state.is_running
    waiting = await start(tmp_path / "real", waits=True)
    assert (waiting.state.is_running, waiting.state.by) == (False, "engine")
    assert waiting.state.reason == "first start on this cluster: resume when you are ready"
    again = await start(tmp_path / "real", waits=True)
    assert not again.state.is_running
    await lift(tmp_path / "real")
    assert (await start(tmp_path / "real", waits=True)).state.is_running


@pytest.mark.parametrize(
    ("genesis", "url", "waits"),
    [
        (MAINNET, LOCAL, True),
        (DEVNET, LOCAL, True),
        ("a sandbox's", LOCAL, False),
        ("a sandbox's", "http://localhost:8899", False),
        ("a sandbox's", "https://node.example", True),
        ("a sandbox's", "http://10.0.0.7:8899", True),
    ],
)
def test_a_cluster_is_real_when_it_is_public_or_elsewhere(genesis, url, waits):
    assert wants_an_operator(genesis, url) is waits


async def test_a_journal_that_is_gone_beside_a_kept_gate_means_stopped_until_a_person_resumes(tmp_path):
    assert (await start(tmp_path)).state.is_running
    for file in tmp_path.glob("journal.db*"):
        file.unlink()
    lost = await start(tmp_path)
    assert (lost.state.is_running, lost.state.by) == (False, "engine")
    assert lost.state.reason.startswith("journal unreadable: the journal is gone, so what was sent before")
    assert not (await start(tmp_path)).state.is_running
    await lift(tmp_path)
    assert (await start(tmp_path)).state.is_running


async def test_a_damaged_journal_stops_the_engine_that_starts_after_it_was_mended(tmp_path):
    assert (await start(tmp_path)).state.is_running
    (tmp_path / "journal.db").write_bytes(b"no journal at all" * 100)
    for _ in range(2):
        with pytest.raises(JournalCorrupt):
            await start(tmp_path)
    kept = json.loads((tmp_path / "gate.json").read_bytes())
    assert (kept["state"], kept["by"], kept["version"]) == ("stopped", "engine", 2)
    assert kept["reason"].startswith("journal unreadable: The journal journal.db is damaged")
    (tmp_path / MARKER).unlink()
    assert not (await start(tmp_path)).state.is_running
    await lift(tmp_path)
    assert (await start(tmp_path)).state.is_running


async def test_a_journal_damaged_where_no_gate_was_kept_leaves_a_closed_one(tmp_path):
    (tmp_path / "journal.db").write_bytes(b"no journal at all" * 100)
    with pytest.raises(JournalCorrupt):
        await start(tmp_path)
    (tmp_path / MARKER).unlink()
    assert not (await start(tmp_path)).state.is_running


async def test_a_gate_that_is_gone_beside_a_journal_means_stopped(tmp_path, records):
    assert (await start(tmp_path)).state.is_running
    journal = Journal.open(tmp_path / "journal.db", "a cluster/a wallet/a program")
    await journal.record_intent(records.intent())
    await journal.close()
    (tmp_path / "gate.json").unlink()
    assert (await start(tmp_path)).state.reason == "the kept stop state is missing beside a journal"
