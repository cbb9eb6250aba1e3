"""Subscriptions: who wants to hear of which changes, at which commitment, and the notifications they get."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import Protocol

import msgspec
from solders.account import Account
from solders.pubkey import Pubkey
from solders.signature import Signature

from engine.sandbox.cluster.banks import Commitment
from engine.sandbox.cluster.encoding import (
    AccountEncoding,
    DataSlice,
    account_json,
    keyed_account_json,
)
from engine.sandbox.cluster.filters import AccountFilter, parse_filters, passes
from engine.sandbox.cluster.history import LandedTransaction
from engine.sandbox.cluster.ledger import Ledger
from engine.sandbox.cluster.params import Params, parse_pubkey
from engine.sandbox.cluster.rpc_errors import INTERNAL_ERROR, RpcError, invalid_params

MAX_SUBSCRIPTIONS = 100_000
# What accountSubscribe reports of an account that no longer exists.
_CLOSED_ACCOUNT = Account(0, b"", Pubkey.default())


class Sink(Protocol):
    """The client's end of a connection; `push` never waits, and drops the connection when it lags too far."""

    def push(self, message: bytes) -> None:
        """Send one text message."""
        ...


@dataclass(eq=False, slots=True)
class Subscription:
    """One subscription. `subject` is an address, a signature, or None for everything."""

    id: int
    kind: str
    sink: Sink
    commitment: Commitment
    subject: Pubkey | Signature | None = None
    encoding: AccountEncoding = AccountEncoding.BINARY
    data_slice: DataSlice | None = None
    filters: list[AccountFilter] = field(default_factory=list)


class Subscriptions:
    """All subscriptions of the node; observes the ledger and notifies each sink in the order of events.

    At processed a change is told when it happens; at confirmed and finalized once per account and slot,
    when that slot's bank gets there. As on a real node, programSubscribe is silent about an account that
    was closed: it no longer belongs to the program.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._ids = count(1)
        self._by_id: dict[int, Subscription] = {}
        self._groups: dict[tuple[str, Pubkey | Signature | None], dict[int, Subscription]] = {}
        self._makers: dict[str, Callable[[Params, Sink], Subscription]] = {
            "account": self._account,
            "program": self._program,
            "signature": self._signature,
            "logs": self._logs,
            "slot": lambda _params, sink: self._new("slot", sink, Commitment.PROCESSED),
            "root": lambda _params, sink: self._new("root", sink, Commitment.FINALIZED),
        }
        ledger.observers.append(self)

    def __len__(self) -> int:
        return len(self._by_id)

    # --- from clients ---

    def kinds(self) -> list[str]:
        """The kinds of subscriptions there are: the methods' names without their verb."""
        return list(self._makers)

    def subscribe(self, kind: str, params: Params, sink: Sink) -> Subscription:
        """Make a subscription; raises RpcError for unusable parameters, and when there are too many.

        Call `catch_up` once the client has been told its id.
        """
        if len(self._by_id) >= MAX_SUBSCRIPTIONS:
            raise RpcError(
                INTERNAL_ERROR,
                "Internal Error: Subscription refused. Node subscription limit reached",
            )
        subscription = self._makers[kind](params, sink)
        self._by_id[subscription.id] = subscription
        self._groups.setdefault((subscription.kind, subscription.subject), {})[subscription.id] = subscription
        return subscription

    def catch_up(self, subscription: Subscription) -> None:
        """Tell of a signature that had got there before it was subscribed to."""
        if subscription.kind == "signature" and isinstance(subscription.subject, Signature):
            landed = self._ledger.history.get(subscription.subject)
            if landed is not None and landed.slot <= self._ledger.bank(subscription.commitment).slot:
                self._notify_signature(subscription, landed)

    def unsubscribe(self, kind: str, subscription_id: int, sink: Sink) -> None:
        """End a subscription of this connection; raises RpcError when it has none of that kind and id."""
        subscription = self._by_id.get(subscription_id)
        if subscription is None or subscription.sink is not sink or subscription.kind != kind:
            raise invalid_params("Invalid subscription id.")
        self._remove(subscription)

    def disconnect(self, sink: Sink) -> None:
        """End every subscription of a connection."""
        for subscription in [entry for entry in self._by_id.values() if entry.sink is sink]:
            self._remove(subscription)

    # --- from the ledger ---

    def account_written(self, address: Pubkey, account: Account | None, slot: int) -> None:
        """Tell processed subscribers of a change."""
        self._notify_account(address, account, slot, Commitment.PROCESSED)

    def transaction_landed(self, landed: LandedTransaction) -> None:
        """Tell processed subscribers of a transaction."""
        self._notify_transaction(landed, Commitment.PROCESSED)

    def slot_opened(self, slot: int, parent: int, root: int) -> None:
        """Tell slot and root subscribers."""
        self._broadcast("slot", b'{"parent":%d,"root":%d,"slot":%d}' % (parent, root, slot))
        self._broadcast("root", b"%d" % root)

    def bank_reached(self, commitment: Commitment, slot: int) -> None:
        """Tell subscribers of this commitment what the bank of `slot` changed."""
        if not self._by_id:
            return
        for landed in self._ledger.history.in_slot(slot):
            self._notify_transaction(landed, commitment)
        for address in self._ledger.accounts_changed_in(slot):
            self._notify_account(address, self._ledger.account_at(address, slot), slot, commitment)

    def slots_abandoned(self, first: int, last: int) -> None:
        """Nothing to tell by itself: what is undone comes as changes of the slot that follows."""

    # --- the kinds ---

    def _account(self, params: Params, sink: Sink) -> Subscription:
        return self._of_accounts("account", params, sink)

    def _program(self, params: Params, sink: Sink) -> Subscription:
        subscription = self._of_accounts("program", params, sink)
        subscription.filters = parse_filters(params.config(1).raw("filters"))
        return subscription

    def _of_accounts(self, kind: str, params: Params, sink: Sink) -> Subscription:
        subject, config = params.pubkey(0), params.config(1)
        subscription = self._new(kind, sink, config.commitment(), subject)
        subscription.encoding = config.account_encoding()
        subscription.data_slice = config.data_slice()
        return subscription

    def _signature(self, params: Params, sink: Sink) -> Subscription:
        subject, config = params.signature(0), params.config(1)
        config.flag("enableReceivedNotification")
        return self._new("signature", sink, config.commitment(), subject)

    def _logs(self, params: Params, sink: Sink) -> Subscription:
        return self._new("logs", sink, params.config(1).commitment(), _mentioned(params.raw(0)))

    def _new(
        self, kind: str, sink: Sink, commitment: Commitment, subject: Pubkey | Signature | None = None
    ) -> Subscription:
        return Subscription(next(self._ids), kind, sink, commitment, subject)

    def _remove(self, subscription: Subscription) -> None:
        self._by_id.pop(subscription.id, None)
        key = (subscription.kind, subscription.subject)
        group = self._groups.get(key)
        if group is not None:
            group.pop(subscription.id, None)
            if not group:
                del self._groups[key]

    def _group(
        self, kind: str, subject: Pubkey | Signature | None, commitment: Commitment
    ) -> Iterable[Subscription]:
        group = self._groups.get((kind, subject))
        if group is None:
            return ()
        return [entry for entry in group.values() if entry.commitment is commitment]

    # --- notifications ---

    def _notify_account(
        self, address: Pubkey, account: Account | None, slot: int, commitment: Commitment
    ) -> None:
        shown = _CLOSED_ACCOUNT if account is None else account
        for entry in self._group("account", address, commitment):
            value = _account_value(shown, entry)
            entry.sink.push(_in_context("account", slot, value.encode(), entry.id))
        if account is None:
            return
        written: dict[tuple[AccountEncoding, DataSlice | None], bytes] = {}
        for entry in self._group("program", account.owner, commitment):
            if entry.filters and not passes(entry.filters, account.data):
                continue
            form = (entry.encoding, entry.data_slice)
            if form not in written:
                written[form] = _keyed_value(address, account, entry).encode()
            entry.sink.push(_in_context("program", slot, written[form], entry.id))

    def _notify_transaction(self, landed: LandedTransaction, commitment: Commitment) -> None:
        for entry in self._group("signature", landed.signature, commitment):
            self._notify_signature(entry, landed)
        wanted = [*self._group("logs", None, commitment)]
        for address in dict.fromkeys(landed.accounts.every):
            wanted += self._group("logs", address, commitment)
        if wanted:
            value = msgspec.json.encode(
                {
                    "signature": str(landed.signature),
                    "err": landed.fault,
                    "logs": landed.metadata.logs(),
                }
            )
            for entry in wanted:
                entry.sink.push(_in_context("logs", landed.slot, value, entry.id))

    def _notify_signature(self, subscription: Subscription, landed: LandedTransaction) -> None:
        value = msgspec.json.encode({"err": landed.fault})
        self._remove(subscription)
        subscription.sink.push(_in_context("signature", landed.slot, value, subscription.id))

    def _broadcast(self, kind: str, result: bytes) -> None:
        for entry in list(self._groups.get((kind, None), {}).values()):
            entry.sink.push(_notification(kind, result, entry.id))


