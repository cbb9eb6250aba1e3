"""The cluster and the one gated way out to it. A dry run has no way out: that is all in which it differs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from solders.pubkey import Pubkey

from engine.chain.pool import RpcPool
from engine.chain.port import Chain
from engine.chain.sender import Sender
from engine.clock import Clock
from engine.control import Gate
from engine.dry_run.transport import DryRunTransport
from engine.liquidation.tracker import Wire
from engine.settings import Settings

log = structlog.get_logger("engine")


@asynccontextmanager
async def open_transport(
    settings: Settings, pool: RpcPool, gate: Gate, clock: Clock, *, dry_run_of: Pubkey | None
) -> AsyncIterator[tuple[Chain, Wire]]:
    """Both, until the end of the context. `dry_run_of` is a dry run's wallet, None for the real thing."""
    if dry_run_of is not None:
        log.warning("DRY RUN: nothing is sent, every outcome is a rehearsal")
        dry_run = DryRunTransport(pool, gate, clock, program_id=settings.program_id, wallet=dry_run_of)
        yield dry_run, dry_run
        return
    async with Sender(
        pool.healthy,
        gate,
        clock,
        settings.rpc_timeout_s,
        fan_out=settings.send_to_nodes,
        ready=settings.workers,
    ) as sender:
        yield pool, sender
