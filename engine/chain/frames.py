"""A node's WebSocket frames as typed values: what it announces, and what it answers to a subscription."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

import msgspec
from solders.pubkey import Pubkey

from engine.chain.shapes import Lamports, Slot

_KNOWN_OWNERS = 256


class UnreadableFrame(Exception):
    """The bytes are no frame that a node sends."""


class AccountNews(msgspec.Struct, gc=False):
    """An account as it was at the end of a slot."""

    address: Pubkey
    data: bytes
    owner: Pubkey
    slot: int
    lamports: int


class SlotNews(NamedTuple):
    """The node works on this slot, on top of `parent`."""

    slot: int
    parent: int


class WatchedNews(NamedTuple):
    """An account that was subscribed to by itself; its address is known by the subscription."""

    subscription: int
    data: bytes
    owner: Pubkey
    slot: int
    lamports: int


class Answer(NamedTuple):
    """What became of a request: the subscription's number, or the node's refusal."""

    request_id: int
    subscription: int | None
    refusal: str


Frame = AccountNews | SlotNews | WatchedNews | Answer
Raw = bytes | memoryview


class _Shape(msgspec.Struct, gc=False):
    """Base of the shapes on the wire."""


_Number = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class _Context(_Shape):
    slot: Slot


class _Account(_Shape):
    lamports: Lamports
    data: tuple[bytes, Literal["base64"]]
    owner: str


class _Keyed(_Shape):
    pubkey: str
    account: _Account


class _ProgramResult(_Shape):
    context: _Context
    value: _Keyed


class _AccountResult(_Shape):
    context: _Context
    value: _Account


class _Slot(_Shape):
    slot: Slot
    parent: Slot


class _ProgramParams(_Shape):
    result: _ProgramResult


class _AccountParams(_Shape):
    result: _AccountResult
    subscription: _Number


class _SlotParams(_Shape):
    result: _Slot


class _OfProgram(_Shape, tag_field="method", tag="programNotification"):
    params: _ProgramParams


class _OfAccount(_Shape, tag_field="method", tag="accountNotification"):
    params: _AccountParams


class _OfSlot(_Shape, tag_field="method", tag="slotNotification"):
    params: _SlotParams


class _Fault(_Shape):
    message: str = ""


class _Answer(_Shape):
    id: _Number
    result: _Number | None = None
    error: _Fault | None = None


_NOTIFICATION = msgspec.json.Decoder(_OfProgram | _OfAccount | _OfSlot)
_ANSWER = msgspec.json.Decoder(_Answer)
_UNREADABLE = (msgspec.MsgspecError, ValueError, OverflowError, RecursionError)


class FrameReader:
    """Reads frames; the few owners that accounts have are kept as they were read."""

    def __init__(self) -> None:
        self._owners: dict[str, Pubkey] = {}

    def read(self, raw: Raw) -> Frame:
        """The frame; raises UnreadableFrame."""
        try:
            frame = _NOTIFICATION.decode(raw)
            if type(frame) is _OfProgram:
                result = frame.params.result
                account = result.value.account
                return AccountNews(
                    Pubkey.from_string(result.value.pubkey),
                    account.data[0],
                    self._owners.get(account.owner) or self._owner(account.owner),
                    result.context.slot,
                    account.lamports,
                )
            if type(frame) is _OfAccount:
                account, slot = frame.params.result.value, frame.params.result.context.slot
                owner = self._owner(account.owner)
                return WatchedNews(frame.params.subscription, account.data[0], owner, slot, account.lamports)
            assert type(frame) is _OfSlot
            return SlotNews(frame.params.result.slot, frame.params.result.parent)
        except _UNREADABLE:
            return _read_answer(raw)

    def _owner(self, text: str) -> Pubkey:
        owner = self._owners.get(text)
        if owner is None:
            if len(self._owners) >= _KNOWN_OWNERS:
                self._owners.clear()
            owner = self._owners[text] = Pubkey.from_string(text)
        return owner


def _read_answer(raw: Raw) -> Answer:
    try:
        answer = _ANSWER.decode(raw)
    except _UNREADABLE as error:
        raise UnreadableFrame(type(error).__name__) from None
    refusal = "" if answer.error is None else answer.error.message.split("\n", 1)[0][:200]
    if answer.result is None and answer.error is None:
        refusal = "no subscription"
    return Answer(answer.id, answer.result, refusal)
