"""A cluster in plain Python: slots, blocks that may be abandoned, blockhashes that expire, landing.

It is scaled in time, so that minutes fit into seconds: a blockhash lives for 24 blocks instead of 150, and a
block is final after 8 instead of 31. Everything else is as on Solana, the program's arithmetic included.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from random import Random

from solders.hash import Hash
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from engine.protocol.addresses import PROGRAM_ID
from engine.protocol.instructions import read_liquidation
from engine.protocol.program_errors import error_name
from sim.program import Account, Effect, Refused, liquidate
from sim.swarm import Plan
from sim.timeline import START_S, Timeline

SLOT_S = 0.4
VALID_BLOCKS = 24
CONFIRMED_BLOCKS = 2
FINAL_BLOCKS = 8
BASE_FEE_LAMPORTS = 5_000
ORDINARY_UNITS = 7_700
RENT_EXEMPT_LAMPORTS = 890_880  # of an account without data: no fee may leave less


@dataclass(frozen=True, slots=True)
class Liquidation:
    """A liquidation transaction as its bytes say."""

    signature: Signature
    raw: bytes
    keys: list[Pubkey]
    blockhash: Hash
    position: Pubkey
    price_account: Pubkey
    sol_account: Pubkey
    amount_e6: int | None
    unit_limit: int
    unit_price_microlamports: int

    @property
    def fee_lamports(self) -> int:
        """What it costs when it lands."""
        return BASE_FEE_LAMPORTS + -(-self.unit_price_microlamports * self.unit_limit // 10**6)


@dataclass(frozen=True, slots=True)
class Landed:
    """A transaction of the engine's wallet in a block; `effect` is None when it failed."""

    transaction: Liquidation
    slot: int
    time_s: int
    fault: object  # as JSON, None for success
    effect: Effect | None
    logs: list[str]
    units: int
    pre_lamports: list[int]
    post_lamports: list[int]


@dataclass(slots=True)
class Block:
    """What one leader made."""

    slot: int
    parent_slot: int
    height: int
    blockhash: Hash
    changed: list[Pubkey] = field(default_factory=list)
    landed: list[Landed] = field(default_factory=list)


@dataclass(slots=True)
class _Waiting:
    """A transaction with a leader; it is tried at this slot."""

    transaction: Liquidation
    slot: int


