"""Strangers who fill blocks: they lock the insurance fund's account for writing and bid against everybody.

What they do changes nothing, but it really uses the compute units that they ask for, by a program of their
own. So the room that the fund's account has in a block is gone but for less than one of their transactions
takes, and who wants to liquidate has to pay more than they do. Filling a block takes about 30 ms.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from solders.compute_budget import (
    set_compute_unit_limit,
    set_compute_unit_price,
    set_loaded_accounts_data_size_limit,
)
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from engine.protocol.addresses import insurance_fund_address
from engine.sandbox import program
from engine.sandbox.cluster.ledger.leader import BlockLimits
from engine.sandbox.market.actors import Venue
from engine.sandbox.market.seeds import generator, key
from engine.sandbox.market.transactions import signed

CROWD_PROGRAM = Pubkey.from_bytes(b"crowd of strangers".ljust(32, b"\0"))
STRANGERS = 64
BURST_TICKS = 25
PORTION_UNITS = 400_000
# Bids are log-normal from burst to burst, and within half of a burst's level in it. A small liquidation that
# bids nothing ranks with bids of some 65,000 here, by what it pays for its signature.
MEDIAN_LOG_BID = 11.918390573078392  # ln 150,000
BID_SIGMA = 0.9
MAX_BID_MICROLAMPORTS = 5_000_000

# What a transaction costs a block beside the work that is asked for: signature, two write locks, data and
# loaded pages (cost model), and what its instructions use to begin and end.
_COST_UNITS = 1_400
_RUN_UNITS = 750
_LOADED_BYTES = 64 * 1024
_LEAST_UNITS = 4_000


class Congestion:
    """Takes the behaviour's share of the fund's room in every block; the level of bids changes in bursts."""

    def __init__(self, venue: Venue, limits: BlockLimits | None = None) -> None:
        """Install the strangers' program, if it is not there."""
        self._venue = venue
        self._fund = insurance_fund_address(venue.program_id)
        self._strangers = [key(venue.seed, f"stranger {number}") for number in range(STRANGERS)]
        self._room_units = (limits or BlockLimits()).writable_account_units
        self._sent = 0
        if venue.ledger.account(CROWD_PROGRAM) is None:
            venue.ledger.add_program(CROWD_PROGRAM, program.load_crowd())

    def on_tick(self, tick: int) -> None:
        """Send what fills the share of the block that begins."""
        share = self._venue.behaviour.congestion
        if share == 0:
            return
        level = self.level_microlamports(tick)
        rng = generator(self._venue.seed, f"congestion at {tick}")
        for number, units in enumerate(_portions(int(self._room_units * share))):
            # The number sets equal bids of one block apart: their signatures must differ.
            bid = rng.randint(level // 2, level) + number
            self._bid(self._strangers[(tick + number) % STRANGERS], units, bid)

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
        lock = AccountMeta(self._fund, is_signer=False, is_writable=True)
        calls = [
            set_compute_unit_limit(units),
            set_compute_unit_price(microlamports),
            set_loaded_accounts_data_size_limit(_LOADED_BYTES),
            Instruction(CROWD_PROGRAM, (units - _RUN_UNITS).to_bytes(4, "little"), [lock]),
        ]
        venue.send(signed(calls, [stranger], venue.blockhash()))
        self._sent += 1


def _portions(room_units: int) -> Iterator[int]:
    """Limits of transactions that together cost so many units."""
    left = room_units
    while left >= _LEAST_UNITS:
        units = min(PORTION_UNITS, left - _COST_UNITS)
        yield units
        left -= units + _COST_UNITS
