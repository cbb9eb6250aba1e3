"""Makes the screen of each place."""

from __future__ import annotations

from collections.abc import Callable

from tui.screens.alerts import AlertsScreen
from tui.screens.audit import AuditScreen
from tui.screens.fund import FundScreen
from tui.screens.history import HistoryScreen
from tui.screens.log import LogScreen
from tui.screens.place import Access, PlaceScreen
from tui.screens.risk import RiskScreen
from tui.screens.settings import SettingsScreen

_SCREENS: dict[str, Callable[[Access], PlaceScreen]] = {
    "history": HistoryScreen,
    "risk": lambda _: RiskScreen(),
    "fund": FundScreen,
    "alerts": AlertsScreen,
    "audit": AuditScreen,
    "settings": SettingsScreen,
    "log": LogScreen,
}


def place_screen(name: str, access: Access) -> PlaceScreen:
    """A new screen of that place; raises KeyError for a name that is no place's."""
    return _SCREENS[name](access)
