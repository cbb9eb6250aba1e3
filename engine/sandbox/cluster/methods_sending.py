"""RPC methods that take transactions in, run them without keeping anything, and say what they cost."""

from __future__ import annotations

import base64
import binascii
from functools import partial

from solders.message import Message, MessageV0, from_bytes_versioned

from engine.sandbox.cluster.banks import Commitment
from engine.sandbox.cluster.encoding import AccountEncoding, base58_decode
from engine.sandbox.cluster.leader import Leader
from engine.sandbox.cluster.methods_chain import check_health, with_context
from engine.sandbox.cluster.params import Params, parse_hash, parse_pubkey, parse_word
from engine.sandbox.cluster.preflight import signature_verification_failure
from engine.sandbox.cluster.rpc_errors import RpcError, invalid_params
from engine.sandbox.cluster.simulation_json import AccountOf, accounts_after_json, simulation_json
from engine.sandbox.cluster.transaction_accounts import accounts_of
from engine.sandbox.cluster.transaction_json import TransactionEncoding
from engine.sandbox.cluster.view import View
from engine.sandbox.cluster.wire_transaction import (
    MAX_TRANSACTION_BYTES,
    RUST_TYPE,
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
        replacement = None
        check_signatures, with_inner = config.flag("sigVerify"), config.flag("innerInstructions")
        wanted = config.nested("accounts", "RpcSimulateTransactionAccountsConfig", required=("addresses",))
        if config.flag("replaceRecentBlockhash"):
            if check_signatures:
                raise invalid_params("sigVerify may not be used with replaceRecentBlockhash")
            replacement = self._view.latest_blockhash(bank)
            transaction = transaction.with_blockhash(replacement.value)
        if check_signatures and not transaction.has_valid_signatures():
            raise signature_verification_failure()
        simulation = self._view.ledger.simulate(transaction, bank, replayable=replacement is not None)
        account_of: AccountOf = partial(self._view.account_at, slot=bank.slot)
        value = simulation_json(
            simulation,
            transaction,
            account_of,
            with_inner_instructions=with_inner,
            replacement=replacement,
        )
        if wanted is not None:
            encoding = parse_word(wanted.raw("encoding") or "base64", AccountEncoding)
            if encoding in (AccountEncoding.BINARY, AccountEncoding.BASE58):
                raise invalid_params("base58 encoding not supported")
            addresses = Params([wanted.raw("addresses")]).sequence(0)
            count = len(accounts_of(transaction.message, account_of).every)
            if len(addresses) > count:
                raise invalid_params(f"Too many accounts provided; max {count}")
            keys = [parse_pubkey(text) for text in addresses]
            value["accounts"] = accounts_after_json(simulation, keys, encoding, account_of)
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
        if not isinstance(message, Message | MessageV0) or not self._view.accepts_blockhash(
            bank, message.recent_blockhash
        ):
            return with_context(bank, None)
        return with_context(bank, self._view.ledger.fee_lamports(message) or None)


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
