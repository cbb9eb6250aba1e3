"""Who is on which side of a price: lines in heaps, so that a tick costs what crossed and not what exists."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

from solders.pubkey import Pubkey

from engine.domain import Side

_SLACK = 64


@dataclass(slots=True)
class _Ladder:
    """The lines of one symbol and side, as numbers that are crossed when the price's own is not above them.

    `standing` is ordered by -number, the next to be crossed first; `crossed` by number, the next to recover
    first. An entry counts only as long as its serial is the line's: a line that moved leaves its old one.
    """

    standing: list[tuple[int, int, Pubkey]] = field(default_factory=list)
    crossed: list[tuple[int, int, Pubkey]] = field(default_factory=list)
    live: int = 0


@dataclass(frozen=True, slots=True)
class _Line:
    ladder: _Ladder
    number: int
    serial: int


class Lines:
    """The exact mark prices at which positions turn liquidatable, and which of them the price has crossed.

    A long is crossed when mark <= threshold, a short when mark >= threshold (`margin.threshold_e6`).
    """

    def __init__(self) -> None:
        self._ladders: dict[tuple[str, Side], _Ladder] = {}
        self._lines: dict[Pubkey, _Line] = {}
        self._serial = 0

    def __len__(self) -> int:
        return len(self._lines)

    def __contains__(self, address: Pubkey) -> bool:
        return address in self._lines

    def put(self, address: Pubkey, symbol: str, side: Side, threshold_e6: int) -> None:
        """Draw or move a position's line; it counts as not crossed until the next `cross`."""
        self.drop(address)
        ladder = self._ladders.setdefault((symbol, side), _Ladder())
        number = threshold_e6 if side is Side.LONG else -threshold_e6
        self._serial += 1
        self._lines[address] = _Line(ladder, number, self._serial)
        ladder.live += 1
        heapq.heappush(ladder.standing, (-number, self._serial, address))
        if len(ladder.standing) + len(ladder.crossed) > 2 * ladder.live + _SLACK:
            self._sweep(ladder)

    def drop(self, address: Pubkey) -> None:
        """Forget a position."""
        line = self._lines.pop(address, None)
        if line is not None:
            line.ladder.live -= 1

    def cross(self, symbol: str, mark_e6: int) -> list[Pubkey]:
        """Tell a symbol's new mark price; returns whose lines it crossed just now.

        Of each side those farthest beyond their line come first.
        """
        found: list[Pubkey] = []
        for side, number in ((Side.LONG, mark_e6), (Side.SHORT, -mark_e6)):
            ladder = self._ladders.get((symbol, side))
            if ladder is not None:
                self._recover(ladder, number)
                found += self._fall(ladder, number)
        return found

    def _fall(self, ladder: _Ladder, number: int) -> list[Pubkey]:
        found = []
        while ladder.standing and -ladder.standing[0][0] >= number:
            entry = heapq.heappop(ladder.standing)
            if self._counts(entry):
                negated, serial, address = entry
                heapq.heappush(ladder.crossed, (-negated, serial, address))
                found.append(address)
        return found

    def _recover(self, ladder: _Ladder, number: int) -> None:
        while ladder.crossed and ladder.crossed[0][0] < number:
            entry = heapq.heappop(ladder.crossed)
            if self._counts(entry):
                own, serial, address = entry
                heapq.heappush(ladder.standing, (-own, serial, address))

    def _sweep(self, ladder: _Ladder) -> None:
        """Rebuild a ladder whose heaps hold more of the past than of the present."""
        ladder.standing = [entry for entry in ladder.standing if self._counts(entry)]
        ladder.crossed = [entry for entry in ladder.crossed if self._counts(entry)]
        heapq.heapify(ladder.standing)
        heapq.heapify(ladder.crossed)

    def _counts(self, entry: tuple[int, int, Pubkey]) -> bool:
        line = self._lines.get(entry[2])
        return line is not None and line.serial == entry[1]
