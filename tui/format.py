"""Turns the wire's integers into the console's text: money, sizes, ages, addresses, bars. Pure, no floats.

Every figure rounds half away from zero, except those where rounding up would flatter: health and success
are cut, so that 0.9996 never reads as 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

UNKNOWN = "–"
_LEVELS = "▁▂▃▄▅▆▇█"
_LEVELS_FROM_NONE = " " + _LEVELS
_LAMPORTS_DIGITS = 9
_SLOT_MS = 400  # a cluster's nominal slot; only for telling an operator roughly how long to wait


def fixed(value: int, scale: int, decimals: int) -> str:
    """`value` / 10^scale with thousands separators and exactly `decimals` digits after the point."""
    divisor: int = 10 ** (scale - decimals)
    rounded = (abs(value) + divisor // 2) // divisor
    unit: int = 10**decimals
    whole = f"{rounded // unit:,}"
    sign = "−" if value < 0 and rounded else ""
    return f"{sign}{whole}.{rounded % unit:0{decimals}d}" if decimals else sign + whole


def count(value: int) -> str:
    """A plain count with thousands separators."""
    return f"{value:,}"


def counted(value: int, one: str, many: str = "") -> str:
    """A count with its word: 1 slot, 2 slots; `many` for words that do not only take an s."""
    return f"{count(value)} {one if value == 1 else many or one + 's'}"


def price(price_e6: int | None) -> str:
    """A price in quote units: two decimals from 1 on, six below it."""
    if price_e6 is None:
        return UNKNOWN
    return fixed(price_e6, 6, 2 if abs(price_e6) >= 10**6 else 6)


def size(size_e6: int) -> str:
    """An exact position size, without trailing zeros."""
    digits = fixed(size_e6, 6, 6).rstrip("0")
    return digits.removesuffix(".")


def size_short(size_e6: int) -> str:
    """A position size in seven characters at most: 0.427, 100.500, 12,345, 1.20M."""
    for below, scale, decimals, suffix in (
        (1_000 * 10**6, 6, 3, ""),
        (100_000 * 10**6, 6, 0, ""),
        (10**12, 9, 1, "k"),
        (10**15, 12, 2, "M"),
    ):
        if size_e6 < below:
            return fixed(size_e6, scale, decimals) + suffix
    return f"{fixed(size_e6, 15, 1)}B"


def usd(amount_e6: int | None) -> str:
    """An exact amount in quote units with cents."""
    return UNKNOWN if amount_e6 is None else fixed(amount_e6, 6, 2)


def usd_short(amount_e6: int) -> str:
    """An amount in quote units to three or four digits: $950, $12.4K, $1.21M."""
    for scale, suffix in ((15, "B"), (12, "M"), (9, "K")):
        if abs(amount_e6) >= 10**scale:
            return f"${fixed(amount_e6, scale, 2 if suffix != 'K' else 1)}{suffix}"
    return f"${fixed(amount_e6, 6, 0)}"


def sol(lamports: int | None, decimals: int = 3) -> str:
    """Lamports as SOL, without the unit."""
    return UNKNOWN if lamports is None else fixed(lamports, _LAMPORTS_DIGITS, decimals)


def sol_short(lamports: int | None) -> str:
    """Lamports as SOL in seven characters at most for what funds hold: 52.113, 2,002.0, 12,345."""
    if lamports is None:
        return UNKNOWN
    size_sol = abs(lamports) // 10**_LAMPORTS_DIGITS
    return sol(lamports, 3 if size_sol < 100 else 1 if size_sol < 10_000 else 0)


def lamports_short(lamports: int) -> str:
    """A fee in lamports: 5,000 or 12k or 1.3M."""
    if lamports < 10_000:
        return f"{lamports:,}"
    if lamports < 10**6:
        return f"{fixed(lamports, 3, 0)}k"
    return f"{fixed(lamports, 6, 1)}M"


def milli(value: int | None) -> str:
    """A health factor in thousandths, in six characters at most, its size never rounded up."""
    if value is None:
        return UNKNOWN
    sign, size_milli = ("−", -value) if value < 0 else ("", value)
    whole, rest = divmod(size_milli, 1000)
    if whole >= 1_000:
        return f"{'<−' if sign else '>'}999"
    digits = 3 if whole < 10 else 2 if whole < 100 else 1
    return f"{sign}{whole}.{f'{rest:03d}'[:digits]}"


def percent_of_bps(bps: int | None, decimals: int = 2) -> str:
    """Basis points as per cent, without the sign."""
    return UNKNOWN if bps is None else fixed(bps, 2, decimals)


def success_percent(succeeded: int, failed: int) -> str:
    """The share that succeeded in per cent with one digit, never rounded up; unknown before the first."""
    total = succeeded + failed
    if total == 0:
        return UNKNOWN
    tenths = 1000 * succeeded // total
    return f"{tenths // 10}.{tenths % 10}"


def ms_of_us(us: int) -> str:
    """A latency in milliseconds, in four characters at most: 0.42, 98.1, 410, 1.3k, 12k."""
    for below, scale, decimals, suffix in (
        (9_995, 3, 2, ""),
        (99_950, 3, 1, ""),
        (999_500, 3, 0, ""),
        (9_950_000, 6, 1, "k"),
    ):
        if us < below:
            return fixed(us, scale, decimals) + suffix
    return f"{fixed(us, 6, 0)}k"


def age(ms: int) -> str:
    """A short duration: 0.3 s, 12 s, 4m12s, 2h14m, 3d4h."""
    ms = max(0, ms)
    if ms < 9_950:
        return f"{fixed(ms, 3, 1)} s"
    if ms < 99_500:
        return f"{fixed(ms, 3, 0)} s"
    minutes, seconds = divmod(ms // 1000, 60)
    if minutes < 60:
        return f"{minutes}m{seconds:02d}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours < 48 else f"{hours // 24}d{hours % 24}h"


def clock_time(at_ns: int) -> str:
    """The local wall time of a Unix time in nanoseconds, to the second."""
    return datetime.fromtimestamp(at_ns // 10**9, UTC).astimezone().strftime("%H:%M:%S")


def date_time(at_ns: int) -> str:
    """The local date and wall time of a Unix time in nanoseconds, without the year: 11-22 14:02:11."""
    return datetime.fromtimestamp(at_ns // 10**9, UTC).astimezone().strftime("%m-%d %H:%M:%S")


def full_date_time(at_ns: int) -> str:
    """The local date and wall time with the year, the milliseconds and the offset from UTC."""
    moment = datetime.fromtimestamp(at_ns // 10**9, UTC).astimezone()
    return f"{moment:%Y-%m-%d %H:%M:%S}.{at_ns // 10**6 % 1000:03d} {moment:%z}"


def slots_wait(slots: int) -> str:
    """Roughly how long that many slots take."""
    return age(max(0, slots) * _SLOT_MS // 1000 * 1000)


def address(text: str) -> str:
    """The short form of an address or signature: its first and last four characters."""
    return text if len(text) <= 9 else f"{text[:4]}…{text[-4:]}"


def bar(value: int, full: int, width: int) -> str:
    """A thin bar of `width` cells, full at `full`, in halves of a cell; a value above 0 never looks empty."""
    if full <= 0:
        return " " * width
    halves = max(0, min(2 * width, 2 * width * value // full))
    if value > 0:
        halves = max(1, halves)
    return ("━" * (halves // 2) + "╸" * (halves % 2)).ljust(width)


def gauge(value: int, full: int, marker: int, width: int) -> str:
    """A gauge of `width` cells on a dotted ground, with a bar across it at `marker`."""
    filled = max(0, min(width, width * value // full)) if full > 0 else 0
    if value > 0:
        filled = max(1, filled)
    cells = ["█"] * filled + ["░"] * (width - filled)
    if full > 0:
        cells[max(0, min(width - 1, width * marker // full))] = "┃"
    return "".join(cells)


def sparkline(values: Sequence[int], width: int, *, floor: int | None = None) -> str:
    """Values as a line of `width` cells, the peak of each bucket, scaled from `floor` or the lowest."""
    if not values or width <= 0:
        return ""
    peaks = _peaks(values, width)
    lowest = min(peaks) if floor is None else floor
    extent = max(1, max(peaks) - lowest)
    return "".join(_LEVELS[max(0, min(7, 8 * (peak - lowest) // (extent + 1)))] for peak in peaks)


def columns(values: Sequence[int], width: int, height: int, *, floor: int | None = None) -> list[str]:
    """The same as columns of `height` lines, the highest line first."""
    if not values or width <= 0 or height <= 0:
        return []
    peaks = _peaks(values, width)
    lowest = min(peaks) if floor is None else floor
    extent = max(1, max(peaks) - lowest)
    eighths = [max(1, 8 * height * (peak - lowest) // extent) for peak in peaks]
    return [
        "".join(_LEVELS_FROM_NONE[max(0, min(8, filled - 8 * row))] for filled in eighths)
        for row in reversed(range(height))
    ]


def _peaks(values: Sequence[int], width: int) -> list[int]:
    total = len(values)
    if total <= width:
        return list(values)
    return [max(values[total * i // width : total * (i + 1) // width]) for i in range(width)]
