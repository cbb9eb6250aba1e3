"""What operators send with their commands, what a resume looks at first, and which console may command."""

from __future__ import annotations

from engine.api.message import Message


class StopRequest(Message, frozen=True, forbid_unknown_fields=True):
    """Ask for an emergency stop."""

    reason: str = ""


class ResumeRequest(Message, frozen=True, forbid_unknown_fields=True):
    """Lift the stop whose gate version the operator saw."""

    reason: str
    gate_version: int


class RetryAllRequest(Message, frozen=True, forbid_unknown_fields=True):
    """Try again all failed liquidations whose last attempt ended with this outcome."""

    outcome: str


class ContributeRequest(Message, frozen=True, forbid_unknown_fields=True):
    """Give lamports of the engine's wallet to the insurance fund.

    Without `confirm_text` it is only rehearsed on a node. It is sent when `confirm_text` is the amount in
    lamports once more, in digits.
    """

    amount_lamports: int
    confirm_text: str = ""


class ResumeCheck(Message, frozen=True):
    """One of the checks that a resume makes first."""

    name: str
    ok: bool
    detail: str


class TakeCommandRequest(Message, frozen=True, forbid_unknown_fields=True):
    """Take command from the console that was seen to have it; empty when nobody had it."""

    seen: str = ""


class CommandView(Message, frozen=True):
    """The one console that may command: its own name for itself, its user, terminal and since when.

    `console` is empty and `since_ns` 0 while none does; the next one to command has it then.
    """

    console: str
    by: str
    terminal: str
    since_ns: int