class Cluster:
    """The chain as it is, seen by nobody but the observer; nodes show views of it."""

    def __init__(self, plan: Plan, random: Random, timeline: Timeline, wallet: Pubkey, fund: Pubkey) -> None:
        self._plan = plan
        self._random = random
        self._timeline = timeline
        self.wallet = wallet
        self.fund = fund
        self.slot = 1_000
        self.blocks: list[Block] = []
        self.landed: dict[Signature, Landed] = {}
        self.versions: dict[Pubkey, list[tuple[int, Account]]] = {}
        self.positions: list[Pubkey] = []
        self.is_calm = False
        self.count: Callable[[str], None] = lambda name: None
        self.on_landed: Callable[[Landed], None] = lambda landed: None
        self.on_block: Callable[[], None] = lambda: None
        self._heights: dict[Hash, int] = {}
        self._parsed: dict[bytes, Liquidation | None] = {}
        self._waiting: list[_Waiting] = []
        self._halted_slots = 0
        self._final = 0  # the newest block that is final: it never goes back
        self._make_block()

    def begin(self) -> None:
        """What was written so far is final."""
        for _ in range(FINAL_BLOCKS + 1):
            self._make_block()

    # --- views ---

    @property
    def tip(self) -> Block:
        """The newest block."""
        return self.blocks[-1]

    def block_at(self, slot: int, depth: int = 0) -> Block:
        """The newest block that is not after this slot, or the one so many before it."""
        index = len(self.blocks) - 1
        while index > 0 and self.blocks[index].slot > slot:
            index -= 1
        behind = len(self.blocks) - 1 - index
        first_open = self._final if depth == FINAL_BLOCKS else 0
        return self.blocks[max(0, index - depth, first_open - behind)]

    @property
    def final(self) -> Block:
        """The newest block that cannot be abandoned any more."""
        return self.blocks[self._final]

    def read(self, address: Pubkey, slot: int) -> Account | None:
        """An account as it was after this slot."""
        for changed_slot, account in reversed(self.versions.get(address, ())):
            if changed_slot <= slot:
                return account if account.lamports else None
        return None

    def now_s(self) -> int:
        """The chain's clock: seconds of the Unix clock."""
        return START_S + int(self._timeline.now_s)

    def is_dead(self, transaction: Liquidation) -> bool:
        """Whether it has not landed and never can: the truth, not what a node says."""
        issued = self._heights.get(transaction.blockhash, 0)
        return transaction.signature not in self.landed and self.final.height > issued + VALID_BLOCKS

    def is_final(self, signature: Signature) -> bool:
        """Whether it is in a block that cannot be abandoned."""
        landed = self.landed.get(signature)
        return landed is not None and landed.slot <= self.final.slot

    # --- what is written ---

    def write(self, address: Pubkey, account: Account) -> None:
        """The account is so from the current block on."""
        versions = self.versions.setdefault(address, [])
        if versions and versions[-1][0] == self.slot:
            versions[-1] = (self.slot, account)
        else:
            versions.append((self.slot, account))
            if self.blocks:
                self.tip.changed.append(address)

    def current(self, address: Pubkey) -> Account | None:
        """The account as it is now."""
        return self.read(address, self.slot)

    # --- time ---

    def advance(self) -> bool:
        """The next slot; False when it has no block."""
        self.slot += 1
        if self._halted_slots:
            self._halted_slots -= 1
            return False
        if not self.is_calm and self._draw("chain stands still", 0.02):
            self._halted_slots = self._random.randint(5, 25)
            return False
        if not self.is_calm and self._draw("slots are skipped", 0.3):
            return False
        if not self.is_calm and self._draw("blocks are abandoned", 0.12):
            self._abandon(self._random.randint(1, CONFIRMED_BLOCKS))
        if not self.is_calm and self._draw("confirmed blocks are abandoned", 0.04):
            self._abandon(self._random.randint(CONFIRMED_BLOCKS + 1, FINAL_BLOCKS - 1))
        self._make_block()
        self.on_block()
        self._land()
        return True

    def _draw(self, kind: str, most: float) -> bool:
        intensity = self._plan.intensity(kind)
        if not intensity or self._random.random() >= intensity * most:
            return False
        self.count(kind)
        return True

    def _make_block(self) -> None:
        parent = self.blocks[-1] if self.blocks else None
        if parent is not None and parent.slot >= self.slot:
            self.slot += 1
        seed = f"{self.slot}/{parent.blockhash if parent else ''}".encode()
        block = Block(
            slot=self.slot,
            parent_slot=parent.slot if parent else self.slot - 1,
            height=parent.height + 1 if parent else self.slot - 60,
            blockhash=Hash.from_bytes(sha256(seed).digest()),
        )
        self._heights[block.blockhash] = block.height
        self.blocks.append(block)
        self._final = max(self._final, len(self.blocks) - 1 - FINAL_BLOCKS)

    def _abandon(self, count: int) -> None:
        """The last blocks turn out to be on a fork that nobody goes on with."""
        count = min(count, len(self.blocks) - 1 - self._final)
        for _ in range(count):
            block = self.blocks.pop()
            del self._heights[block.blockhash]
            for address in block.changed:
                versions = self.versions[address]
                while versions and versions[-1][0] >= block.slot:
                    versions.pop()
            for landed in block.landed:
                del self.landed[landed.transaction.signature]
                self.count("a landed transaction was taken back")
                if self._random.random() < 0.5:
                    self._wait(landed.transaction, self._random.randint(1, 4))
        self._timeline.note(f"fork to {self.tip.slot}")

    # --- transactions ---

    def parse(self, raw: bytes) -> Liquidation | None:
        """The liquidation in these bytes, None when they are none."""
        if raw not in self._parsed:
            self._parsed[raw] = _parse(raw)
        return self._parsed[raw]

    def receive(self, raw: bytes) -> None:
        """A node passes a transaction on to the leaders."""
        transaction = self.parse(raw)
        if transaction is None or (not self.is_calm and self._draw("sends get lost", 0.9)):
            return
        if not self.is_calm and self._draw("landing is late", 0.8):
            issued = self._heights.get(transaction.blockhash, self.tip.height)
            left = issued + VALID_BLOCKS - self.tip.height
            self._wait(transaction, max(1, left - self._random.randint(0, 3)))
        elif not self.is_calm and self._draw("landing is slow", 0.9):
            self._wait(transaction, self._random.randint(3, 20))
        else:
            self._wait(transaction, self._random.randint(1, 2))

    def _wait(self, transaction: Liquidation, slots: int) -> None:
        self._waiting.append(_Waiting(transaction, self.slot + slots))

    def _land(self) -> None:
        due = [each for each in self._waiting if each.slot <= self.slot]
        if due:
            self._waiting = [each for each in self._waiting if each.slot > self.slot]
        for each in due:
            self._try(each.transaction)

    def _try(self, transaction: Liquidation) -> None:
        """What a leader does with it; one that is known, too old or not paid for leaves no trace."""
        issued = self._heights.get(transaction.blockhash)
        if transaction.signature in self.landed:
            self.count("the same bytes arrived again")
            return
        if issued is None or self.tip.height > issued + VALID_BLOCKS:
            self.count("a transaction came too late")
            return
        wallet = self.current(self.wallet)
        left = 0 if wallet is None else wallet.lamports - transaction.fee_lamports
        if wallet is None or left < 0 or 0 < left < RENT_EXEMPT_LAMPORTS:
            self.count("the wallet could not pay")
            return
        self._execute(transaction, wallet)

    def _execute(self, transaction: Liquidation, wallet: Account) -> None:
        before = {key: self.current(key) for key in transaction.keys}
        paid = replace(wallet, lamports=wallet.lamports - transaction.fee_lamports)
        self.write(self.wallet, paid)
        effect, fault, logs = None, None, [f"Program {PROGRAM_ID} invoke [1]"]
        scarce = not self.is_calm and self._draw("compute is scarce", 0.8)
        units = self._random.randint(150_000, 400_000) if scarce else ORDINARY_UNITS
        if units > transaction.unit_limit:
            units = transaction.unit_limit
            fault = {"InstructionError": [2, "ComputationalBudgetExceeded"]}
            logs.append(f"Program {PROGRAM_ID} failed: exceeded CUs meter at BPF instruction")
        else:
            try:
                effect = self._run(transaction)
                logs += [effect.log, f"Program {PROGRAM_ID} success"]
                gained = replace(paid, lamports=paid.lamports + effect.wallet_gains_lamports)
                self.write(self.wallet, gained)
            except Refused as refusal:
                fault = {"InstructionError": [2, {"Custom": refusal.code}]}
                logs += _complaint(refusal)
        after = {key: self.current(key) for key in transaction.keys}
        landed = Landed(
            transaction,
            self.slot,
            self.now_s(),
            fault,
            effect,
            logs,
            units,
            [_lamports(before[key]) for key in transaction.keys],
            [_lamports(after[key]) for key in transaction.keys],
        )
        self.landed[transaction.signature] = landed
        self.tip.landed.append(landed)
        self._timeline.note(f"landed {transaction.signature} in {self.slot} {fault}")
        self.on_landed(landed)

    def _run(self, transaction: Liquidation) -> Effect:
        effect = self._work_out(
            transaction.position,
            transaction.price_account,
            transaction.sol_account,
            transaction.amount_e6,
            self.wallet,
        )
        self.write(transaction.position, effect.position)
        self.write(self.fund, effect.fund)
        return effect

    def _work_out(
        self, position: Pubkey, price: Pubkey, sol: Pubkey, amount_e6: int | None, liquidator: Pubkey
    ) -> Effect:
        fund = self.current(self.fund)
        assert fund is not None
        accounts = (self.current(position), fund, self.current(price), self.current(sol))
        return liquidate(position, accounts, amount_e6, liquidator, self.now_s())

    def liquidate_as_rival(self, position: Pubkey, price: Pubkey, sol: Pubkey, rival: Pubkey) -> bool:
        """Somebody else liquidates the whole position, if the program lets them."""
        try:
            effect = self._work_out(position, price, sol, None, rival)
        except Refused:
            return False
        self.write(position, effect.position)
        self.write(self.fund, effect.fund)
        return True


