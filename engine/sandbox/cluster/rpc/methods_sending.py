"""RPC methods that take transactions in, run them without keeping anything, and say what they cost."""

from __future__ import annotations

import base64
import binascii
from functools import partial

from solders.message import Message, MessageV0, from_bytes_versioned
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import SanitizeError, VersionedTransaction

from engine.sandbox.cluster.blocks.banks import Bank, Commitment
from engine.sandbox.cluster.encoding import AccountEncoding, base58_decode
from engine.sandbox.cluster.ledger.leader import Leader
from engine.sandbox.cluster.ledger.preflight import signature_verification_failure
from engine.sandbox.cluster.ledger.view import View
from engine.sandbox.cluster.rpc.methods_chain import check_health, with_context
from engine.sandbox.cluster.rpc.params import Config, Params, parse_hash, parse_pubkey, parse_word
from engine.sandbox.cluster.rpc.simulation_json import accounts_after_json, simulation_json
from engine.sandbox.cluster.rpc.transaction_json import TransactionEncoding
from engine.sandbox.cluster.rpc_errors import RpcError, invalid_params
from engine.sandbox.cluster.transactions.compute_budget import fee_lamports
from engine.sandbox.cluster.transactions.nonces import advanced_nonce, holds
from engine.sandbox.cluster.transactions.transaction_accounts import accounts_of, lookup_fault
from engine.sandbox.cluster.transactions.transaction_faults import fault_message
from engine.sandbox.cluster.transactions.transaction_loading import AccountOf
from engine.sandbox.cluster.transactions.wire_transaction import (
    MAX_TRANSACTION_BYTES,
    RUST_TYPE,
    AnyMessage,
    decode_transaction,
)

MAX_BASE58_CHARACTERS = 1683
MAX_BASE64_CHARACTERS = 1644
_RUST_MESSAGE_TYPE = "solana_message::versions::VersionedMessage"


class SendingMethods:
    """The way in for transactions, and their rehearsal."""

    def __init__(self, view: View, leader: Leader) -> None:
        self._view = view
        self._leader = leader

    def send_transaction(self, params: Params) -> object:
        """Take a transaction in; answers its signature."""
        text, config = params.text(0), params.config(1, "RpcSendTransactionConfig")
        skip_preflight = config.flag("skipPreflight")
        commitment = config.commitment("preflightCommitment")
        # How often a node sends it on to leaders; here the leader has it at once.
        config.integer("maxRetries", "usize")
        raw = _wire_bytes(text, config.words("encoding", TransactionEncoding, TransactionEncoding.BASE58))
        bank = config.bank(self._view, Commitment.PROCESSED if skip_preflight else commitment)
        if not skip_preflight:
            check_health(self._view)
        signature = self._leader.take_in(
            raw, skip_preflight=skip_preflight, preflight_commitment=commitment, preflight_bank=bank
        )
        return str(signature)

    def request_airdrop(self, params: Params) -> object:
        """Lamports from the faucet, as a signed transfer; answers its signature."""
        address, lamports = params.pubkey(0), params.integer(1)
        config = params.config(2, "RpcRequestAirdropConfig")
        config.commitment()
        if "recentBlockhash" in config:
            # The faucet signs with the newest one, which lives longest.
            parse_hash(config.raw("recentBlockhash"))
        return str(self._leader.airdrop(address, lamports))

    def simulate_transaction(self, params: Params) -> object:
        """Run a transaction against a bank and answer what it would do."""
        text, config = params.text(0), params.config(1, "RpcSimulateTransactionConfig")
        raw = _wire_bytes(text, config.words("encoding", TransactionEncoding, TransactionEncoding.BASE58))
        transaction, bank = decode_transaction(raw), config.bank(self._view)
        account_of: AccountOf = partial(self._view.account_at, slot=bank.slot)
        replacement = None
        check_signatures, with_inner = config.flag("sigVerify"), config.flag("innerInstructions")
        wanted = _wanted_accounts(config)
        if config.flag("replaceRecentBlockhash"):
            if check_signatures:
                raise invalid_params("sigVerify may not be used with replaceRecentBlockhash")
            replacement = self._view.latest_blockhash(bank)
            transaction = transaction.with_blockhash(replacement.value)
        unresolved = lookup_fault(transaction.message, bank.slot, account_of)
        if unresolved is not None:
            raise invalid_params(f"invalid transaction: {fault_message(unresolved)}")
        if check_signatures and not transaction.has_valid_signatures():
            raise signature_verification_failure()
        simulation = self._view.ledger.simulate(transaction, bank, replayable=replacement is not None)
        value = simulation_json(
            simulation,
            transaction,
            account_of,
            with_inner_instructions=with_inner,
            replacement=replacement,
        )
        if wanted is not None:
            addresses, encoding = wanted
            count = len(accounts_of(transaction.message, account_of).every)
            if len(addresses) > count:
                raise invalid_params(f"Too many accounts provided; max {count}")
            value["accounts"] = accounts_after_json(simulation, addresses, encoding, account_of)
        return with_context(bank, value)

    def get_fee_for_message(self, params: Params) -> object:
        """The fee of a message in lamports, null when its blockhash is not known to the bank."""
        text, config = params.text(0), params.config(1)
        data = _base64_bytes(text, _RUST_MESSAGE_TYPE)
        try:
            message = from_bytes_versioned(data)
        except ValueError as error:
            raise invalid_params(f"failed to deserialize {_RUST_MESSAGE_TYPE}: {error}") from error
        bank = config.bank(self._view)
        if not isinstance(message, Message | MessageV0):
            raise invalid_params("invalid transaction message: Transaction version is unsupported")
        unsigned = [Signature.default()] * message.header.num_required_signatures
        try:
            VersionedTransaction.populate(message, unsigned).sanitize()
        except SanitizeError as error:
            raise invalid_params(f"invalid transaction message: {error}") from error
        return with_context(bank, fee_lamports(message) if self._accepts(message, bank) else None)

    def _accepts(self, message: AnyMessage, bank: Bank) -> bool:
        """Whether a bank knows the blockhash of a message, be it a recent one or a nonce's."""
        if self._view.accepts_blockhash(bank, message.recent_blockhash):
            return True
        nonce = advanced_nonce(message)
        if nonce is None:
            return False
        return holds(self._view.account_at(nonce.address, bank.slot), message.recent_blockhash)


