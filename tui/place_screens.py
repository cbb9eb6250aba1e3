"""Makes the screen of each place."""

from __future__ import annotations

from collections.abc import Callable

from tui.screens.place import Access, PlaceScreen
from tui.screens.risk import RiskScreen

_SCREENS: dict[str, Callable[[Access], PlaceScreen]] = {
    "risk": lambda _: RiskScreen(),
}


def place_screen(name: str, access: Access) -> PlaceScreen:
    """A new screen of that place; raises KeyError for a name that is no place's."""
    return _SCREENS[name](access)
