"""`db`: brings the record's schema up to date, tells how it stands, copies it, puts it back, shortens it."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from engine.cli.failures import EXIT_REFUSED, BadUsage, run_async
from engine.cli.options import ProfileOption, checked_profile
from engine.cli.record import opened_record, settings_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from engine.paths import ProfilePaths
    from engine.settings import Settings
    from engine.store.condition import Condition

Answer = TypeVar("Answer")

MOST_DAYS = 730

app = typer.Typer(help="Looks after the record: its schema, its size, its copies.")


@app.callback()
def db() -> None:
    """Looks after the record: its schema, its size, its copies."""


@app.command()
def migrate(context: typer.Context, profile: ProfileOption = None) -> None:
    """Bring the schema up to date, as every start of an engine does."""
    from engine.store.migrate import migrate as apply

    async def work(dsn: str) -> None:
        print(f"The schema is version {await apply(dsn)}")

    _with_record(context, profile, work)


@app.command()
def status(context: typer.Context, profile: ProfileOption = None) -> None:
    """Server, schema, rows and sizes; exit code 1 where the schema is not this program's."""
    from engine.store.condition import look

    paths = checked_profile(context, profile)
    settings = settings_of(context, paths)
    condition = run_async(_asked(settings, paths, look))
    print("\n".join(_lines(condition, settings)))
    if settings.database_dsn is None:
        print("\n".join(_tools(paths)))
    if condition.wrong:
        sys.exit(EXIT_REFUSED)


@app.command()
def backup(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A new file, as in record.sql.gz; an existing one is kept.")],
    profile: ProfileOption = None,
) -> None:
    """Write the whole record, as it is at one moment, to a compressed SQL file; engines may run meanwhile."""
    from engine.store.backup import write_backup

    async def work(dsn: str) -> None:
        written = await write_backup(dsn, file)
        print(f"Wrote {sum(written.rows.values()):,} rows to {file} ({_size(written.size_bytes)}):")
        print("\n".join(f"  {name:<28} {count:>12,}" for name, count in written.rows.items()))

    _with_record(context, profile, work)


@app.command()
def restore(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="What `db backup` wrote.")],
    *,
    replace: Annotated[
        bool, typer.Option("--replace", help="Also where the database holds a record, which is lost.")
    ] = False,
    while_in_use: Annotated[
        bool, typer.Option("--while-in-use", help="Also while others are connected to the database.")
    ] = False,
    profile: ProfileOption = None,
) -> None:
    """Put a backup in place of what the database holds, once its rows were read and counted beside it."""
    from engine.store.restore import restore_backup

    async def work(dsn: str) -> None:
        rows = await restore_backup(dsn, file, replace=replace, while_in_use=while_in_use)
        print(f"Restored {sum(rows.values()):,} rows from {file}, as many as it says:")
        print("\n".join(f"  {name:<28} {count:>12,}" for name, count in rows.items()))

    _with_record(context, profile, work)


@app.command()
def prune(
    context: typer.Context,
    days: Annotated[
        int | None, typer.Option("--days", metavar="N", help="Keep so many whole days; else HISTORY_DAYS.")
    ] = None,
    profile: ProfileOption = None,
) -> None:
    """End the days that are old enough now; bad debt, the fund's movements and the audit stay."""
    from engine.store.retention import prune_now

    if days is not None and not 1 <= days <= MOST_DAYS:
        raise BadUsage(f"--days {days} is out of range: give a whole number from 1 to {MOST_DAYS}")
    paths = checked_profile(context, profile)
    settings = settings_of(context, paths)
    keep_days = settings.history_days if days is None else days

    async def work(dsn: str) -> None:
        pruned = await prune_now(dsn, time.time_ns(), keep_days)
        print(f"Pruned {pruned.told()}; kept {keep_days} days, and all that the fund paid")

    run_async(_asked(settings, paths, work))


def _with_record(context: typer.Context, profile: str | None, work: Callable[[str], Awaitable[None]]) -> None:
    """Do it on the database that an engine of this profile would use."""
    paths = checked_profile(context, profile)
    run_async(_asked(settings_of(context, paths), paths, work))


async def _asked(settings: Settings, paths: ProfilePaths, work: Callable[[str], Awaitable[Answer]]) -> Answer:
    async with opened_record(settings, paths) as dsn:
        return await work(dsn)


def _lines(condition: Condition, settings: Settings) -> Iterator[str]:
    where = "the one in the box" if settings.database_dsn is None else "of DATABASE_URL"
    secured = ", over TLS" if condition.is_encrypted else ""
    yield f"server      PostgreSQL {condition.server}, {where}{secured}; {_size(condition.size_bytes)} in all"
    yield f"migrations  {len(condition.applied)} applied, {len(condition.pending)} for `db migrate`"
    for name in condition.wrong:
        yield f"            {name} is not this program's: start the engine that applied it"
    since = f", the oldest {condition.oldest_day}" if condition.oldest_day is not None else ""
    yield f"history     {condition.days} days{since}; {settings.history_days} are kept (HISTORY_DAYS)"
    for table in condition.tables:
        yield f"  {table.name:<28} {table.rows:>12,} rows {_size(table.size_bytes):>12}"


def _tools(paths: ProfilePaths) -> Iterator[str]:
    """How PostgreSQL's own programs reach the server in the box; another's may be too old for it."""
    from engine.store.embedded import running_dsn
    from engine.store.postgres_files import DATABASE, ROLE, choose_user, find_binaries

    data = paths.state / "postgres"
    folder = find_binaries(choose_user(data))
    yield f"programs    {folder}/psql and pg_dump, while an engine runs, with"
    dsn = running_dsn(data)
    host = dsn.partition("host=")[2] if dsn is not None else data.resolve()
    yield f"            PGHOST={host} PGUSER={ROLE} PGDATABASE={DATABASE}"


def _size(size_bytes: int) -> str:
    return f"{size_bytes / (1 << 20):,.1f} MiB"
