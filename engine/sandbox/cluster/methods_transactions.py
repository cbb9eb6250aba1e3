"""RPC methods that send, simulate and look up transactions."""

from __future__ import annotations

import base64
import binascii

import msgspec
from solders.message import Message, MessageV0, from_bytes_versioned

from engine.sandbox.cluster.banks import Bank, Commitment
from engine.sandbox.cluster.encoding import (
    AccountEncoding,
    base58_decode,
    optional_account_json,
    return_data_json,
)
from engine.sandbox.cluster.history import LandedTransaction
from engine.sandbox.cluster.leader import Leader
from engine.sandbox.cluster.ledger import Simulation
from engine.sandbox.cluster.methods_chain import with_context
from engine.sandbox.cluster.params import Config, Params, parse_pubkey, parse_signature, parse_word
from engine.sandbox.cluster.preflight import signature_verification_failure
from engine.sandbox.cluster.rpc_errors import (
    invalid_params,
    node_unhealthy,
    unsupported_transaction_version,
)
from engine.sandbox.cluster.transaction_accounts import accounts_of
from engine.sandbox.cluster.transaction_json import (
    TransactionEncoding,
    inner_instructions_json,
    memo_of,
    meta_json,
    status_json,
    transaction_json,
    version_of,
)
from engine.sandbox.cluster.view import View
from engine.sandbox.cluster.wire_transaction import (
    MAX_TRANSACTION_BYTES,
    RUST_TYPE,
    WireTransaction,
    decode_transaction,
)

MAX_BASE58_CHARACTERS = 1683
MAX_BASE64_CHARACTERS = 1644
MAX_SIGNATURE_STATUSES = 256
MAX_SIGNATURES_OF_ADDRESS = 1000
STATUS_CACHE_SLOTS = 300


