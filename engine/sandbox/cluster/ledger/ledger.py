"""The cluster's ledger: the virtual machine, and everything that a validator keeps around it.

Synchronous, without I/O and for one thread; time comes from outside, slot by slot.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from solders.account import Account
from solders.hash import Hash
from solders.pubkey import Pubkey
from solders.signature import Signature

from engine.sandbox.cluster.blocks.accounts import AccountStates
from engine.sandbox.cluster.blocks.banks import Bank, Commitment
from engine.sandbox.cluster.blocks.blockhashes import MAX_AGE_BLOCKS, Blockhash, BlockhashTable
from engine.sandbox.cluster.blocks.chain import Block, Chain, Header
from engine.sandbox.cluster.blocks.genesis import Genesis
from engine.sandbox.cluster.blocks.history import LandedTransaction, TransactionHistory
from engine.sandbox.cluster.blocks.observer import LedgerObserver
from engine.sandbox.cluster.blocks.retention import Retention
from engine.sandbox.cluster.ledger.machine import CLOCK_SYSVAR, SLOT_HASHES_SYSVAR, Machine
from engine.sandbox.cluster.ledger.preflight import preflight_failure, signature_verification_failure
from engine.sandbox.cluster.ledger.runtime import Run, Runtime, Simulation
from engine.sandbox.cluster.rpc_errors import INTERNAL_ERROR, RpcError
from engine.sandbox.cluster.transactions.faucet import Faucet
from engine.sandbox.cluster.transactions.priority_fees import PriorityFees
from engine.sandbox.cluster.transactions.transaction_faults import Fault, fault_message
from engine.sandbox.cluster.transactions.wire_transaction import WireTransaction, decode_transaction

__all__ = ["Block", "Ledger", "LedgerObserver", "Simulation"]

SLOT_HASHES_KEPT = 512
_SYSVARS_OF_SLOTS = (CLOCK_SYSVAR, SLOT_HASHES_SYSVAR)


class Ledger:
    """A cluster of one validator. What is written before the first `advance_slot` belongs to its genesis."""

    def __init__(
        self, genesis: Genesis, now_s: Callable[[], float], retention: Retention | None = None
    ) -> None:
        self.genesis_hash = genesis.hash()
        self.validator = genesis.validator
        self.retention = retention or Retention()
        self.history = TransactionHistory(self.retention.transactions)
        self.priority_fees = PriorityFees()
        self.observers: list[LedgerObserver] = []
        self.dropped: Counter[str] = Counter()
        # Set by whoever drives the slots when they come no more; the node then says that it is not healthy.
        self.halted = False
        # The oldest slots whose accounts somebody still has to read, asked each slot.
        self.readers: list[Callable[[], int]] = []
        self.first_slot = genesis.first_slot
        self._now_s = now_s
        self._faucet = Faucet(genesis.faucet)
        self._machine = Machine()
        self._states = AccountStates(self._machine.account, self.retention.old_states)
        self._blockhashes = BlockhashTable(MAX_AGE_BLOCKS + self.retention.lag_slots)
        self._chain = Chain(genesis.depths, self.retention.blocks)
        self._runtime = Runtime(self._machine, self._states, self._blockhashes, self.history)
        self._first_available_slot = genesis.first_slot
        self._reached = {Commitment.CONFIRMED: 0, Commitment.FINALIZED: 0}
        self._at_genesis = True
        for address, account in self._machine.built_in_accounts():
            self._states.seed(address, None, account)
        self._open_first(genesis)
        # Empty blocks, so that every commitment level has a bank and a blockhash from the start.
        for _ in range(genesis.depths.finalized + 1):
            self._close_block()
            self._open_slot(self.slot + 1)
        self.set_account(genesis.faucet.pubkey(), Account(genesis.faucet_lamports, b"", Pubkey.default()))

    # --- where the chain stands ---

    @property
    def slot(self) -> int:
        """The open slot, in which transactions execute."""
        return self._bank.slot

    @property
    def block_height(self) -> int:
        """The height of the open slot's block."""
        return self._bank.block_height

    @property
    def unix_time_s(self) -> int:
        """The clock that programs see in the open slot."""
        return self._bank.unix_time_s

    @property
    def first_available_slot(self) -> int:
        """The oldest slot whose block and transactions are all kept."""
        return max(self._first_available_slot, self._chain.first_slot)

    @property
    def oldest_bank_slot(self) -> int:
        """The oldest slot as of which accounts can still be read."""
        return max(self._states.oldest_slot, self._chain.first_slot)

    def bank(self, commitment: Commitment, seen_slot: int | None = None) -> Bank:
        """The bank that a commitment level names, now or to a node that has seen slots up to `seen_slot`."""
        return self._chain.bank(commitment, seen_slot)

    def block_time_s(self, slot: int) -> int | None:
        """The unix time of a block, None when the slot has none."""
        header = self._chain.header(slot)
        return None if header is None else header.bank.unix_time_s

    def block(self, slot: int) -> Block | None:
        """The closed block of a slot, None when it has none or is forgotten."""
        header = self._chain.header(slot)
        if header is None or header.blockhash is None or slot < self.first_available_slot:
            return None
        bank = header.bank
        return Block(
            slot=slot,
            parent_slot=header.parent_slot,
            blockhash=header.blockhash,
            previous_blockhash=header.previous_blockhash,
            height=bank.block_height,
            time_s=bank.unix_time_s,
            transactions=self.history.in_slot(slot),
        )

    def blocks(self, first: int, last: int) -> list[int]:
        """The slots from `first` to `last`, both included, whose closed blocks are kept."""
        slots = self._chain.slots(max(first, self.first_available_slot), min(last, self.slot - 1))
        return list(slots)

    def transaction_count(self, slot: int) -> int:
        """How many transactions landed up to and including a slot, since the start."""
        return self.history.count_until(slot)

    def commitment_of(self, slot: int) -> Commitment:
        """How settled the bank of a slot is by now."""
        if slot <= self.bank(Commitment.FINALIZED).slot:
            return Commitment.FINALIZED
        if slot <= self.bank(Commitment.CONFIRMED).slot:
            return Commitment.CONFIRMED
        return Commitment.PROCESSED

    def latest_blockhash(self, bank: Bank) -> Blockhash:
        """The newest blockhash that a bank knows."""
        return self._blockhashes.latest_at(bank)

    def accepts_blockhash(self, bank: Bank, value: Hash) -> bool:
        """Whether a transaction that carries this hash could run in this bank."""
        return self._blockhashes.known_to(bank, value) is not None

    def refusal(self, transaction: WireTransaction) -> Fault | None:
        """Why a transaction can no longer land: too old, or landed already. None when it still can."""
        return self._runtime.refusal(transaction, self._bank)

    # --- accounts ---

    def account(self, address: Pubkey, commitment: Commitment = Commitment.PROCESSED) -> Account | None:
        """An account as the bank of a commitment level sees it; None when it does not exist there."""
        if commitment is Commitment.PROCESSED:
            return self._states.latest(address)
        return self._states.at(address, self.bank(commitment).slot)

    def account_at(self, address: Pubkey, slot: int) -> Account | None:
        """An account as the bank of a slot sees it; the slot must not be older than `oldest_bank_slot`."""
        return self._states.at(address, slot)

    def program_accounts(
        self, program_id: Pubkey, commitment: Commitment = Commitment.PROCESSED
    ) -> Iterator[tuple[Pubkey, Account]]:
        """Every account that a program owns, by ascending address; to be read before the next write."""
        return self._states.owned_by(program_id, self.bank(commitment).slot)

    def program_accounts_at(self, program_id: Pubkey, slot: int) -> Iterator[tuple[Pubkey, Account]]:
        """The same in the bank of a slot that is not older than `oldest_bank_slot`."""
        return self._states.owned_by(program_id, slot)

    def program_keys(self, program_id: Pubkey, slot: int) -> list[bytes]:
        """The addresses of a program's accounts in the bank of a slot, ascending, as bytes.

        What they are there can be read later, with `account_at`.
        """
        return self._states.keys_owned_by(program_id, slot)

    def accounts_at(self, slot: int) -> Iterator[tuple[Pubkey, Account]]:
        """Every account that the bank of a slot sees, in no order; to be read before the next write."""
        return self._states.every(slot)

    def total_lamports(self, slot: int) -> int:
        """The sum over all accounts that the bank of a slot sees."""
        return self._states.total_lamports(slot)

    def largest_accounts(self, count: int, slot: int) -> list[tuple[Pubkey, int]]:
        """The accounts with the most lamports in the bank of a slot, largest first, and how many they are."""
        return self._states.largest(count, slot)

    def accounts_changed_in(self, slot: int) -> Sequence[Pubkey]:
        """The accounts that changed in a slot that is not yet finalized."""
        return list(self._states.changed_in(slot))

    def rent_exempt_minimum_lamports(self, data_bytes: int) -> int:
        """The least balance that an account with that much data must hold."""
        return self._machine.rent_exempt_minimum_lamports(data_bytes)

    def set_account(self, address: Pubkey, account: Account) -> None:
        """Write an account as the cluster itself; zero lamports delete it. Subscribers are told."""
        self._overwrite(address, account if account.lamports > 0 else None)

    def add_program(self, program_id: Pubkey, elf: bytes) -> None:
        """Install a program; raises the loader's error when the file is not a valid one."""
        before = self._states.latest(program_id)
        self._machine.add_program(program_id, elf)
        self._record_write(program_id, before, self._states.latest(program_id))

    # --- transactions ---

    def submit(
        self,
        raw: bytes,
        *,
        skip_preflight: bool,
        preflight_commitment: Commitment = Commitment.PROCESSED,
    ) -> Signature:
        """Check a transaction's wire bytes as sendTransaction does, and execute it at once in the open slot.

        Raises TransactionRefused for what the node refuses to forward. As on a real node, one that passes (or
        skips) preflight and then cannot enter a block is lost without a word; `dropped` counts why.
        """
        transaction = decode_transaction(raw)
        if not skip_preflight:
            self.preflight(transaction, self.bank(preflight_commitment))
        self.execute(transaction, signatures_checked=not skip_preflight)
        return transaction.signature

    def preflight(self, transaction: WireTransaction, bank: Bank) -> None:
        """Raise TransactionRefused when a signature is wrong, or a simulation against the bank fails."""
        if not transaction.has_valid_signatures():
            raise signature_verification_failure()
        simulation = self.simulate(transaction, bank)
        if simulation.fault is not None:
            raise preflight_failure(simulation.fault, simulation.execution)

    def simulate(self, transaction: WireTransaction, bank: Bank, *, replayable: bool = False) -> Simulation:
        """Run a transaction against a bank, changing nothing and checking no signature.

        A `replayable` one skips the checks of blockhash and duplicates: the node itself chose its blockhash.
        """
        if not replayable:
            refusal = self._runtime.refusal(transaction, bank)
            if refusal is not None:
                return Simulation(bank, refusal, None)
        return self._runtime.simulate(transaction, bank, self._bank)

    def execute(
        self, transaction: WireTransaction, *, signatures_checked: bool, forced_fault: Fault | None = None
    ) -> LandedTransaction | None:
        """Run a transaction in the open slot; None when it cannot enter the block.

        With a `forced_fault` it lands with that error: its fee is taken, and nothing else happens.
        """
        refusal = self._runtime.refusal(transaction, self._bank, signatures_checked=signatures_checked)
        run = refusal or self._runtime.run(transaction, self._bank, forced_fault)
        if not isinstance(run, Run):
            self.dropped[str(run)] += 1
            return None
        after = run.after
        landed = LandedTransaction(
            signature=transaction.signature,
            slot=self.slot,
            block_time_s=self.unix_time_s,
            wire=transaction,
            accounts=run.accounts,
            fault=run.execution.fault,
            pre_balances=[_lamports(before) for before in run.before],
            post_balances=[
                _lamports(after.get(address, before))
                for address, before in zip(run.accounts.every, run.before, strict=True)
            ],
            metadata=run.execution.metadata,
            pre_token_balances=run.pre_token_balances,
            post_token_balances=run.post_token_balances,
        )
        self._record_landed(landed, run)
        return landed

    def airdrop_payment(self, address: Pubkey, lamports: int) -> WireTransaction:
        """A payment from the faucet, signed and not yet sent."""
        return self._faucet.payment(address, lamports, self.latest_blockhash(self._bank).value)

    def airdrop(self, address: Pubkey, lamports: int) -> Signature:
        """Send lamports from the faucet in the open slot; raises RpcError when it cannot pay."""
        landed = self.execute(self.airdrop_payment(address, lamports), signatures_checked=True)
        if landed is None:
            raise RpcError(INTERNAL_ERROR, "airdrop request failed: the faucet cannot pay the fee")
        if landed.fault is not None:
            raise RpcError(INTERNAL_ERROR, f"airdrop request failed: {fault_message(landed.fault)}")
        return landed.signature

    # --- time ---

    def advance_slot(self) -> None:
        """Close the open slot's block and open the next: a new blockhash; every commitment level moves."""
        self._advance_to(self.slot + 1)

    def skip_slot(self) -> None:
        """Close the open slot's block, let the next slot pass without one, and open the slot after it.

        Block heights fall one further behind slots.
        """
        self._advance_to(self.slot + 2)

    def abandon(self, slot: int) -> list[WireTransaction]:
        """Let the fork that begins with `slot` lose: every block from there on disappears with all it did.

        The cluster goes on in a new, higher slot, on top of the last block that is left, where the accounts
        are what they were then; subscribers are told so as changes of the new slot. Answers the transactions
        that were in those blocks, in order. Raises ValueError when one of the blocks is finalized.
        """
        last = self.slot
        self._chain.abandon(slot)
        changed = self._states.changed_after(slot - 1)
        restored = {address: self._states.at(address, slot - 1) for address in changed}
        gone = self.history.abandon(slot)
        self._blockhashes.abandon(slot)
        self.priority_fees.abandon(slot)
        for address, account in restored.items():
            self._states.seed(address, self._states.latest(address), account)
            self._machine.set_account(address, account)
        self._states.rewind(slot - 1)
        for observer in self.observers:
            observer.slots_abandoned(slot, last)
        self._open_slot(last + 1)
        self._tell_opened()
        for address, account in restored.items():
            if address not in _SYSVARS_OF_SLOTS:
                self._record_write(address, account, account)
        self._write_sysvars()
        return [landed.wire for landed in gone]

    # --- inside ---

    def _open_first(self, genesis: Genesis) -> None:
        self._bank = Bank(genesis.first_slot, genesis.first_block_height, int(self._now_s()))
        self._chain.append(Header(self._bank, genesis.first_slot - 1, self.genesis_hash))
        self.priority_fees.open_slot(genesis.first_slot)
        self._machine.enter_slot(self._bank, [])

    def _open_slot(self, slot: int) -> None:
        """Open a slot on top of the chain's newest block, which is closed."""
        parent = self._chain.tip
        assert parent.blockhash is not None, "a block builds on a closed one"
        # Block time never runs backwards, whatever the host's clock does.
        time_s = max(int(self._now_s()), parent.bank.unix_time_s)
        self._bank = Bank(slot, parent.bank.block_height + 1, time_s)
        self._chain.append(Header(self._bank, parent.bank.slot, parent.blockhash))
        self.priority_fees.open_slot(slot)
        self._sysvars_before = [self._states.latest(address) for address in _SYSVARS_OF_SLOTS]
        recent = [(block.slot, block.value) for block in self._blockhashes.recent(SLOT_HASHES_KEPT)]
        self._machine.enter_slot(self._bank, recent)

    def _close_block(self) -> None:
        header = self._chain.tip
        transactions = b"".join(bytes(landed.signature) for landed in self.history.in_slot(self.slot))
        content = bytes(header.previous_blockhash) + self.slot.to_bytes(8, "little") + transactions
        header.blockhash = Hash(hashlib.sha256(content).digest())
        self._blockhashes.register(header.blockhash, self._bank)

    def _advance_to(self, slot: int) -> None:
        self._at_genesis = False
        self._close_block()
        self._open_slot(slot)
        self._tell_opened()
        self._write_sysvars()
        for commitment, told in self._reached.items():
            reached = self.bank(commitment).slot
            for each in self._chain.slots(told + 1, reached) if told else [reached]:
                for observer in self.observers:
                    observer.bank_reached(commitment, each)
            self._reached[commitment] = max(told, reached)
        self._forget()

    def _tell_opened(self) -> None:
        root = self.bank(Commitment.FINALIZED).slot
        for observer in self.observers:
            observer.slot_opened(self.slot, self._chain.tip.parent_slot, root)

    def _write_sysvars(self) -> None:
        for address, before in zip(_SYSVARS_OF_SLOTS, self._sysvars_before, strict=True):
            self._record_write(address, before, self._states.latest(address))

    def _forget(self) -> None:
        root = self.bank(Commitment.FINALIZED).slot
        keep = self.retention.oldest_slot(self.slot, root, [reader() for reader in self.readers])
        self._states.forget_before(keep, sacrificed_before=root)
        self.history.settle(root)
        forgotten = self.history.forget_before(
            self._chain.first_slot, protected_slot=self._blockhashes.oldest_valid_slot
        )
        if forgotten is not None:
            self._first_available_slot = forgotten + 1

    def _overwrite(self, address: Pubkey, account: Account | None) -> None:
        before = self._states.latest(address)
        self._machine.set_account(address, account)
        self._record_write(address, before, account)

    def _record_write(self, address: Pubkey, before: Account | None, after: Account | None) -> None:
        if self._at_genesis:
            self._states.seed(address, before, after)
        else:
            self._states.write(address, before, after, self.slot)
        for observer in self.observers:
            observer.account_written(address, after, self.slot)

    def _record_landed(self, landed: LandedTransaction, run: Run) -> None:
        self.history.add(landed)
        self.priority_fees.landed(run.budget.unit_price, landed.accounts.writable)
        for observer in self.observers:
            observer.transaction_landed(landed)
        for address, before in zip(landed.accounts.every, run.before, strict=True):
            after = run.after.get(address, before)
            if after != before:
                self._record_write(address, before, after)


def _lamports(account: Account | None) -> int:
    return 0 if account is None else account.lamports
