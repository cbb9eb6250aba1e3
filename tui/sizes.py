"""The terminal sizes at which the console changes its layout; the stylesheet knows them as classes."""

from __future__ import annotations

from textual.geometry import Size

MIN_COLUMNS, MIN_ROWS = 60, 16
TWO_COLUMNS, WIDE_COLUMNS = 110, 160
TALL_ROWS = 34

HORIZONTAL = [
    (0, "-too-narrow"),
    (MIN_COLUMNS, "-narrow"),
    (TWO_COLUMNS, "-normal"),
    (WIDE_COLUMNS, "-wide"),
]
VERTICAL = [(0, "-too-short"), (MIN_ROWS, "-short"), (TALL_ROWS, "-tall")]


def has_room(size: Size) -> bool:
    """Whether anything but the banner and the keys is shown in a terminal of that size."""
    return size.width >= MIN_COLUMNS and size.height >= MIN_ROWS