class TransactionMethods:
    """Answers about transactions, and the way in for new ones."""

    def __init__(self, view: View, leader: Leader) -> None:
        self._view = view
        self._leader = leader

    # --- in ---

    def send_transaction(self, params: Params) -> object:
        """Take a transaction in; answers its signature."""
        text, config = params.text(0), params.config(1)
        raw = _wire_bytes(text, config.words("encoding", TransactionEncoding, TransactionEncoding.BASE58))
        config.integer("maxRetries")
        skip_preflight = config.flag("skipPreflight")
        commitment = Commitment.PROCESSED if skip_preflight else config.commitment("preflightCommitment")
        config.bank(self._view, commitment)
        if not self._view.healthy and not skip_preflight:
            raise node_unhealthy()
        signature = self._leader.take_in(raw, skip_preflight=skip_preflight, preflight_commitment=commitment)
        return str(signature)

    def request_airdrop(self, params: Params) -> object:
        """Lamports from the faucet, as a signed transfer; answers its signature."""
        return str(self._view.ledger.airdrop(params.pubkey(0), params.integer(1)))

    def simulate_transaction(self, params: Params) -> object:
        """Run a transaction against a bank and answer what it would do."""
        text, config = params.text(0), params.config(1)
        raw = _wire_bytes(text, config.words("encoding", TransactionEncoding, TransactionEncoding.BASE58))
        transaction = decode_transaction(raw)
        commitment = config.commitment()
        bank = config.bank(self._view, commitment)
        replacement = None
        if config.flag("replaceRecentBlockhash"):
            if config.flag("sigVerify"):
                raise invalid_params("sigVerify may not be used with replaceRecentBlockhash")
            replacement = self._view.latest_blockhash(bank)
            transaction = transaction.with_blockhash(replacement.value)
        if config.flag("sigVerify") and not transaction.has_valid_signatures():
            raise signature_verification_failure()
        simulation = self._view.ledger.simulate(transaction, bank, replayable=replacement is not None)
        value = self._simulation_json(simulation, transaction, config)
        value["replacementBlockhash"] = (
            None
            if replacement is None
            else {
                "blockhash": str(replacement.value),
                "lastValidBlockHeight": replacement.last_valid_block_height,
            }
        )
        return with_context(bank, value)

    def get_fee_for_message(self, params: Params) -> object:
        """The fee of a message in lamports, null when its blockhash is not known to the bank."""
        text, config = params.text(0), params.config(1)
        try:
            message = from_bytes_versioned(base64.b64decode(text, validate=True))
        except (binascii.Error, ValueError) as error:
            raise invalid_params(f"failed to deserialize message: {error}") from error
        bank = config.bank(self._view)
        if not isinstance(message, Message | MessageV0) or not self._view.accepts_blockhash(
            bank, message.recent_blockhash
        ):
            return with_context(bank, None)
        return with_context(bank, self._view.ledger.fee_lamports(message) or None)

    # --- out ---

    def get_signature_statuses(self, params: Params) -> object:
        """Where each signature stands; null for unknown ones, and for old ones unless history is searched."""
        signatures = [parse_signature(text) for text in params.sequence(0, MAX_SIGNATURE_STATUSES)]
        search_history = params.config(1).flag("searchTransactionHistory")
        oldest = 0 if search_history else self._view.slot - STATUS_CACHE_SLOTS
        found = (self._view.landed(signature) for signature in signatures)
        statuses = [
            None if landed is None or landed.slot < oldest else self._status_json(landed) for landed in found
        ]
        return with_context(self._view.bank(Commitment.PROCESSED), statuses)

    def get_signatures_for_address(self, params: Params) -> object:
        """Transactions that name an address, newest first."""
        address, config = params.pubkey(0), params.config(1)
        bank = config.bank(self._view, _at_least_confirmed(config))
        limit = config.integer("limit")
        if limit is not None and not 1 <= limit <= MAX_SIGNATURES_OF_ADDRESS:
            raise invalid_params(f"Invalid limit; max {MAX_SIGNATURES_OF_ADDRESS}")
        before = parse_signature(config.raw("before")) if "before" in config else None
        until = parse_signature(config.raw("until")) if "until" in config else None
        listed: list[object] = []
        waiting = before is not None and before in self._view.ledger.history
        for landed in reversed(self._view.ledger.history.naming(address)):
            if landed.signature == until or len(listed) == (limit or MAX_SIGNATURES_OF_ADDRESS):
                break
            if not waiting and landed.slot <= bank.slot:
                listed.append(self._listed_json(landed))
            waiting = waiting and landed.signature != before
        return listed

    def get_transaction(self, params: Params) -> object:
        """A landed transaction with what it did, null when unknown at the asked commitment."""
        signature = params.signature(0)
        # The old form names the encoding alone.
        second = params.raw(1) if len(params) > 1 else None
        config = Config({"encoding": second}) if isinstance(second, str) else params.config(1)
        encoding = config.words("encoding", TransactionEncoding, TransactionEncoding.JSON)
        bank = config.bank(self._view, _at_least_confirmed(config))
        landed = self._view.landed(signature)
        if landed is None or landed.slot > bank.slot:
            return None
        version = version_of(landed.wire.message)
        understood = config.integer("maxSupportedTransactionVersion")
        if isinstance(version, int) and (understood is None or understood < version):
            raise unsupported_transaction_version(version)
        shown: dict[str, object] = {
            "slot": landed.slot,
            "blockTime": landed.block_time_s,
            "meta": meta_json(landed, encoding),
            "transaction": transaction_json(landed, encoding),
        }
        if understood is not None:
            shown["version"] = version
        return shown

    # --- shapes ---

    def _status_json(self, landed: LandedTransaction) -> dict[str, object]:
        level = self._view.commitment_of(landed.slot)
        return {
            "slot": landed.slot,
            "confirmations": None if level is Commitment.FINALIZED else self._view.slot - landed.slot,
            "err": landed.fault,
            "status": status_json(landed.fault),
            "confirmationStatus": level,
        }

    def _listed_json(self, landed: LandedTransaction) -> dict[str, object]:
        return {
            "signature": str(landed.signature),
            "slot": landed.slot,
            "err": landed.fault,
            "memo": memo_of(landed),
            "blockTime": landed.block_time_s,
            "confirmationStatus": self._view.commitment_of(landed.slot),
        }

    def _simulation_json(
        self, simulation: Simulation, transaction: WireTransaction, config: Config
    ) -> dict[str, object]:
        execution = simulation.execution
        metadata = None if execution is None or not execution.executed else execution.metadata
        inner = None
        if metadata is not None and config.flag("innerInstructions"):
            keys = accounts_of(
                transaction.message, lambda key: self._view.account_at(key, simulation.bank.slot)
            ).every
            inner = inner_instructions_json(metadata, keys, TransactionEncoding.JSON_PARSED)
        return {
            "accounts": self._post_accounts_json(simulation, transaction, config.raw("accounts")),
            "err": simulation.fault,
            "innerInstructions": inner,
            "logs": [] if metadata is None else metadata.logs(),
            "returnData": None if metadata is None else return_data_json(metadata),
            "unitsConsumed": 0 if metadata is None else metadata.compute_units_consumed(),
        }

    def _post_accounts_json(
        self, simulation: Simulation, transaction: WireTransaction, wanted: object
    ) -> list[msgspec.Raw] | None:
        if wanted is None:
            return None
        if not isinstance(wanted, dict) or not isinstance(wanted.get("addresses"), list):
            raise invalid_params("Invalid params: accounts: missing field `addresses`.")
        encoding = parse_word(wanted.get("encoding") or "base64", AccountEncoding)
        if encoding in (AccountEncoding.BINARY, AccountEncoding.BASE58):
            raise invalid_params("base58 encoding not supported")
        bank: Bank = simulation.bank
        count = len(accounts_of(transaction.message, lambda key: self._view.account_at(key, bank.slot)).every)
        if len(wanted["addresses"]) > count:
            raise invalid_params(f"Too many accounts provided; max {count}")
        addresses = [parse_pubkey(text) for text in wanted["addresses"]]
        if simulation.fault is not None or simulation.execution is None:
            return [msgspec.Raw(b"null") for _ in addresses]
        after = simulation.execution.post_accounts
        accounts = [after.get(address) or self._view.account_at(address, bank.slot) for address in addresses]
        return [optional_account_json(account, encoding, None) for account in accounts]


