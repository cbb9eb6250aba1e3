"""Gives lamports of the engine's wallet to the insurance fund: rehearsed, made durable, sent, followed.

The rules of every transaction hold here too: durable before its bytes leave, through the one gated sender,
none after another until it is final. That it arrived is recorded by who reads the fund's history.
"""

from __future__ import annotations

import base64
from collections.abc import Callable

import msgspec
import structlog
from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from engine.chain.blockhash import BlockhashCache, NoFreshBlockhash
from engine.chain.fees import BASE_FEE_LAMPORTS, PriorityFees, priority_fee_lamports
from engine.chain.port import Chain, FreshBlockhash, Level, RpcFailure
from engine.clock import Clock
from engine.control import Gate, SendingStopped
from engine.errors import OperatorError
from engine.journal.errors import JournalUnavailable
from engine.journal.journal import Journal
from engine.liquidation.tracker import Wire
from engine.protocol.addresses import insurance_fund_address
from engine.protocol.instructions import contribute_to_insurance
from engine.telemetry.events import EventLog
from engine.telemetry.events import Level as EventLevel
from engine.wallet.signer import Signer

log = structlog.get_logger("fund")

NOTE = "contributions"
KEPT_SIGNATURES = 200
COMPUTE_UNITS = 60_000
LEFT_LAMPORTS = 50_000_000  # of the wallet: what liquidations need goes before what the fund may get
MOST_LAMPORTS = 2**63 - 1
FOLLOW_S = 1.5


