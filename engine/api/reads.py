"""What who may read can ask of the record and of single things: fund, position, liquidations."""

from __future__ import annotations

from solders.pubkey import Pubkey

from engine.api import answers, wire
from engine.api.history_view import HistoryViews
from engine.api.parameters import BadParameter, Base58, Choice, Moment, Symbol, Whole
from engine.api.routes import Call, Route, Scope
from engine.api.snapshots import Snapshots
from engine.commands import CommandError
from engine.domain import OutcomeClass
from engine.own_loop import Engine
from engine.store.record_reader import LiquidationFilter

LONGEST_ADDRESS = 44
LONGEST_SIGNATURE = 88
PAGE = Whole("limit", 1, 500, 50)
OFFSET = Whole("offset", 0, 100_000, 0)


class Reads:
    """The reading operations. They change nothing."""

    def __init__(self, engine: Engine, snapshots: Snapshots, history: HistoryViews | None) -> None:
        self._engine = engine
        self._snapshots = snapshots
        self._history = history

    def routes(self) -> list[Route]:
        """The table of these operations."""
        return [
            Route("GET", "/health", Scope.OPEN, self._health, "Whether the process lives", answers.Health),
            Route(
                "GET",
                "/insurance/balance",
                Scope.READ,
                self._fund,
                "The insurance fund's account",
                answers.FundBalance,
                refusals=(503,),
            ),
            Route(
                "GET",
                "/insurance/history",
                Scope.READ,
                self._fund_history,
                "Contributions to the fund and what it paid, newest first",
                wire.FundHistoryPage,
                query=(PAGE, OFFSET),
                refusals=(503,),
            ),
            Route(
                "GET",
                "/liquidations/recent",
                Scope.READ,
                self._recent,
                "Attempts whose end is known, newest first",
                wire.LiquidationPage,
                query=(
                    PAGE,
                    OFFSET,
                    Symbol(),
                    Choice("outcome", [each.value for each in OutcomeClass]),
                    Base58("search", LONGEST_SIGNATURE),
                    Moment("from_date"),
                    Moment("to_date", is_end=True),
                ),
                refusals=(503,),
            ),
            Route(
                "GET",
                "/positions/{address}",
                Scope.READ,
                self._position,
                "One position with its arithmetic and attempts",
                wire.PositionDetail,
                refusals=(404,),
            ),
            Route(
                "GET",
                "/positions/{address}/liquidations",
                Scope.READ,
                self._liquidations_of,
                "The attempts on one position, newest first",
                wire.LiquidationPage,
                query=(PAGE, OFFSET),
                refusals=(503,),
            ),
        ]

    async def _health(self, _: Call) -> answers.Health:
        return answers.Health(status="ok")

    async def _fund(self, _: Call) -> answers.FundBalance:
        fund = await self._engine.look(self._snapshots.fund)
        if fund is None:
            raise CommandError("fund_unknown", "The insurance fund has not been read yet: try later", 503)
        return answers.FundBalance(
            balance=fund.balance_lamports,
            balance_formatted=f"{fund.balance_lamports / 1e9:.9f} SOL",
            utilization_ratio=fund.utilization_bps / 10_000,
            total_contributions=fund.total_contributions_lamports,
            total_bad_debt_covered=fund.total_bad_debt_covered_lamports,
            last_updated=fund.updated_at_ns // 10**9,
        )

    async def _fund_history(self, call: Call) -> wire.FundHistoryPage:
        return await self._kept().fund_movements(call.query["limit"], call.query["offset"])

    async def _recent(self, call: Call) -> wire.LiquidationPage:
        query = call.query
        begin_ns, end_ns = query["from_date"], query["to_date"]
        if begin_ns is not None and end_ns is not None and begin_ns >= end_ns:
            raise BadParameter("from_date", "a moment before to_date")
        wanted = LiquidationFilter(
            symbol=query["symbol"],
            outcome=query["outcome"],
            search=query["search"],
            from_ns=begin_ns,
            to_ns=end_ns,
        )
        return await self._kept().liquidations(wanted, query["limit"], query["offset"])

    async def _liquidations_of(self, call: Call) -> wire.LiquidationPage:
        address = read_address(call.path["address"])
        wanted = LiquidationFilter(position=str(address))
        return await self._kept().liquidations(wanted, call.query["limit"], call.query["offset"])

    async def _position(self, call: Call) -> wire.PositionDetail:
        address = read_address(call.path["address"])
        detail = await self._engine.look(lambda: self._snapshots.detail(address))
        if detail is None:
            raise CommandError("unknown_position", f"No position is held at {address}: it may be closed", 404)
        return detail

    def _kept(self) -> HistoryViews:
        if self._history is None:
            raise CommandError("no_history", "This engine keeps no record that could be read", 503)
        return self._history


def read_address(text: str, name: str = "address") -> Pubkey:
    """The address that a path or a parameter of that name gives; raises CommandError."""
    try:
        return Pubkey.from_string(text)
    except ValueError:
        refusal = CommandError("bad_address", f"{name} is no base58 address of 32 bytes: look again", 400)
        refusal.details = {"parameter": name, "allowed": "a base58 address of 32 bytes"}
        raise refusal from None