def _at_least_confirmed(config: Config) -> Commitment:
    commitment = config.commitment()
    if commitment is Commitment.PROCESSED:
        raise invalid_params("Method does not support commitment below `confirmed`")
    return commitment


def _wire_bytes(text: str, encoding: TransactionEncoding) -> bytes:
    if encoding is TransactionEncoding.BASE64:
        if len(text) > MAX_BASE64_CHARACTERS:
            raise _encoded_too_large("base64", len(text), MAX_BASE64_CHARACTERS)
        try:
            return base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError) as error:
            raise invalid_params(f"invalid base64 encoding: {error}") from error
    if encoding is TransactionEncoding.BASE58 or encoding is TransactionEncoding.BINARY:
        if len(text) > MAX_BASE58_CHARACTERS:
            raise _encoded_too_large("base58", len(text), MAX_BASE58_CHARACTERS)
        try:
            return base58_decode(text)
        except ValueError as error:
            raise invalid_params(f"invalid base58 encoding: {error}") from error
    raise invalid_params(f"unsupported encoding: {encoding}. Supported encodings: base58, base64")


def _encoded_too_large(encoding: str, length: int, most: int) -> Exception:
    return invalid_params(
        f"{encoding} encoded {RUST_TYPE} too large: {length} bytes "
        f"(max: encoded/raw {most}/{MAX_TRANSACTION_BYTES})"
    )
