"""What every screen that is no dialog is: banner, content, keys; without room for content it says so."""

from __future__ import annotations

from collections.abc import Iterable

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import Screen
from textual.widget import Widget

from tui.panes.banner import Banner
from tui.panes.keybar import KeyBar
from tui.panes.too_small import TooSmall
from tui.sizes import has_room
from tui.state import ConsoleState

# Of a screen's own actions those that need nothing to be seen; the app's own act on no row.
_BLIND = frozenset({"back"})


class FullScreen(Screen[None]):
    """Subclasses say what stands between the banner and the keys, and which of their keys act.

    Where the terminal is too small that content is hidden: nothing in it has the keys until it is seen again.
    """

    AUTO_FOCUS = ""  # each screen says itself what has the keys
    DEFAULT_CSS = """
    FullScreen {
        & > TooSmall { display: none; }
        &.-too-narrow > #body, &.-too-short > #body { display: none; }
        &.-too-narrow > TooSmall, &.-too-short > TooSmall { display: block; }
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._had_keys: Widget | None = None

    def content(self) -> Iterable[Widget]:
        """What is hidden where there is no room."""
        raise NotImplementedError

    def acts(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - for subclasses
        """Whether one of the screen's actions is offered (True), dimmed (None) or not there (False)."""
        return True

    def opened(self) -> None:
        """The content is there: give the keys to a part of it, and fill it."""
        raise NotImplementedError

    def resized(self) -> None:
        """The terminal got another size."""

    def compose(self) -> ComposeResult:
        """The banner and the keys stay whatever the size is."""
        yield Banner()
        yield TooSmall()
        with Vertical(id="body"):
            yield from self.content()
        yield KeyBar()

    @property
    def has_room(self) -> bool:
        """Whether the terminal is large enough for the content."""
        return has_room(self.app.size)

    def show_state(self, state: ConsoleState, now_ns: int) -> None:
        """The banner follows every state."""
        self.query_one(Banner).show_state(state, now_ns)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """No key acts on what is hidden."""
        if not self.has_room and action not in _BLIND:
            return False
        return self.acts(action, parameters)

    def set_focus(
        self, widget: Widget | None, scroll_visible: bool = True, from_app_focus: bool = False
    ) -> None:
        """Give the keys to a widget; to one that is hidden when it is seen again."""
        if widget is not None and not self.has_room:
            self._had_keys, widget = widget, None
        super().set_focus(widget, scroll_visible, from_app_focus)

    @property
    def is_up(self) -> bool:
        """Whether it began, and its content is there still."""
        return self.is_mounted and self.is_whole

    @property
    def is_whole(self) -> bool:
        """Whether its content is there: a console may end before it is made, and it goes bit by bit."""
        return self.display and bool(self.query("#body > *"))

    def on_mount(self) -> None:
        """Begin, unless it is on its way out already."""
        if self.is_whole:
            self.opened()

    def on_resize(self) -> None:
        """Say how small the terminal is, and take the keys from what is hidden, or give them back."""
        if not self.is_up:
            return
        self.resized()
        self.query_one(TooSmall).show_size(self.app.size)
        self._settle_keys()

    def on_screen_resume(self) -> None:
        """The terminal may have got another size while another screen was on top."""
        self._settle_keys()

    def _settle_keys(self) -> None:
        if not self.has_room:
            self.set_focus(self.focused)
        elif self._had_keys is not None:
            kept, self._had_keys = self._had_keys, None
            # As if the terminal had been left: what was typed is not selected for the next letter to replace.
            self.set_focus(kept, scroll_visible=False, from_app_focus=True)
        self.refresh_bindings()
