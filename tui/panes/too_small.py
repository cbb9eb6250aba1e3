"""What stands in place of a screen's content where the terminal has no room for it."""

from __future__ import annotations

from textual.geometry import Size

from tui.lines import Lines, Span, Tone, broken, line
from tui.sizes import MIN_COLUMNS, MIN_ROWS


class TooSmall(Lines):
    """The size that is needed, the size that there is, and that the stop key works."""

    DEFAULT_CSS = """
    TooSmall { height: 1fr; padding: 0 1; }
    """

    def show_size(self, size: Size) -> None:
        """Say it of a terminal of that size, in two lines where one is too short."""
        said = line(
            Span("too small", Tone.ATTENTION, bold=True),
            f": {MIN_COLUMNS}×{MIN_ROWS} is needed, this is {size.width}×{size.height}.",
        )
        stop = line(Span("ctrl+e still stops.", Tone.DANGER, bold=True))
        folded = broken(said, size.width - self.gutter.width)
        self.show([line(""), *(each for each in folded if each), stop])
