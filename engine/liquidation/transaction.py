"""Builds and signs one liquidation transaction."""

from __future__ import annotations

from dataclasses import dataclass

from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.message import MessageV0, to_bytes_versioned
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from engine.chain.port import FreshBlockhash
from engine.domain import Action, Decision
from engine.protocol.addresses import Feed, insurance_fund_address
from engine.protocol.compute import MAX_COMPUTE_UNITS
from engine.protocol.instructions import liquidate
from engine.wallet.signer import Signer

_ONE_SIGNATURE = b"\x01"  # how many come before the message


@dataclass(frozen=True, slots=True)
class SignedLiquidation:
    """A signed transaction, not yet durable and not yet sent."""

    signature: Signature
    raw: bytes
    blockhash: str
    last_valid_block_height: int


class TransactionBuilder:
    """Signs liquidations of one program with one wallet; the addresses they share are computed once."""

    def __init__(self, signer: Signer, program_id: Pubkey, sol_feed: Feed) -> None:
        self._signer = signer
        self._program_id = program_id
        self._sol_feed = sol_feed
        self._fund = insurance_fund_address(program_id)

    @property
    def fund(self) -> Pubkey:
        """The insurance fund that every liquidation writes."""
        return self._fund

    def build(
        self,
        decision: Decision,
        feed: Feed,
        blockhash: FreshBlockhash,
        *,
        compute_unit_limit: int,
        priority_fee_microlamports: int,
    ) -> SignedLiquidation:
        """Sign the liquidation that a decision asks for; the decision must not be to hold."""
        message = to_bytes_versioned(
            self._message(decision, feed, blockhash, compute_unit_limit, priority_fee_microlamports)
        )
        signature = self._signer.sign_message(message)
        return SignedLiquidation(
            signature=signature,
            raw=b"".join((_ONE_SIGNATURE, bytes(signature), message)),
            blockhash=str(blockhash.value),
            last_valid_block_height=blockhash.last_valid_block_height,
        )

    def rehearsal(self, decision: Decision, feed: Feed, blockhash: FreshBlockhash) -> bytes:
        """The same liquidation with all the compute units there are and no signature: it cannot land."""
        message = self._message(decision, feed, blockhash, MAX_COMPUTE_UNITS, 0)
        return bytes(VersionedTransaction.populate(message, [Signature.default()]))

    def _message(
        self,
        decision: Decision,
        feed: Feed,
        blockhash: FreshBlockhash,
        compute_unit_limit: int,
        priority_fee_microlamports: int,
    ) -> MessageV0:
        if decision.action is Action.HOLD:
            raise ValueError("a decision to hold has no transaction")
        wallet = self._signer.address
        instructions = [
            set_compute_unit_limit(compute_unit_limit),
            set_compute_unit_price(priority_fee_microlamports),
            liquidate(
                decision.position.address,
                wallet,
                fund=self._fund,
                price_account=feed.account,
                sol_price_account=self._sol_feed.account,
                amount_e6=decision.amount_e6 if decision.action is Action.PARTIAL else None,
                program_id=self._program_id,
            ),
        ]
        return MessageV0.try_compile(wallet, instructions, [], blockhash.value)
