"""The signing key: where it comes from, whether it may be used, and what its wallet holds."""

from __future__ import annotations

import asyncio

from engine.chain.port import RpcFailure
from engine.chain.rpc import RpcReader
from engine.doctor.findings import Finding, fail, of_error, ok, warn
from engine.errors import WalletError
from engine.paths import ProfilePaths
from engine.settings import Settings
from engine.wallet import Signer, open_signer

LOW_LAMPORTS = 500_000_000  # what the guide wants in it at least
KEYRING_DEADLINE_S = 5.0


async def look(settings: Settings, paths: ProfilePaths) -> list[Finding]:
    """The key is opened as the engine would, and let go again."""
    try:
        signer = await asyncio.to_thread(
            open_signer,
            settings.wallet_path,
            paths.profile,
            KEYRING_DEADLINE_S,
            source=settings.wallet_source,
        )
    except WalletError as error:
        return [of_error("wallet", error)]
    return [ok("wallet", f"{signer.address}, from {signer.source}"), await _balance(settings, signer)]


async def _balance(settings: Settings, signer: Signer) -> Finding:
    for url in settings.rpc_urls:
        try:
            async with RpcReader(url, settings.rpc_timeout_s) as node:
                lamports = await node.balance(signer.address)
        except RpcFailure:
            continue
        text = f"{lamports / 1e9:.4f} SOL"
        remedy = f"send 0.5 to 1 SOL for fees to {signer.address}"
        if lamports == 0:
            return fail("balance", text, remedy)
        return warn("balance", text, remedy) if lamports < LOW_LAMPORTS else ok("balance", text)
    return fail("balance", "no node tells it", "see to the nodes above")
