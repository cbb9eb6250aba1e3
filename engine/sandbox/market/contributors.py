"""Those who fill the insurance fund before anybody trades, each by a signed transaction."""

from __future__ import annotations

import math

from solders.account import Account
from solders.hash import Hash
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from engine.protocol.addresses import SYSTEM_PROGRAM, insurance_fund_address
from engine.protocol.margin import LAMPORTS_PER_SOL
from engine.sandbox.cluster.ledger.ledger import Ledger
from engine.sandbox.market.population_settings import PopulationSettings, SizeDistribution
from engine.sandbox.market.seeds import generator, key
from engine.sandbox.market.transactions import contribution_transaction, initialize_fund_transaction

CONTRIBUTORS = 5
# A crash of 1,000 positions makes about 20 to 60 SOL of bad debt with an engine that keeps up, 700 to 1,100
# with one that comes eight seconds late, and up to 1,800 with one that returns to a position only when its
# last liquidation is final: the fund bears each of them. It is about 3 % of what is at stake.
FUND_LAMPORTS_PER_POSITION = 2 * LAMPORTS_PER_SOL
MIN_FUND_LAMPORTS = 200 * LAMPORTS_PER_SOL
MAX_FUND_LAMPORTS = 50_000_000 * LAMPORTS_PER_SOL


class FundNotFilled(Exception):
    """The program did not take the contributions."""


def fund_lamports(positions: int, population: PopulationSettings) -> int:
    """What the insurance fund should hold: by the number of positions, and by their size beside the usual."""
    size = _mean_usd(population.size) / _mean_usd(SizeDistribution())
    wanted = round(positions * FUND_LAMPORTS_PER_POSITION * size)
    return min(MAX_FUND_LAMPORTS, max(MIN_FUND_LAMPORTS, wanted))


def _mean_usd(size: SizeDistribution) -> float:
    """The mean of the log-normal distribution, without regard to its lower limit."""
    return min(size.highest_usd, size.median_usd * math.exp(size.sigma**2 / 2))


class Contributors:
    """The contributors of one seed; together they give about `wanted_lamports`, in unequal whole SOL."""

    def __init__(self, ledger: Ledger, seed: int, program_id: Pubkey, wanted_lamports: int) -> None:
        self._ledger = ledger
        self._program_id = program_id
        self._keys = [key(seed, f"contributor {number}") for number in range(CONTRIBUTORS)]
        shares = [generator(seed, f"contribution {n}").randint(50, 150) for n in range(CONTRIBUTORS)]
        unit = sum(shares) * LAMPORTS_PER_SOL
        self._lamports = [-(-wanted_lamports * share // unit) * LAMPORTS_PER_SOL for share in shares]

    def endow(self) -> None:
        """Give each what it will contribute, and a SOL more for fees and rent."""
        for contributor, lamports in zip(self._keys, self._lamports, strict=True):
            account = Account(lamports + LAMPORTS_PER_SOL, b"", SYSTEM_PROGRAM)
            self._ledger.set_account(contributor.pubkey(), account)

    def contribute(self, blockhash: Hash) -> None:
        """Create the fund and fill it; raises FundNotFilled when it does not hold everything then."""
        self._submit(initialize_fund_transaction(self._keys[0], blockhash, self._program_id))
        for contributor, lamports in zip(self._keys, self._lamports, strict=True):
            self._submit(self._contribution(contributor, lamports, blockhash))
        fund = self._ledger.account(insurance_fund_address(self._program_id))
        if fund is None or fund.lamports < sum(self._lamports):
            raise FundNotFilled

    def _contribution(self, contributor: Keypair, lamports: int, blockhash: Hash) -> bytes:
        return contribution_transaction(contributor, lamports, blockhash, self._program_id)

    def _submit(self, raw: bytes) -> None:
        self._ledger.submit(raw, skip_preflight=True)