def _mentioned(wanted: object) -> Pubkey | None:
    """The address that logs must mention; None stands for all logs."""
    if wanted in ("all", "allWithVotes"):
        return None
    if isinstance(wanted, dict) and isinstance(wanted.get("mentions"), list):
        if len(wanted["mentions"]) != 1:
            raise invalid_params("Invalid Request: Only 1 address supported")
        return parse_pubkey(wanted["mentions"][0])
    raise invalid_params("Invalid params: expected one of `all`, `allWithVotes`, `mentions`.")


def _account_value(account: Account, entry: Subscription) -> str:
    return _or_base64(lambda encoding: account_json(account, encoding, entry.data_slice), entry.encoding)


def _keyed_value(address: Pubkey, account: Account, entry: Subscription) -> str:
    return _or_base64(
        lambda encoding: keyed_account_json(address, account, encoding, entry.data_slice), entry.encoding
    )


def _or_base64(write: Callable[[AccountEncoding], str], encoding: AccountEncoding) -> str:
    """Data that has outgrown base58 cannot be refused any more once subscribed to: it comes in base64."""
    try:
        return write(encoding)
    except RpcError:
        return write(AccountEncoding.BASE64)


def _in_context(kind: str, slot: int, value: bytes, subscription_id: int) -> bytes:
    return _notification(kind, b'{"context":{"slot":%d},"value":%b}' % (slot, value), subscription_id)


def _notification(kind: str, result: bytes, subscription_id: int) -> bytes:
    return b'{"jsonrpc":"2.0","method":"%bNotification","params":{"result":%b,"subscription":%d}}' % (
        kind.encode(),
        result,
        subscription_id,
    )
