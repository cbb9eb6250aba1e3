"""Walks the way from a queued position to the bytes of a request, with a key and a journal of its own.

Nothing of it can leave or last: the key was made for it and owns nothing, the journal is in memory and each
record is taken back, and the request is written to nobody.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace

from solders.hash import Hash
from solders.pubkey import Pubkey
from solders.signature import Signature

from engine.chain.keepalive import NodeConnections
from engine.chain.port import FreshBlockhash
from engine.chain.sender import request_body
from engine.domain import Action, Intent, Position, Price
from engine.journal import schema, work
from engine.liquidation import decision_record
from engine.liquidation.decide import decide
from engine.liquidation.transaction import TransactionBuilder
from engine.protocol.addresses import SOL_USD
from engine.protocol.compute import MAX_COMPUTE_UNITS
from engine.wallet.secret import SecretKey
from engine.wallet.signer import KeypairSigner

_NOWHERE = "http://127.0.0.1/"
_BLOCKHASH = FreshBlockhash(Hash.default(), 0)  # no block has it: no transaction with it is valid anywhere


class DepartureRehearsal:
    """Decides on a position, signs, records and asks, all of it for nothing."""

    def __init__(self, program_id: Pubkey) -> None:
        self._builder = TransactionBuilder(
            KeypairSigner(SecretKey.new(), "made for rehearsals"), program_id, SOL_USD
        )
        self._node = NodeConnections(_NOWHERE, most=1)  # opens nothing by itself
        self._records = sqlite3.connect(":memory:", isolation_level=None)
        self._records.executescript(schema.TABLES)
        self.departed = 0

    def walk(self, position: Position, price: Price) -> Iterator[bytes]:
        """Step by step, for whoever has to give way in between; the position has to be liquidatable.

        Yields the transaction when it is signed and when it is recorded, and at last the request that would
        be sent, were it for the engine.
        """
        decision = decide(position, price)
        signed = self._builder.build(
            decision,
            SOL_USD,
            _BLOCKHASH,
            compute_unit_limit=MAX_COMPUTE_UNITS,
            priority_fee_microlamports=0,
        )
        yield signed.raw
        intent = replace(
            _INTENT,
            signature=signed.signature,
            position=position.address,
            owner=position.owner,
            action=decision.action,
            amount_e6=decision.amount_e6,
            raw_transaction=signed.raw,
            decision_json=decision_record.encode(decision),
        )
        self._record(intent)
        yield signed.raw
        self.departed += 1
        yield self._node.request(request_body(signed.raw))

    def records_kept(self) -> int:
        """How many records are left of all that was walked: none."""
        (count,) = self._records.execute("SELECT count(*) FROM outbox").fetchone()
        return int(count)

    def _record(self, intent: Intent) -> None:
        self._records.execute("BEGIN")
        work.write_intents(self._records, [intent])
        self._records.execute("ROLLBACK")


_INTENT = Intent(
    signature=Signature.default(),
    position=Pubkey.default(),
    owner=Pubkey.default(),
    symbol=SOL_USD.symbol,
    action=Action.FULL,
    amount_e6=0,
    attempt=1,
    liquidation_id="rehearsed",
    raw_transaction=b"",
    blockhash=str(_BLOCKHASH.value),
    last_valid_block_height=_BLOCKHASH.last_valid_block_height,
    compute_unit_limit=MAX_COMPUTE_UNITS,
    priority_fee_microlamports=0,
    detected_at_ns=0,
    created_at_ns=0,
    decision_json="",
)
