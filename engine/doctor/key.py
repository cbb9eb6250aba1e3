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
from engine.wallet.os_keyring import is_bus_there, keyring_class

LOW_LAMPORTS = 500_000_000  # what the guide wants in it at least
KEYRING_DEADLINE_S = 5.0


async def look(settings: Settings, paths: ProfilePaths) -> list[Finding]:
    """The key is opened as the engine would, and let go again."""
    return [await asyncio.to_thread(_keyring, settings), *await _wallet(settings, paths)]


def _keyring(settings: Settings) -> Finding:
    """The keyring's class; it has to be a good one only where the key would come from it."""
    if settings.wallet_source not in ("auto", "keyring"):
        return ok("keyring", f"not asked: WALLET_SOURCE is {settings.wallet_source}")
    if not is_bus_there():
        return ok("keyring", "none: there is no session bus here")
    try:
        return ok("keyring", f"{keyring_class(KEYRING_DEADLINE_S)}, unlocked")
    except WalletError as error:
        found = of_error("keyring", error)
        is_needed = settings.wallet_source == "keyring" or settings.wallet_path is None
        return found if is_needed else warn("keyring", found.detail, found.remedy)


async def _wallet(settings: Settings, paths: ProfilePaths) -> list[Finding]:
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
