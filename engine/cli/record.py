"""Where a command finds the record: the database of the settings, a sandbox's, or the server in the box."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import typer

from engine.cli.options import given_settings

if TYPE_CHECKING:
    from engine.paths import ProfilePaths
    from engine.settings import Settings

_NO_NODE = {"SOLANA_RPC_URL": "http://not-set"}


def settings_of(context: typer.Context, paths: ProfilePaths) -> Settings:
    """What an engine of this profile would be given; those of its sandbox where one runs and nothing is set.

    The record needs no node, so none has to be named. Raises SettingsError.
    """
    from engine.api.launcher import engine_environment, running_sandbox

    given = given_settings(context, paths)
    if "SOLANA_RPC_URL" not in given.values:
        descriptor = running_sandbox(paths)
        if descriptor is not None:
            given = given.under(engine_environment(descriptor), "sandbox")
        else:
            given = given.under(_NO_NODE, "not set")
    return given.settings()


def record_dsn(context: typer.Context, paths: ProfilePaths) -> str | None:
    """The DSN of a database that can be asked now; None when there is none, as while no engine runs."""
    from engine.store.embedded import running_dsn

    dsn = settings_of(context, paths).database_dsn
    return dsn if dsn is not None else running_dsn(paths.state / "postgres")


@asynccontextmanager
async def opened_record(settings: Settings, paths: ProfilePaths) -> AsyncIterator[str]:
    """The DSN of the record; the server in the box is started for as long as it is needed.

    Raises DatabaseUnavailable.
    """
    from engine.store.embedded import embedded_postgres, running_dsn

    dsn = settings.database_dsn or running_dsn(paths.state / "postgres")
    if dsn is not None:
        yield dsn
        return
    paths.prepare()
    async with embedded_postgres(paths.state / "postgres") as started:
        yield started
