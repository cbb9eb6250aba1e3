"""`insurance`: how the fund stands by the chain and by the record, its movements, and contributing to it."""

from __future__ import annotations

import sys
import time
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli.failures import EXIT_REFUSED, BadUsage, fail, run_async, say
from engine.cli.options import ProfileOption, checked_profile
from engine.errors import DatabaseUnavailable, OperatorError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.api import wire
    from engine.paths import ProfilePaths
    from engine.store.fund_record import FundRecord

LAMPORTS_PER_SOL = 10**9
LONGEST_PAGE = 500
MOST_LAMPORTS = 2**63 - 1
_DIGITS = 9
_LONGEST_AMOUNT = 20
_ALARM_BPS = 5_000  # the operational guide's healthy range ends here

app = typer.Typer(help="Shows the insurance fund and its movements, and contributes to it.")


@app.callback()
def insurance() -> None:
    """Shows the insurance fund and its movements, and contributes to it."""


@app.command()
def show(context: typer.Context, profile: ProfileOption = None) -> None:
    """Balance and utilization as the chain has them, and utilization as the record has it."""
    from engine.cli.record import record_dsn

    paths = checked_profile(context, profile)
    dsn = record_dsn(context, paths)
    fund, record = run_async(_look(paths, dsn))
    print("\n".join(_lines(fund, record)))


@app.command()
def history(
    context: typer.Context,
    limit: Annotated[int, typer.Option("--limit", metavar="N", help="How many movements.")] = 20,
    offset: Annotated[int, typer.Option("--offset", metavar="N", help="How many newer ones to skip.")] = 0,
    profile: ProfileOption = None,
) -> None:
    """What came in and what was paid, newest first, each once."""
    if not 1 <= limit <= LONGEST_PAGE:
        raise BadUsage(f"--limit {limit} is out of range: give a whole number from 1 to {LONGEST_PAGE}")
    if offset < 0:
        raise BadUsage(f"--offset {offset} is out of range: give 0 or more")
    page = run_async(_page(checked_profile(context, profile), limit, offset))
    for row in page.rows:
        when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(row.at_ns // 10**9))
        sign = "-" if row.kind == "coverage" else "+"
        print(f"{when}  {row.kind:<12} {sign}{_sol(row.amount_lamports)}  {row.account}  {row.signature}")
    print(f"{len(page.rows)} of {page.total} movements")


@app.command()
def contribute(
    context: typer.Context,
    amount: Annotated[str, typer.Argument(metavar="SOL", help="How much of the engine's wallet, as in 1.5.")],
    profile: ProfileOption = None,
) -> None:
    """Give SOL of the engine's wallet to the fund: rehearsed first, then the amount is typed once more."""
    lamports = _lamports(amount)
    paths = checked_profile(context, profile)
    print(run_async(_contribute(paths, lamports, "")), flush=True)
    print("Type the SOL once more to send it: ", end="", file=sys.stderr, flush=True)
    typed = sys.stdin.readline().strip()
    try:
        is_same = _lamports(typed) == lamports
    except BadUsage:
        is_same = False
    if not is_same:
        fail(f"{typed[:_LONGEST_AMOUNT]!a} is not {amount}: nothing was sent", EXIT_REFUSED)
    print(run_async(_contribute(paths, lamports, str(lamports))))


async def _look(paths: ProfilePaths, dsn: str | None) -> tuple[wire.FundView, FundRecord | None]:
    """The fund by the engine's last look at its account, and the record's sums where there is one."""
    from engine.api.client import EngineClient
    from engine.store.fund_record import read_fund_record

    async with EngineClient(paths.socket) as engine:
        snapshot = await engine.snapshot()
    fund = snapshot.fund
    if fund is None:
        raise OperatorError("The insurance fund has not been read yet: try again in a few seconds")
    if dsn is None:
        return fund, None
    try:
        return fund, await read_fund_record(dsn, snapshot.wallet.address)
    except DatabaseUnavailable as error:
        say(str(error))
        return fund, None


async def _page(paths: ProfilePaths, limit: int, offset: int) -> wire.FundHistoryPage:
    from engine.api.client import EngineClient

    async with EngineClient(paths.socket) as engine:
        return await engine.fund_history(limit, offset)


async def _contribute(paths: ProfilePaths, lamports: int, confirm_text: str) -> str:
    from engine.api.client import EngineClient

    async with EngineClient(paths.socket) as engine:
        return (await engine.contribute(lamports, confirm_text)).message


def _lines(fund: wire.FundView, record: FundRecord | None) -> Iterator[str]:
    low = fund.balance_lamports < fund.minimum_lamports
    used = fund.utilization_bps
    yield (
        f"balance        {_sol(fund.balance_lamports)}, minimum {_sol(fund.minimum_lamports)}"
        f"{': LOW, see docs/runbook-fund-depleted.md' if low else ''}"
    )
    yield f"contributions  {_sol(fund.total_contributions_lamports)}"
    yield f"covered        {_sol(fund.total_bad_debt_covered_lamports)}"
    yield f"uncovered      {_sol(fund.uncovered_bad_debt_lamports)} of our own liquidations, ever"
    alarm = ", above the healthy 50 %" if used > _ALARM_BPS else ""
    yield f"utilization    {used / 100:.2f} % on chain{alarm}"
    if record is None:
        yield "               no record to compare it with"
        return
    yield f"               {record.utilization_bps / 100:.2f} % in the record: {_comparison(fund, record)}"


def _comparison(fund: wire.FundView, record: FundRecord) -> str:
    """Whether the record has what the chain has, and if not, what it lacks."""
    contributed = fund.total_contributions_lamports - record.contributions_lamports
    covered = fund.total_bad_debt_covered_lamports - record.covered_lamports
    told = []
    if contributed:
        told.append(f"contributions differ by {_sol(contributed)}")
    if covered:
        told.append(f"{_sol(covered)} were covered for liquidations of others, or are not shipped yet")
    return "; ".join(told) or "they agree"


def _lamports(amount: str) -> int:
    """An amount of SOL, exactly. Raises BadUsage."""
    try:
        number = Decimal(amount) if len(amount) <= _LONGEST_AMOUNT else Decimal("NaN")
    except InvalidOperation:
        number = Decimal("NaN")
    lamports = number * LAMPORTS_PER_SOL
    if (
        not number.is_finite()
        or not 0 < lamports <= MOST_LAMPORTS
        or lamports != lamports.to_integral_value()
    ):
        raise BadUsage(
            f"{amount[:_LONGEST_AMOUNT]!a} is no amount of SOL: "
            f"give a number above 0 with up to {_DIGITS} digits after the point, as in 1.5"
        )
    return int(lamports)


def _sol(lamports: int) -> str:
    """Exactly, with the unit."""
    return f"{Decimal(lamports).scaleb(-_DIGITS):,.{_DIGITS}f} SOL"
