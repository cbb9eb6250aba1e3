"""Strangers who fill blocks: they lock the insurance fund's account for writing and bid against everybody.

Their transactions do nothing (a transfer of no lamports to the fund) and ask for all the compute units that
one may ask for. A leader plans a block by what is asked for, so a few of them take all the room that the
fund's account has in it, and whoever wants to liquidate has to pay more than they do.
"""

from __future__ import annotations

from collections.abc import Mapping

from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.keypair import Keypair
from solders.system_program import TransferParams, transfer

from engine.protocol.addresses import insurance_fund_address
from engine.protocol.compute import MAX_COMPUTE_UNITS
from engine.sandbox.cluster.leader import BlockLimits
from engine.sandbox.market.actors import Venue
from engine.sandbox.market.seeds import generator, key
from engine.sandbox.market.transactions import signed

STRANGERS = 32
BURST_TICKS = 25
# Bids are log-normal from burst to burst, and within half of a burst's level in it.
MEDIAN_LOG_BID = 10.308952660644293  # ln 30,000
BID_SIGMA = 0.9
MAX_BID_MICROLAMPORTS = 5_000_000

_FIXED_UNITS = 3_000  # of signature, locks and built-in programs beside the limit asked for


class Congestion:
    """Takes the behaviour's share of the fund's room in every block; the level of bids changes in bursts."""

    def __init__(self, venue: Venue, limits: BlockLimits | None = None) -> None:
        self._venue = venue
        self._fund = insurance_fund_address(venue.program_id)
        self._strangers = [key(venue.seed, f"stranger {number}") for number in range(STRANGERS)]
        self._room_units = (limits or BlockLimits()).writable_account_units
        self._sent = 0

    def on_tick(self, tick: int) -> None:
        """Send what fills the share of the block that begins."""
        level = self.level_microlamports(tick)
        rng = generator(self._venue.seed, f"congestion at {tick}")
        left = int(self._room_units * self._venue.behaviour.congestion)
        number = 0
        while left > _FIXED_UNITS:
            units = min(MAX_COMPUTE_UNITS, left - _FIXED_UNITS)
            left -= units + _FIXED_UNITS
            # The number sets equal bids of one block apart: their signatures must differ.
            bid = rng.randint(level // 2, level) + number
            self._bid(self._strangers[(tick + number) % STRANGERS], units, bid)
            number += 1

    def figures(self) -> Mapping[str, int]:
        """How many transactions the strangers sent."""
        return {"congestion_sent": self._sent}

    def level_microlamports(self, tick: int) -> int:
        """The most that strangers bid for a compute unit in the burst of a tick."""
        rng = generator(self._venue.seed, f"congestion burst {tick // BURST_TICKS}")
        return min(MAX_BID_MICROLAMPORTS, max(2, round(rng.lognormvariate(MEDIAN_LOG_BID, BID_SIGMA))))

    def _bid(self, stranger: Keypair, units: int, microlamports: int) -> None:
        venue = self._venue
        venue.fund(stranger.pubkey())
        touch = transfer(TransferParams(from_pubkey=stranger.pubkey(), to_pubkey=self._fund, lamports=0))
        calls = [set_compute_unit_limit(units), set_compute_unit_price(microlamports), touch]
        venue.send(signed(calls, [stranger], venue.blockhash()))
        self._sent += 1