def _wanted_accounts(config: Config) -> tuple[list[Pubkey], AccountEncoding] | None:
    """The accounts that a rehearsal shall show, and how; None when it shall show none."""
    wanted = config.nested("accounts", "RpcSimulateTransactionAccountsConfig", required=("addresses",))
    if wanted is None:
        return None
    encoding = parse_word(wanted.raw("encoding") or "base64", AccountEncoding)
    if encoding in (AccountEncoding.BINARY, AccountEncoding.BASE58):
        raise invalid_params("base58 encoding not supported")
    return [parse_pubkey(text) for text in Params([wanted.raw("addresses")]).sequence(0)], encoding


def _wire_bytes(text: str, encoding: TransactionEncoding) -> bytes:
    if encoding is TransactionEncoding.BASE64:
        return _base64_bytes(text, RUST_TYPE)
    if encoding is TransactionEncoding.BASE58 or encoding is TransactionEncoding.BINARY:
        if len(text) > MAX_BASE58_CHARACTERS:
            raise _encoded_too_large("base58", RUST_TYPE, len(text), MAX_BASE58_CHARACTERS)
        try:
            return base58_decode(text)
        except ValueError as error:
            raise invalid_params(f"invalid base58 encoding: {error}") from error
    raise invalid_params(f"unsupported encoding: {encoding}. Supported encodings: base58, base64")


def _base64_bytes(text: str, rust_type: str) -> bytes:
    if len(text) > MAX_BASE64_CHARACTERS:
        raise _encoded_too_large("base64", rust_type, len(text), MAX_BASE64_CHARACTERS)
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid_params(f"invalid base64 encoding: {error}") from error
    if len(data) > MAX_TRANSACTION_BYTES:
        raise invalid_params(
            f"decoded {rust_type} too large: {len(data)} bytes (max: {MAX_TRANSACTION_BYTES} bytes)"
        )
    return data


def _encoded_too_large(encoding: str, rust_type: str, length: int, most: int) -> RpcError:
    return invalid_params(
        f"{encoding} encoded {rust_type} too large: {length} bytes "
        f"(max: encoded/raw {most}/{MAX_TRANSACTION_BYTES})"
    )
