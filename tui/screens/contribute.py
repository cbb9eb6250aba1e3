"""The contribution dialog: an amount, what a node says would happen, and the amount typed once more."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal, InvalidOperation
from typing import ClassVar, NamedTuple

import msgspec
from textual import on
from textual.binding import BindingType
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Button, Input

from engine.api import wire
from engine.api.client import EngineClient
from engine.errors import OperatorError
from tui import format as fmt
from tui.lines import Line, Span, Tone, line, span
from tui.screens.asking import reason_of
from tui.screens.dialog import Dialog

LAMPORTS_PER_SOL = 10**9
_LONGEST_AMOUNT = 20


class Contribution(NamedTuple):
    """What the operator confirmed; `confirm_text` is the amount in lamports as it was typed again."""

    lamports: int
    confirm_text: str


class ContributionDialog(Dialog[Contribution]):
    """Nothing is sent before the rehearsal succeeded and the same amount was typed twice.

    An amount that is changed needs another rehearsal. The key that opens the dialog confirms nothing.
    """

    BINDINGS: ClassVar[list[BindingType]] = []

    class Rehearsed(Message):
        """How the rehearsal of this amount ended; the text is the engine's."""

        def __init__(self, lamports: int, text: str, *, ok: bool) -> None:
            super().__init__()
            self.lamports = lamports
            self.text = text
            self.ok = ok

    def __init__(
        self, client: Callable[[], EngineClient], wallet: wire.WalletView, fund: wire.FundView
    ) -> None:
        super().__init__("Contribute to the insurance fund", ())
        self._client = client
        self._wallet = wallet
        self._fund = fund
        self._rehearsing: int | None = None
        self._rehearsed: ContributionDialog.Rehearsed | None = None
        self._trouble = ""
        self._draw()

    def middle(self) -> Iterable[Widget]:
        """The amount, twice."""
        amount = Input(id="amount", max_length=_LONGEST_AMOUNT)
        amount.border_title = "amount in SOL, then enter: it is only rehearsed"
        again = Input(id="again", max_length=_LONGEST_AMOUNT, disabled=True)
        again.border_title = "the same amount again"
        yield from (amount, again)

    def choices(self) -> Iterable[Widget]:
        """Cancel, then the deed."""
        yield from super().choices()
        yield Button("Contribute", id="contribute", disabled=True, compact=True)

    @on(Input.Changed, "#amount")
    def _forget_rehearsal(self) -> None:
        if self._typed("amount") == self._rehearsing:
            return
        self._rehearsing, self._rehearsed, self._trouble = None, None, ""
        again = self.query_one("#again", Input)
        again.value, again.disabled = "", True
        self._unlock()
        self._draw()

    @on(Input.Submitted, "#amount")
    def _rehearse(self) -> None:
        lamports = self._typed("amount")
        balance = self._wallet.balance_lamports or 0
        if lamports is None:
            self._trouble = (
                "That is no amount of SOL: type digits, with nine behind the point at most, as in 1.5"
            )
        elif lamports >= balance:
            self._trouble = f"The wallet has {fmt.sol(balance, 9)} SOL, and pays the fee as well: type less"
        elif lamports != self._rehearsing:
            self._trouble, self._rehearsing, self._rehearsed = "", lamports, None
            self.run_worker(self._ask(lamports), group="rehearsal", exclusive=True)
        self._draw()

    @on(Input.Changed, "#again")
    def _unlock(self) -> None:
        self.query_one("#contribute", Button).disabled = self._order() is None

    @on(Input.Submitted, "#again")
    @on(Button.Pressed, "#contribute")
    def _confirm(self) -> None:
        order = self._order()
        if order is not None:
            self.dismiss(order)

    @on(Button.Pressed, "#cancel")
    def _cancel(self) -> None:
        self.action_cancel()

    @on(Rehearsed)
    def _take_rehearsal(self, event: Rehearsed) -> None:
        event.stop()
        if event.lamports != self._rehearsing:
            return
        self._rehearsed = event
        if event.ok:
            again = self.query_one("#again", Input)
            again.disabled = False
            self.set_focus(again)
        else:
            self._rehearsing = None
        self._unlock()
        self._draw()

    async def _ask(self, lamports: int) -> None:
        try:
            async with self._client() as client:
                said = await client.contribute(lamports)
        except (OperatorError, msgspec.MsgspecError) as error:
            self.post_message(self.Rehearsed(lamports, reason_of(error), ok=False))
        else:
            self.post_message(self.Rehearsed(lamports, said.message, ok=True))

    def _typed(self, name: str) -> int | None:
        return lamports_of(self.query_one(f"#{name}", Input).value)

    def _order(self) -> Contribution | None:
        again = self._typed("again")
        if self._rehearsed is None or not self._rehearsed.ok or again != self._rehearsed.lamports:
            return None
        return Contribution(self._rehearsed.lamports, str(again))

    def _draw(self) -> None:
        wallet, fund = self._wallet, self._fund
        text: list[Line] = [
            line(Span("from  ", Tone.MUTED), "the engine's wallet ", span(wallet.address, bold=True)),
            line(f"      which has {fmt.sol(wallet.balance_lamports)} SOL"),
            line(
                Span("to    ", Tone.MUTED),
                f"the insurance fund, which has {fmt.sol(fund.balance_lamports)} SOL",
            ),
            line(Span("What is given cannot be taken back: the fund only pays bad debt.", Tone.ATTENTION)),
            line(""),
            *self._said(),
        ]
        self.show_text(text)

    def _said(self) -> list[Line]:
        """How far it is: what is wrong with the amount, the rehearsal's result, what comes next."""
        if self._trouble:
            return [line(span(f"✕ {self._trouble}", Tone.DANGER))]
        if self._rehearsed is not None:
            glyph, tone = ("●", Tone.HEALTHY) if self._rehearsed.ok else ("✕", Tone.DANGER)
            said = line(span(f"{glyph} {self._rehearsed.text}", tone))
            return [said, *(self._after(self._rehearsed.lamports) if self._rehearsed.ok else ())]
        if self._rehearsing is not None:
            return [line(Span("rehearsing it on a node…", Tone.MUTED))]
        return [line(Span("Nothing is sent yet: a node is asked first what would happen.", Tone.MUTED))]

    def _after(self, lamports: int) -> list[Line]:
        left = fmt.sol((self._wallet.balance_lamports or 0) - lamports)
        then = fmt.sol(self._fund.balance_lamports + lamports)
        return [
            line(Span("then  ", Tone.MUTED), f"about {left} in the wallet and {then} in the fund"),
            line("Type the amount again and press enter to send it; escape sends nothing."),
        ]


def lamports_of(text: str) -> int | None:
    """An amount of SOL as it is typed, exactly, in lamports; None when it is none, or not above zero."""
    stripped = text.strip()
    if not stripped or not all(each in "0123456789." for each in stripped):
        return None
    try:
        lamports = Decimal(stripped) * LAMPORTS_PER_SOL
    except InvalidOperation:
        return None
    return int(lamports) if lamports > 0 and lamports == int(lamports) else None
