"""What the WebSocket of news tells, in numbered messages. Money is in lamports, prices are scaled by 1e6."""

from __future__ import annotations

from dataclasses import dataclass

from engine.api.message import Message


class Numbered(Message, frozen=True, kw_only=True, tag_field="type"):
    """What every message has. `seq` only grows, across restarts of the engine too; `at_ns` is Unix time."""

    seq: int = 0
    at_ns: int = 0


class PriceUpdate(Numbered, frozen=True, kw_only=True, tag="price_update"):
    """A symbol's price, or the verdict on it, is another one."""

    symbol: str
    price_e6: int
    conf_e6: int
    publish_time_s: int
    verdict: str


class InsuranceFund(Numbered, frozen=True, kw_only=True, tag="insurance_fund"):
    """The fund's account changed."""

    balance: int
    total_contributions: int
    total_bad_debt_covered: int


class Queue(Numbered, frozen=True, kw_only=True, tag="queue"):
    """How many liquidations wait or are under way, are followed on the chain, were given up."""

    length: int
    in_flight: int
    failed: int


class State(Numbered, frozen=True, kw_only=True, tag="state"):
    """The gate or the phase of the engine changed."""

    state: str
    version: int
    by: str
    since_ns: int
    reason: str
    phase: str


class Attempt(Numbered, frozen=True, kw_only=True, tag="attempt"):
    """An attempt was signed (`outcome` is null), has ended, or is final beyond doubt."""

    signature: str
    liquidation_id: str
    address: str
    symbol: str
    action: str
    attempt: int
    outcome: str | None = None
    error_message: str | None = None
    is_final: bool = False


class Liquidation(Numbered, frozen=True, kw_only=True, tag="liquidation"):
    """A position was liquidated, in full or in part."""

    signature: str
    address: str
    owner: str
    symbol: str
    action: str
    liquidated_size_e6: int
    liquidation_price_e6: int
    reward_lamports: int
    bad_debt_lamports: int
    slot: int | None


class Gap(Numbered, frozen=True, kw_only=True, tag="gap"):
    """What came behind `after` is not kept any more, or was another engine's: it goes on with `oldest`."""

    after: int
    oldest: int


News = PriceUpdate | InsuranceFund | Queue | State | Attempt | Liquidation | Gap
"""A message of the WebSocket; its `type` says which one."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """The engine at one moment, as far as news come from it."""

    at_ns: int
    journal_seq: int
    prices: list[PriceUpdate]
    fund: InsuranceFund | None
    queue: Queue
    state: State
