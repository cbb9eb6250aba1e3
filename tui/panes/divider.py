"""The vertical rule between the two columns, joined to the horizontal rules that meet it."""

from __future__ import annotations

from rich.segment import Segment
from textual.strip import Strip

from tui.lines import Painted, Span, Tone
from tui.panes.figures import Figures
from tui.panes.rule import Rule

# by whether a rule comes from the left, and from the right
_JOINTS = {(True, False): "┤", (False, True): "├", (True, True): "┼"}
_TOP_JOINTS = {(True, False): "┐", (False, True): "┌", (True, True): "┬"}


class Divider(Painted):
    """One cell wide. The joints follow the layout, and only a changed one paints the divider again."""

    DEFAULT_CSS = """
    Divider { width: 1; height: 1fr; }
    """

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._joints: dict[int, str] = {}

    def on_mount(self) -> None:
        """Follow the layout."""
        self.screen.screen_layout_refresh_signal.subscribe(self, lambda _: self._follow())

    def _follow(self) -> None:
        joints = self._find_joints()
        if joints != self._joints:
            self._joints = joints
            self.refresh()

    def _find_joints(self) -> dict[int, str]:
        """The joint of every line that a rule touches, by the line's offset in the divider."""
        here = self.region
        rules = [*self.screen.query(Rule), *self.screen.query(Figures)]
        regions = [each.region for each in rules if each.display]
        left = {region.y - here.y for region in regions if region.right == here.x}
        right = {region.y - here.y for region in regions if region.x == here.right}
        ends = {0: _TOP_JOINTS}
        return {y: ends.get(y, _JOINTS)[y in left, y in right] for y in left | right}

    def render_line(self, y: int) -> Strip:
        """The joint of this line."""
        joint = self._joints.get(y, "│")
        return Strip([Segment(joint, self.style_of(Span(joint, Tone.MUTED)))])