class ContributionRefused(OperatorError):
    """It would not succeed, or may not be sent now; the message says why."""


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """One contribution whose end is not known yet, as the journal keeps it."""

    signature: str
    raw: str  # base64
    amount_lamports: int
    last_valid_block_height: int


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What the journal knows of contributions: the open one, and the last signatures."""

    open: Sent | None = None
    signatures: list[str] = []  # msgspec copies it


class Contributions:
    """At most one is open at a time. Belongs to the engine's event loop."""

    def __init__(
        self,
        *,
        chain: Chain,
        wire: Wire,
        signer: Signer,
        program_id: Pubkey,
        journal: Journal,
        gate: Gate,
        blockhashes: BlockhashCache,
        fees: PriorityFees,
        balance_lamports: Callable[[], int | None],
        events: EventLog,
        clock: Clock,
        is_dry_run: bool,
    ) -> None:
        self._chain = chain
        self._wire = wire
        self._signer = signer
        self._fund = insurance_fund_address(program_id)
        self._program_id = program_id
        self._journal = journal
        self._gate = gate
        self._blockhashes = blockhashes
        self._fees = fees
        self._balance_lamports = balance_lamports
        self._events = events
        self._clock = clock
        self._is_dry_run = is_dry_run
        self._is_busy = False
        self._may_repeat: Signature | None = None  # sent by this process, so that it may be sent again
        noted = journal.noted(NOTE)
        self._kept = Kept() if noted is None else msgspec.json.decode(noted, type=Kept)
        self._may_have_left = self._kept.open is not None  # another process may have sent it
        self._has_landed = False

    @property
    def open(self) -> Sent | None:
        """The one whose end is not known yet."""
        return self._kept.open

    @property
    def out_until(self) -> int | None:
        """The block height above which the open one cannot land, None when none is out. From any thread."""
        sent = self._kept.open
        if sent is None or not self._may_have_left or self._has_landed:
            return None
        return sent.last_valid_block_height

    def knows(self, signature: Signature) -> bool:
        """Whether it is one of the last contributions that left here."""
        return str(signature) in self._kept.signatures

    async def rehearse(self, amount_lamports: int) -> str:
        """What it would do, by a node's word; raises ContributionRefused."""
        self._check(amount_lamports)
        try:
            message, fee_lamports = self._message(amount_lamports, self._blockhashes.current())
            unsigned = bytes(VersionedTransaction.populate(message, [Signature.default()]))
            told = await self._chain.simulate(unsigned, [self._fund])
        except (NoFreshBlockhash, RpcFailure) as failure:
            raise ContributionRefused(f"Not rehearsed: {failure}: try again") from None
        if told.fault is not None:
            raise ContributionRefused(f"A node says that it would fail: {told.fault.name}: nothing was sent")
        after = f", which would then hold {told.accounts[0].lamports} lamports" if told.accounts else ""
        return (
            f"{amount_lamports} lamports ({amount_lamports / 1e9:.9f} SOL) of {self._signer.address} would "
            f"go to the insurance fund{after}; the fee is {fee_lamports} lamports"
        )

    async def send(self, amount_lamports: int) -> str:
        """Rehearse it, keep it, send it; raises ContributionRefused. `run` follows it to its end."""
        if self._is_dry_run:
            raise ContributionRefused("A dry run sends nothing: rehearse it only")
        if self._kept.open is not None or self._is_busy:
            raise ContributionRefused("Another contribution is not final yet: wait for its end")
        self._is_busy = True
        try:
            self._gate.check()
            await self.rehearse(amount_lamports)
            sent, raw = await self._keep(amount_lamports)
            await self._wire.send(raw, self._note_write)
        except SendingStopped as stopped:
            self._may_repeat = None  # what was kept is followed until it has expired
            raise ContributionRefused(f"Nothing was sent, it is stopped ({stopped}): resume first") from None
        except (JournalUnavailable, NoFreshBlockhash) as error:
            raise ContributionRefused(f"Nothing was sent: {error}") from None
        except RpcFailure as failure:
            # The bytes may have arrived all the same: it is followed to its end like one that was taken.
            named = self._open_signature()
            return f"No node has taken {named} yet ({failure}): it is sent again until it expires"
        finally:
            self._is_busy = False
        self._events.add(
            EventLevel.OURS, f"contribution of {amount_lamports} lamports sent: {sent.signature}"
        )
        return f"Sent {sent.signature}: {amount_lamports} lamports are on their way to the fund"

    async def run(self) -> None:
        """Follow the open one to its end; ends only by cancellation."""
        while True:
            if self._kept.open is not None and not self._is_busy:
                try:
                    await self._follow(self._kept.open)
                except (RpcFailure, JournalUnavailable) as failure:
                    log.warning("contribution not followed", reason=str(failure))
            await self._clock.sleep(FOLLOW_S)

    def _check(self, amount_lamports: int) -> None:
        balance = self._balance_lamports()
        if not 1 <= amount_lamports <= MOST_LAMPORTS:
            raise ContributionRefused(f"amount_lamports must be a whole number from 1 to {MOST_LAMPORTS}")
        if balance is None:
            raise ContributionRefused("The wallet's balance is not known yet: try again")
        if balance - amount_lamports < LEFT_LAMPORTS:
            raise ContributionRefused(
                f"The wallet holds {balance} lamports and keeps {LEFT_LAMPORTS} for fees: give less"
            )

    def _message(self, amount_lamports: int, blockhash: FreshBlockhash) -> tuple[MessageV0, int]:
        """The unsigned message, and its fee in lamports."""
        price = self._fees.choose_microlamports(value_e6=0, attempt=1, compute_unit_limit=COMPUTE_UNITS)
        instructions = [
            set_compute_unit_limit(COMPUTE_UNITS),
            set_compute_unit_price(price),
            contribute_to_insurance(self._signer.address, amount_lamports, self._program_id),
        ]
        message = MessageV0.try_compile(self._signer.address, instructions, [], blockhash.value)
        return message, BASE_FEE_LAMPORTS + priority_fee_lamports(price, COMPUTE_UNITS)

    async def _keep(self, amount_lamports: int) -> tuple[Sent, bytes]:
        """Sign it, and make it durable before anything leaves."""
        blockhash = self._blockhashes.current()
        message, _ = self._message(amount_lamports, blockhash)
        transaction = self._signer.sign_transaction(message)
        raw = bytes(transaction)
        sent = Sent(
            signature=str(transaction.signatures[0]),
            raw=base64.b64encode(raw).decode(),
            amount_lamports=amount_lamports,
            last_valid_block_height=blockhash.last_valid_block_height,
        )
        self._may_have_left = self._has_landed = False
        signatures = [*self._kept.signatures, sent.signature][-KEPT_SIGNATURES:]
        await self._note(Kept(open=sent, signatures=signatures))
        self._may_repeat = transaction.signatures[0]
        return sent, raw

    async def _follow(self, sent: Sent) -> None:
        signature = Signature.from_string(sent.signature)
        (status,) = await self._chain.statuses([signature], search_history=False)
        if status is None and await self._chain.block_height(Level.FINALIZED) > sent.last_valid_block_height:
            (status,) = await self._chain.statuses(
                [signature], search_history=True, above_height=sent.last_valid_block_height
            )
            if status is None:
                told = f"contribution {sent.signature} expired: nothing was given"
                await self._close(EventLevel.ATTENTION, told)
                return
        self._has_landed = status is not None
        if status is None:
            await self._send_again(signature, sent)
        elif status.level is Level.FINALIZED:
            failed = "" if status.fault is None else f" failed: {status.fault.name}"
            level = EventLevel.OURS if status.fault is None else EventLevel.ATTENTION
            await self._close(level, f"contribution {sent.signature} is final{failed}")

    async def _send_again(self, signature: Signature, sent: Sent) -> None:
        """The same bytes, unless another process sent them first: its operator is not asked again."""
        if signature != self._may_repeat:
            return
        try:
            await self._wire.send(base64.b64decode(sent.raw), self._note_write)
        except SendingStopped:
            return

    def _note_write(self, _: int) -> None:
        self._may_have_left = True

    async def _close(self, level: EventLevel, told: str) -> None:
        await self._note(Kept(open=None, signatures=self._kept.signatures))
        self._events.add(level, told)

    async def _note(self, kept: Kept) -> None:
        await self._journal.note(NOTE, msgspec.json.encode(kept).decode())
        self._kept = kept

    def _open_signature(self) -> str:
        return "nothing" if self._kept.open is None else self._kept.open.signature
