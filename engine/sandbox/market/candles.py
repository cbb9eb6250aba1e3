"""Real prices from files: reads candles from CSV and replays them as a path of ticks.

A file has the columns timestamp_utc_iso,open,high,low,close,volume in any order, oldest row first. A candle
does not say whether its high or its low came first: a rising candle is replayed open, low, high, close and a
falling one open, high, low, close, the order that crosses the smaller distance. Symbols are kept together by
their timestamps: where a file has no candle for an instant at which another has one, its price stands still.
"""

from __future__ import annotations

import csv
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from pathlib import Path
from typing import TextIO

from engine.errors import OperatorError
from engine.sandbox.market.prices import RAW_PER_USD

COLUMNS = ("timestamp_utc_iso", "open", "high", "low", "close", "volume")
DEFAULT_TICKS_PER_CANDLE = 10
MIN_TICKS_PER_CANDLE = 4
MAX_PRICE_USD = 10**9  # as raw integer well inside Pyth's i64
MAX_CANDLES = 5_000_000  # a decade of minutes; more is a wrong file


class PriceFileError(OperatorError):
    """A prices file cannot be replayed; the message names the file, the line and the remedy."""


@dataclass(frozen=True, slots=True)
class Candle:
    """One candle, its prices in 1e-8 USD."""

    start: datetime
    open_raw: int
    high_raw: int
    low_raw: int
    close_raw: int

    def turning_points(self) -> tuple[int, int, int, int]:
        """The four prices in the order in which they are replayed."""
        if self.close_raw < self.open_raw:
            return self.open_raw, self.high_raw, self.low_raw, self.close_raw
        return self.open_raw, self.low_raw, self.high_raw, self.close_raw


def read_candles(path: Path) -> list[Candle]:
    """All candles of a file; raises PriceFileError with the line number of the first row that is wrong."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            candles = list(_parse(path, file))
    except OSError as error:
        raise PriceFileError(
            f"Cannot read prices file {path}: {error.strerror}: check the path after --prices"
        ) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise PriceFileError(f"Prices file {path} is not CSV text ({error}): give a CSV file") from error
    if not candles:
        raise PriceFileError(f"Prices file {path} has no rows: give a file with at least one candle")
    return candles


def _parse(path: Path, file: TextIO) -> Iterator[Candle]:
    reader = csv.DictReader(file, strict=True)
    names = [name.strip() for name in reader.fieldnames or ()]
    missing = [column for column in COLUMNS if column not in names]
    if missing and names:
        raise PriceFileError(
            f"Prices file {path} lacks column {', '.join(missing)}: "
            f"its first line must name {','.join(COLUMNS)}"
        )
    reader.fieldnames = names
    last: datetime | None = None
    for count, row in enumerate(reader):
        try:
            candle = _candle(row)
            if last is not None and candle.start <= last:
                raise ValueError("timestamp_utc_iso is not later than in the row before")
            if count >= MAX_CANDLES:
                raise ValueError(f"there are more than {MAX_CANDLES} rows")
        except ValueError as error:
            raise PriceFileError(
                f"Prices file {path} line {reader.line_num}: {error}: correct or remove the row"
            ) from None
        last = candle.start
        yield candle


def _candle(row: Mapping[str | None, str | None]) -> Candle:
    if None in row:
        raise ValueError("there are more fields than columns")
    _number(row, "volume")
    start = _timestamp(row["timestamp_utc_iso"])
    opened, high, low, close = (_price(row, name) for name in ("open", "high", "low", "close"))
    if high < max(opened, close):
        raise ValueError("high is below open or close")
    if low > min(opened, close):
        raise ValueError("low is above open or close")
    return Candle(start, opened, high, low, close)


def _timestamp(text: str | None) -> datetime:
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        raise ValueError(f"timestamp_utc_iso {text!r} is not an ISO 8601 time") from None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _number(row: Mapping[str | None, str | None], name: str) -> Decimal:
    text = row[name]
    try:
        return Decimal((text or "").strip())
    except InvalidOperation:
        raise ValueError(f"{name} {text!r} is not a number") from None


def _price(row: Mapping[str | None, str | None], name: str) -> int:
    value = _number(row, name)
    if not value.is_finite() or not 0 < value < MAX_PRICE_USD:
        raise ValueError(f"{name} {value} is not a price between 0 and {MAX_PRICE_USD} USD")
    raw = int((value * RAW_PER_USD).to_integral_value())
    if raw == 0:
        raise ValueError(f"{name} {value} is below the resolution of 1e-8 USD")
    return raw


def timeline(files: Mapping[str, Sequence[Candle]]) -> list[datetime]:
    """Every instant at which any of the files has a candle, in order."""
    return sorted({candle.start for candles in files.values() for candle in candles})


class ReplayPath:
    """A symbol's candles over a timeline, `ticks_per_candle` ticks each; the last price is held for ever."""

    def __init__(
        self, candles: Sequence[Candle], instants: Sequence[datetime], ticks_per_candle: int
    ) -> None:
        assert candles and ticks_per_candle >= MIN_TICKS_PER_CANDLE
        self._candles = candles
        self._instants = instants
        self._ticks_per_candle = ticks_per_candle
        self._tick = 0

    @property
    def start_raw(self) -> int:
        """The first candle's open."""
        return self._candles[0].open_raw

    def advance(self) -> int:
        """The price of the next tick: a candle's first tick is its open, its last one its close."""
        step, position = divmod(self._tick, self._ticks_per_candle)
        self._tick += 1
        if step >= len(self._instants):
            return self._candles[-1].close_raw
        instant = self._instants[step]
        index = bisect_left(self._candles, instant, key=lambda candle: candle.start)
        if index < len(self._candles) and self._candles[index].start == instant:
            return _along(self._candles[index], position, self._ticks_per_candle)
        return self._candles[index - 1].close_raw if index else self.start_raw


def _along(candle: Candle, position: int, ticks: int) -> int:
    """The price at tick `position` of `ticks` in a candle; each of its four prices is met at some tick."""
    points = candle.turning_points()
    corners = [round(corner * (ticks - 1) / 3) for corner in range(4)]
    for (start, end), (before, after) in zip(pairwise(corners), pairwise(points), strict=True):
        if position <= end:
            return before + (after - before) * (position - start) // (end - start)
    return points[-1]
