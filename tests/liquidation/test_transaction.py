"""The bytes of a liquidation: put together by hand, and the same transaction that Solana's own types make."""

from __future__ import annotations

from solders.hash import Hash
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from engine.chain.port import FreshBlockhash
from engine.domain import Action, Generation, Position, Price, Side, Verdict
from engine.liquidation.decide import decide
from engine.liquidation.transaction import TransactionBuilder
from engine.protocol.addresses import FEEDS, PROGRAM_ID
from engine.wallet.secret import SecretKey
from engine.wallet.signer import KeypairSigner

BLOCKHASH = FreshBlockhash(Hash(bytes(range(32))), 1_000)


def position_of(collateral_e6: int) -> Position:
    return Position(
        address=Pubkey.new_unique(),
        owner=Pubkey.new_unique(),
        symbol="BTC/USD",
        side=Side.LONG,
        size_e6=10**6,
        collateral_e6=collateral_e6,
        entry_price_e6=60_000 * 10**6,
        leverage=20,
        maintenance_margin_e6=0,
        is_liquidated=False,
        created_at_s=0,
        generation=Generation.DOCUMENTED,
        slot=1,
    )


def price_of(price_e6: int) -> Price:
    return Price(
        symbol="BTC/USD",
        price_e6=price_e6,
        conf_e6=0,
        raw_price=price_e6,
        exponent=-6,
        publish_time_s=0,
        slot=1,
        verdict=Verdict.OK,
    )


def test_the_bytes_are_a_transaction_that_the_wallet_alone_has_signed_and_pays():
    signer = KeypairSigner(SecretKey.new(), "a test")
    builder = TransactionBuilder(signer, PROGRAM_ID, FEEDS["SOL/USD"])
    actions = set[Action]()
    for collateral_e6 in (3_000 * 10**6, 4_200 * 10**6):  # in whole, and in part
        decision = decide(position_of(collateral_e6), price_of(57_000 * 10**6))
        signed = builder.build(
            decision, FEEDS["BTC/USD"], BLOCKHASH, compute_unit_limit=20_000, priority_fee_microlamports=5
        )
        transaction = VersionedTransaction.from_bytes(signed.raw)
        transaction.verify_and_hash_message()
        assert bytes(transaction) == signed.raw
        assert transaction.signatures == [signed.signature]
        assert isinstance(transaction.message, MessageV0)
        assert transaction.message.account_keys[0] == signer.address
        assert transaction.message.header.num_required_signatures == 1
        assert transaction.message.recent_blockhash == BLOCKHASH.value
        assert decision.position.address in transaction.message.account_keys
        actions.add(decision.action)
    assert actions == {Action.FULL, Action.PARTIAL}
