"""Subscriptions: who wants to hear of which changes, at which commitment, and when each of them is told."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import Protocol

from solders.account import Account
from solders.pubkey import Pubkey
from solders.signature import Signature

from engine.sandbox.cluster.blocks.banks import Commitment
from engine.sandbox.cluster.blocks.history import LandedTransaction
from engine.sandbox.cluster.encoding import AccountEncoding
from engine.sandbox.cluster.ledger.view import View
from engine.sandbox.cluster.rpc.filters import AccountFilter, parse_filters, passes
from engine.sandbox.cluster.rpc.params import Params, parse_pubkey, parse_signature
from engine.sandbox.cluster.rpc_errors import INTERNAL_ERROR, RpcError, invalid_params
from engine.sandbox.cluster.serving import notifications

MAX_SUBSCRIPTIONS = 100_000
# A node that stood still for longer than this has missed what was in between.
MAX_UNSEEN_SLOTS = 10_000

Subject = Pubkey | Signature | None


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
    subject: Subject = None
    encoding: AccountEncoding = AccountEncoding.BINARY
    filters: list[AccountFilter] = field(default_factory=list)
    tells_received: bool = False


class Subscriptions:
    """All subscriptions of one node; tells each sink in the order of events what the node's view sees.

    At processed a change is told when it happens; at confirmed and finalized once per account and slot,
    when that slot's bank gets there. As on a real node, programSubscribe is silent about an account that
    was closed: it no longer belongs to the program. What a fork undoes is told as a change of the slot that
    follows; a signature that has been told is not told again.
    """

    def __init__(self, view: View, now_s: Callable[[], float] = time.time) -> None:
        self._view = view
        self._ledger = view.ledger
        self._now_s = now_s
        self._ids = count(1)
        self._by_id: dict[int, Subscription] = {}
        self._groups: dict[tuple[str, Subject, Commitment], dict[int, Subscription]] = {}
        self._kinds: Counter[str] = Counter()
        self._makers: dict[str, Callable[[Params, Sink], Subscription]] = {
            "account": self._account,
            "program": self._program,
            "signature": self._signature,
            "logs": self._logs,
            "slot": lambda _params, sink: self._new("slot", sink, Commitment.PROCESSED),
            "slotsUpdates": lambda _params, sink: self._new("slotsUpdates", sink, Commitment.PROCESSED),
            "root": lambda _params, sink: self._new("root", sink, Commitment.PROCESSED),
        }
        # Slots that began and that the view has not come to: the slot and its parent.
        self._unseen: deque[tuple[int, int]] = deque(maxlen=MAX_UNSEEN_SLOTS)
        self._reached = {
            level: view.bank(level).slot for level in (Commitment.CONFIRMED, Commitment.FINALIZED)
        }
        self._ledger.observers.append(self)

    def __len__(self) -> int:
        return len(self._by_id)

    def close(self) -> None:
        """Hear nothing more of the ledger."""
        self._ledger.observers.remove(self)

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
        self._groups.setdefault(_key(subscription), {})[subscription.id] = subscription
        self._kinds[kind] += 1
        return subscription

    def catch_up(self, subscription: Subscription) -> None:
        """Tell of a signature that had got there before it was subscribed to."""
        if subscription.kind == "signature" and isinstance(subscription.subject, Signature):
            landed = self._view.landed(subscription.subject)
            if landed is not None and landed.slot <= self._view.bank(subscription.commitment).slot:
                self._tell_signature(subscription, landed)

    def unsubscribe(self, subscription_id: int, sink: Sink) -> None:
        """End a subscription of this connection, of any kind; raises RpcError when it has none of that id."""
        subscription = self._by_id.get(subscription_id)
        if subscription is None or subscription.sink is not sink:
            raise invalid_params("Invalid subscription id.")
        self._remove(subscription)

    def disconnect(self, sink: Sink) -> None:
        """End every subscription of a connection."""
        for subscription in [entry for entry in self._by_id.values() if entry.sink is sink]:
            self._remove(subscription)

    # --- from the ledger ---

    def account_written(self, address: Pubkey, account: Account | None, slot: int) -> None:
        """Tell processed subscribers of a change that this node sees at once."""
        if self._by_id and self._sees_it_live():
            self._tell_account(address, account, slot, Commitment.PROCESSED)

    def transaction_landed(self, landed: LandedTransaction) -> None:
        """Tell processed subscribers of a transaction that this node sees at once."""
        if self._by_id and self._sees_it_live():
            self._tell_transaction(landed, Commitment.PROCESSED)

    def slot_opened(self, slot: int, parent: int, _root: int) -> None:
        """Tell of the slots that the view has come to by now."""
        self._unseen.append((slot, parent))
        self._catch_up_with_view()

    def bank_reached(self, commitment: Commitment, _slot: int) -> None:
        """Tell subscribers of this commitment what the banks that reached it for this node have changed."""
        reached = self._view.bank(commitment).slot
        first = max(self._reached[commitment] + 1, reached - MAX_UNSEEN_SLOTS)
        self._reached[commitment] = max(reached, self._reached[commitment])
        for slot in range(first, reached + 1):
            if self._by_id and self._ledger.block_time_s(slot) is not None:
                self._tell_reached(commitment, slot)

    def slots_abandoned(self, first: int, last: int) -> None:
        """Tell of slots that are dead; a view that has not come to them never will."""
        for slot in range(first, last + 1):
            if slot <= self._view.slot:
                self._tell_slot_update("dead", slot, err="the cluster went on with another fork")
        kept = [entry for entry in self._unseen if not first <= entry[0] <= last]
        self._unseen = deque(kept, maxlen=MAX_UNSEEN_SLOTS)

    # --- the kinds ---

    def _account(self, params: Params, sink: Sink) -> Subscription:
        return self._of_accounts("account", params, sink)

    def _program(self, params: Params, sink: Sink) -> Subscription:
        subscription = self._of_accounts("program", params, sink)
        subscription.filters = parse_filters(params.config(1).raw("filters"))
        return subscription

    def _of_accounts(self, kind: str, params: Params, sink: Sink) -> Subscription:
        subject, config = _pubkey(params.text(0), "pubkey"), params.config(1)
        subscription = self._new(kind, sink, config.commitment(), subject)
        subscription.encoding = config.account_encoding()
        # As on a node, a slice is checked and has no effect: notifications carry all of the data.
        config.data_slice()
        return subscription

    def _signature(self, params: Params, sink: Sink) -> Subscription:
        text, config = params.text(0), params.config(1)
        try:
            subject = parse_signature(text)
        except RpcError:
            raise invalid_params("Invalid Request: Invalid signature provided") from None
        subscription = self._new("signature", sink, config.commitment(), subject)
        subscription.tells_received = config.flag("enableReceivedNotification")
        return subscription

    def _logs(self, params: Params, sink: Sink) -> Subscription:
        return self._new("logs", sink, params.config(1).commitment(), _mentioned(params.raw(0)))

    def _new(self, kind: str, sink: Sink, commitment: Commitment, subject: Subject = None) -> Subscription:
        return Subscription(next(self._ids), kind, sink, commitment, subject)

    def _remove(self, subscription: Subscription) -> None:
        if self._by_id.pop(subscription.id, None) is None:
            return
        self._kinds[subscription.kind] -= 1
        key = _key(subscription)
        group = self._groups[key]
        del group[subscription.id]
        if not group:
            del self._groups[key]

    def _group(self, kind: str, subject: Subject, commitment: Commitment) -> Iterable[Subscription]:
        group = self._groups.get((kind, subject, commitment))
        return () if group is None else list(group.values())

    # --- what the view sees ---

    def _sees_it_live(self) -> bool:
        """Whether the open slot is the view's own; one that has just caught up tells first what it missed."""
        if self._view.slots_behind:
            return False
        if self._unseen:
            self._catch_up_with_view()
        return True

    def _catch_up_with_view(self) -> None:
        while self._unseen and self._unseen[0][0] <= self._view.slot:
            slot, parent = self._unseen.popleft()
            if self._by_id:
                self._tell_slot(slot, parent)
                self._tell_changes(slot, Commitment.PROCESSED)

    def _tell_slot(self, slot: int, parent: int) -> None:
        if self._kinds["slotsUpdates"]:
            closed = self._ledger.history.in_slot(parent)
            failed = sum(landed.fault is not None for landed in closed)
            stats = notifications.frozen_stats(len(closed), failed)
            self._tell_slot_update("completed", parent)
            self._tell_slot_update("frozen", parent, stats=stats)
            self._tell_slot_update("firstShredReceived", slot)
            self._tell_slot_update("createdBank", slot, parent=parent)
        root = self._view.bank(Commitment.FINALIZED).slot
        self._broadcast("slot", b'{"parent":%d,"root":%d,"slot":%d}' % (parent, root, slot))

    def _tell_slot_update(self, kind: str, slot: int, **details: object) -> None:
        if self._kinds["slotsUpdates"]:
            self._broadcast("slotsUpdates", notifications.slot_update(kind, slot, self._now_s(), **details))

    def _tell_reached(self, commitment: Commitment, slot: int) -> None:
        if commitment is Commitment.FINALIZED:
            self._tell_slot_update("root", slot)
            self._broadcast("root", b"%d" % slot)
        else:
            self._tell_slot_update("optimisticConfirmation", slot)
        self._tell_changes(slot, commitment)

    def _tell_changes(self, slot: int, commitment: Commitment) -> None:
        if self._kinds["signature"] or self._kinds["logs"]:
            for landed in self._ledger.history.in_slot(slot):
                self._tell_transaction(landed, commitment)
        if self._kinds["account"] or self._kinds["program"]:
            for address in self._ledger.accounts_changed_in(slot):
                self._tell_account(address, self._view.account_at(address, slot), slot, commitment)

    def _tell_account(
        self, address: Pubkey, account: Account | None, slot: int, commitment: Commitment
    ) -> None:
        written: dict[AccountEncoding, bytes] = {}
        for entry in self._group("account", address, commitment):
            if entry.encoding not in written:
                value = notifications.account_value(
                    address, account, entry.encoding, lambda other: self._view.account_at(other, slot)
                )
                written[entry.encoding] = notifications.in_context(slot, value)
            self._push(entry, written[entry.encoding])
        if account is None:
            return
        written = {}
        for entry in self._group("program", account.owner, commitment):
            if entry.filters and not passes(entry.filters, account.data):
                continue
            if entry.encoding not in written:
                value = notifications.keyed_account_value(
                    address, account, entry.encoding, lambda other: self._view.account_at(other, slot)
                )
                written[entry.encoding] = notifications.in_context(slot, value)
            self._push(entry, written[entry.encoding])

    def _tell_transaction(self, landed: LandedTransaction, commitment: Commitment) -> None:
        if self._kinds["signature"]:
            if commitment is Commitment.PROCESSED:
                self._tell_received(landed)
            for entry in self._group("signature", landed.signature, commitment):
                self._tell_signature(entry, landed)
        if not self._kinds["logs"]:
            return
        wanted = [*self._group("logs", None, commitment)]
        for address in dict.fromkeys(landed.accounts.every):
            wanted += self._group("logs", address, commitment)
        if wanted:
            result = notifications.in_context(landed.slot, notifications.logs_value(landed))
            for entry in wanted:
                self._push(entry, result)

    def _tell_received(self, landed: LandedTransaction) -> None:
        result = notifications.in_context(landed.slot, notifications.RECEIVED_SIGNATURE)
        for level in Commitment:
            for entry in self._group("signature", landed.signature, level):
                if entry.tells_received:
                    self._push(entry, result)

    def _tell_signature(self, subscription: Subscription, landed: LandedTransaction) -> None:
        self._remove(subscription)
        value = notifications.signature_value(landed)
        self._push(subscription, notifications.in_context(landed.slot, value))

    def _broadcast(self, kind: str, result: bytes) -> None:
        for entry in self._group(kind, None, Commitment.PROCESSED):
            self._push(entry, result)

    def _push(self, entry: Subscription, result: bytes) -> None:
        entry.sink.push(notifications.notification(entry.kind, result, entry.id))


def _key(subscription: Subscription) -> tuple[str, Subject, Commitment]:
    return subscription.kind, subscription.subject, subscription.commitment


def _pubkey(text: object, name: str) -> Pubkey:
    try:
        return parse_pubkey(text)
    except RpcError:
        raise invalid_params(f"Invalid Request: Invalid {name} provided") from None


def _mentioned(wanted: object) -> Pubkey | None:
    """The address that logs must mention; None stands for all logs."""
    if wanted in ("all", "allWithVotes"):
        return None
    if isinstance(wanted, dict) and isinstance(wanted.get("mentions"), list):
        if len(wanted["mentions"]) != 1:
            raise invalid_params("Invalid Request: Only 1 address supported")
        return _pubkey(wanted["mentions"][0], "mentions")
    raise invalid_params("Invalid params: expected one of `all`, `allWithVotes`, `mentions`.")
