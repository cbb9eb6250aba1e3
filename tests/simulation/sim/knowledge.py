"""What one process of the engine has been told, and what follows from it: kept beside the engine, not by it.

A position may be submitted only while the newest account and the newest price that the engine was given say
that it is liquidatable. Newest is by slot, then by when it came; a price whose time of publication goes back
is no news.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from solders.pubkey import Pubkey

from engine.protocol.accounts import AccountRefused, decode_position
from engine.protocol.addresses import PROGRAM_ID
from sim.cluster import Liquidation
from sim.program import Account, Refused, mark_of, price_in, standing_at


@dataclass(frozen=True, slots=True)
class _Told:
    slot: int
    account: Account | None
    at_s: float


class Knowledge:
    """Starts empty with every process. What comes at this instant may or may not have been looked at."""

    def __init__(self) -> None:
        self._told: dict[Pubkey, _Told] = {}
        self._before: dict[Pubkey, _Told] = {}  # what was known before the instant of the newest

    def tell(self, address: Pubkey, slot: int, account: Account | None, at_s: float) -> None:
        """The engine was given an account as of a slot."""
        known = self._told.get(address)
        if known is not None:
            if slot < known.slot or _goes_back(known.account, account):
                return
            if at_s > known.at_s:
                self._before[address] = known
        self._told[address] = _Told(slot, account, at_s)

    def forget(self) -> None:
        """The process died."""
        self._told.clear()
        self._before.clear()

    def complaint(self, transaction: Liquidation, now_ns: int, max_age_s: int, at_s: float) -> str | None:
        """Why this must not be sent by what is known, None when it may."""
        complaint = None
        for position in self._at(transaction.position, at_s):
            for price in self._at(transaction.price_account, at_s):
                complaint = _complaint(transaction, position, price, now_ns, max_age_s)
                if complaint is None:
                    return None
        return complaint

    def _at(self, address: Pubkey, at_s: float) -> list[_Told | None]:
        told = self._told.get(address)
        if told is None or told.at_s < at_s:
            return [told]
        return [told, self._before.get(address)]


def _complaint(
    transaction: Liquidation, position: _Told | None, price: _Told | None, now_ns: int, max_age_s: int
) -> str | None:
    if position is None or position.account is None:
        return "its account is not known to be there"
    if price is None or price.account is None:
        return "its price is not known"
    if position.account.owner != PROGRAM_ID:
        return "its account is not the program's"
    update = price_in(price.account.data)
    if now_ns // 10**9 - update.publish_time_s > max_age_s:
        return f"its price is of {update.publish_time_s}, and now it is {now_ns // 10**9}"
    if Fraction(update.conf, update.price) > Fraction(1, 100):
        return "its price is unsure"
    try:
        held = decode_position(transaction.position, position.account.data, position.slot)
        standing = standing_at(held, mark_of(price.account, update.publish_time_s))
    except (AccountRefused, Refused) as refusal:
        return f"it cannot be valued: {refusal}"
    if not standing.is_liquidatable:
        return f"it is healthy: equity {float(standing.equity):.2f} of {float(standing.value):.2f}"
    return None


def _goes_back(known: Account | None, account: Account | None) -> bool:
    """Whether both are prices and the later one was published before the earlier one."""
    if known is None or account is None or known.data[:8] != account.data[:8] or len(known.data) != 134:
        return False
    return price_in(account.data).publish_time_s < price_in(known.data).publish_time_s
