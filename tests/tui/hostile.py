"""An engine that forgot to clean what strangers wrote: every text that can be hostile is.

Run as a program (`python hostile.py SOCKET`) it is a process that a console attaches to.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import msgspec
import snapshots
from peer import Peer

from engine.api import wire

HOSTILE = (
    "\x1b]0;owned\x07"
    "\x1b[2J\x1b[31m[/red][bold]x[/]"
    "\x1b]52;c;c3dhcHBlZA==\x1b\\"
    "\x9b2J\x9d0;c1\x9c"
    "\u202egnp\u2066.exe\u200b"
    "\x00\x08\x7f\r\n\tend"
)


def hostile_snapshot(snapshot: wire.Snapshot) -> wire.Snapshot:
    """The snapshot with a hostile text wherever it has one."""
    alert = wire.AlertRow(id="1", rule=HOSTILE, severity=HOSTILE, text=HOSTILE, since_ns=1)
    return msgspec.structs.replace(
        snapshot,
        gate=snapshots.gate("stopped", 5, by=HOSTILE, reason=HOSTILE),
        engine=msgspec.structs.replace(
            snapshot.engine, cluster=HOSTILE, version=HOSTILE, profile=HOSTILE, degraded=[HOSTILE]
        ),
        wallet=msgspec.structs.replace(snapshot.wallet, address=HOSTILE, source=HOSTILE),
        database=msgspec.structs.replace(snapshot.database, state=HOSTILE, message=HOSTILE),
        book=msgspec.structs.replace(snapshot.book, unknown=3, unknown_reasons={HOSTILE: 3}),
        risk=[msgspec.structs.replace(row, symbol=HOSTILE, why=HOSTILE) for row in snapshot.risk],
        at_risk=[
            msgspec.structs.replace(
                row, symbol=HOSTILE, side=HOSTILE, owner=HOSTILE, why=HOSTILE, band=HOSTILE
            )
            for row in snapshot.at_risk
        ],
        queue=[
            msgspec.structs.replace(row, symbol=HOSTILE, action=HOSTILE, stage=HOSTILE)
            for row in snapshot.queue
        ],
        failed=[
            msgspec.structs.replace(
                row, address=HOSTILE, symbol=HOSTILE, outcome=HOSTILE, message=HOSTILE, next_step=HOSTILE
            )
            for row in snapshot.failed
        ],
        prices=[msgspec.structs.replace(row, symbol=HOSTILE, verdict=HOSTILE) for row in snapshot.prices],
        events=[msgspec.structs.replace(row, level=HOSTILE, text=HOSTILE) for row in snapshot.events],
        alerts=[alert],
    )


async def serve(socket: Path) -> None:
    """Serve one hostile engine until the process ends."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with Peer(socket, hostile_snapshot(snapshots.snapshot())) as peer:
        peer.checks = [wire.ResumeCheck(name=HOSTILE, ok=False, detail=HOSTILE)]
        peer.refusal = wire.ErrorBody(code="x", message=HOSTILE)
        print("ready", flush=True)
        await ended.wait()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
