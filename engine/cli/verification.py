"""`liquidation-engine verify`: what the chain and the database say happened, and whether they agree."""

from __future__ import annotations

import json
import sys
from contextlib import AsyncExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from engine.api.launcher import engine_environment, running_sandbox
from engine.cli.failures import EXIT_REFUSED, run_async
from engine.cli.options import ProfileOption, checked_profile, given_settings
from engine.paths import ProfilePaths

if TYPE_CHECKING:
    from solders.pubkey import Pubkey

    from engine.setting_sources import Given
    from engine.settings import Settings
    from engine.verify import VerifyReport


def verify(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    profile: ProfileOption = None,
) -> None:
    """Compare the cluster with the database, not asking the engine; exit code 1 when they differ."""
    paths = checked_profile(context, profile)
    objects = run_async(_verify(settings_of(paths, given_settings(context, paths)), paths))
    if as_json:
        print(json.dumps(objects))
    else:
        print(
            "\n".join(
                f"{part:<11} {name:<32} {value}" for part in objects for name, value in objects[part].items()
            )
        )
    if any(objects["violations"].values()):
        sys.exit(EXIT_REFUSED)


def settings_of(paths: ProfilePaths, given: Given) -> Settings:
    """The settings that are given; without a node among them, those of the sandbox that the profile runs."""
    if "SOLANA_RPC_URL" not in given.values and (descriptor := running_sandbox(paths)):
        given = given.under(engine_environment(descriptor), "sandbox")
    return given.settings()


async def _verify(settings: Settings, paths: ProfilePaths) -> dict[str, dict[str, int]]:
    from engine.wallet import open_signer

    wallet = open_signer(settings.wallet_path, paths.profile, source=settings.wallet_source).address
    report = await compare(settings, paths, wallet)
    return {part: asdict(getattr(report, part)) for part in ("chain", "database", "violations")}


async def compare(settings: Settings, paths: ProfilePaths, wallet: Pubkey) -> VerifyReport:
    """What the settings' cluster and database say of a wallet; the profile's own database may be at rest."""
    from engine.store.embedded import embedded_postgres, running_dsn
    from engine.verify import verify as read_both

    async with AsyncExitStack() as stack:
        dsn = settings.database_dsn or running_dsn(paths.state / "postgres")
        if dsn is None:
            dsn = await stack.enter_async_context(embedded_postgres(paths.state / "postgres"))
        return await read_both(settings.rpc_urls, dsn, wallet, settings.program_id)