def _complaint(refusal: Refused) -> list[str]:
    name = error_name(refusal.code)
    caused = f" caused by account: {refusal.account}." if refusal.account else " occurred."
    return [
        f"Program log: AnchorError{caused} Error Code: {name}. Error Number: {refusal.code}. "
        f"Error Message: {name}.",
        f"Program {PROGRAM_ID} failed: custom program error: {refusal.code:#x}",
    ]


def _lamports(account: Account | None) -> int:
    return 0 if account is None else account.lamports


def _parse(raw: bytes) -> Liquidation | None:
    transaction = VersionedTransaction.from_bytes(raw)
    message = transaction.message
    keys = list(message.account_keys)
    limit, price, call, accounts = 200_000, 0, None, []
    for instruction in message.instructions:
        data = bytes(instruction.data)
        if keys[instruction.program_id_index] == PROGRAM_ID:
            accounts = [keys[index] for index in bytes(instruction.accounts)]
            call = read_liquidation(data, accounts)
        elif data[:1] == b"\x02":
            limit = int.from_bytes(data[1:5], "little")
        elif data[:1] == b"\x03":
            price = int.from_bytes(data[1:9], "little")
    if call is None:
        return None
    return Liquidation(
        signature=transaction.signatures[0],
        raw=raw,
        keys=keys,
        blockhash=message.recent_blockhash,
        position=call.position,
        price_account=accounts[3],
        sol_account=accounts[4],
        amount_e6=call.amount_e6,
        unit_limit=limit,
        unit_price_microlamports=price,
    )
