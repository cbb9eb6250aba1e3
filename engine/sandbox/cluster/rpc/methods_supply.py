"""RPC methods about lamports as a whole: supply, the largest accounts, inflation, staking."""

from __future__ import annotations

from enum import StrEnum

from solders.pubkey import Pubkey

from engine.sandbox.cluster.blocks.banks import Bank, Commitment
from engine.sandbox.cluster.ledger.machine import SLOTS_PER_EPOCH
from engine.sandbox.cluster.ledger.view import View
from engine.sandbox.cluster.rpc.methods_chain import with_context
from engine.sandbox.cluster.rpc.params import Params, parse_pubkey
from engine.sandbox.cluster.rpc_errors import block_cleaned_up, block_not_available

LARGEST_ACCOUNTS = 20
# For so many slots the largest accounts are not looked for again. Real nodes keep them for two hours.
LARGEST_ACCOUNTS_KEPT_SLOTS = 150
_MINIMUM_DELEGATION_FEATURE = Pubkey.from_string("9onWzzvCzNC2jfhxxeqRgs5q7nFAAKpCUvkj6T6GJK9i")
_RAISED_MINIMUM_DELEGATION_LAMPORTS = 1_000_000_000


class Circulation(StrEnum):
    """Which accounts getLargestAccounts looks at."""

    CIRCULATING = "circulating"
    NON_CIRCULATING = "nonCirculating"


class SupplyMethods:
    """Answers about lamports. None are locked up here: every account is in circulation."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._largest: dict[Commitment, tuple[Bank, list[object]]] = {}

    def get_supply(self, params: Params) -> object:
        """The sum over all accounts of a bank."""
        config = params.config(0, "RpcSupplyConfig")
        config.flag("excludeNonCirculatingAccountsList")
        bank = self._view.bank(config.commitment())
        total = self._view.ledger.total_lamports(bank.slot)
        value = {"total": total, "circulating": total, "nonCirculating": 0, "nonCirculatingAccounts": []}
        return with_context(bank, value)

    def get_largest_accounts(self, params: Params) -> object:
        """The 20 accounts with the most lamports, the largest first; remembered for about a minute."""
        config = params.config(0, "RpcLargestAccountsConfig")
        wanted = config.words("filter", Circulation, Circulation.CIRCULATING)
        config.flag("sortResults")
        commitment = config.commitment()
        bank = self._view.bank(commitment)
        if wanted is Circulation.NON_CIRCULATING:
            return with_context(bank, [])
        known = self._largest.get(commitment)
        if known is None or not 0 <= bank.slot - known[0].slot <= LARGEST_ACCOUNTS_KEPT_SLOTS:
            found = self._view.ledger.largest_accounts(LARGEST_ACCOUNTS, bank.slot)
            listed: list[object] = [
                {"address": str(address), "lamports": lamports} for address, lamports in found
            ]
            known = self._largest[commitment] = (bank, listed)
        return with_context(*known)

    def get_inflation_governor(self, params: Params) -> object:
        """No lamports are ever made."""
        params.commitment(0)
        return {"foundation": 0.0, "foundationTerm": 0.0, "initial": 0.0, "taper": 0.0, "terminal": 0.0}

    def get_inflation_rate(self, _params: Params) -> object:
        """No lamports are made in this epoch either."""
        epoch = self._view.bank(Commitment.FINALIZED).slot // SLOTS_PER_EPOCH
        return {"epoch": epoch, "foundation": 0.0, "total": 0.0, "validator": 0.0}

    def get_inflation_reward(self, params: Params) -> object:
        """null for each address, once the epoch is over and its rewards would have been paid."""
        addresses = [parse_pubkey(text) for text in params.sequence(0)]
        config = params.config(1, "RpcEpochConfig")
        bank = config.bank(self._view, config.at_least_confirmed())
        epoch = config.integer("epoch")
        if epoch is None:
            epoch = max(bank.slot // SLOTS_PER_EPOCH - 1, 0)
        paid_in = (epoch + 1) * SLOTS_PER_EPOCH
        first_available = self._view.ledger.first_available_slot
        if paid_in < first_available:
            raise block_cleaned_up(paid_in, first_available)
        if paid_in > bank.slot:
            raise block_not_available(paid_in)
        return [None] * len(addresses)

    def get_stake_minimum_delegation(self, params: Params) -> object:
        """What the stake program asks for by the features that are active."""
        bank = params.config(0).bank(self._view)
        raised = self._view.account_at(_MINIMUM_DELEGATION_FEATURE, bank.slot) is not None
        return with_context(bank, _RAISED_MINIMUM_DELEGATION_LAMPORTS if raised else 1)
