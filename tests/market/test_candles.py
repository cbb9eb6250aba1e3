"""Candle files: what is replayed, and which line of which file is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.sandbox.market.candles import Candle, PriceFileError, ReplayPath, read_candles, timeline
from engine.sandbox.market.prices import RAW_PER_USD

HEADER = "timestamp_utc_iso,open,high,low,close,volume"
RISING = "2021-05-19T12:00:00Z,100,120,90,110,5.5"
FALLING = "2021-05-19T12:01:00Z,110,115,70,80,7"
REAL_CRASH = Path(os.environ.get("LIQUIDATION_REPLAY_DIR", Path(__file__).parents[3] / "shared" / "data"))


def write(folder: Path, *lines: str, name: str = "prices.csv") -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


def usd(*prices: float) -> list[int]:
    return [round(price * RAW_PER_USD) for price in prices]


def replay(candles: list[Candle], ticks_per_candle: int, ticks: int) -> list[int]:
    path = ReplayPath(candles, timeline({"X": candles}), ticks_per_candle)
    return [path.advance() for _ in range(ticks)]


def test_four_ticks_a_candle_meet_open_low_high_close_when_rising_and_open_high_low_close_when_falling(
    tmp_path: Path,
) -> None:
    candles = read_candles(write(tmp_path, HEADER, RISING, FALLING))
    assert replay(candles, 4, 8) == usd(100, 90, 120, 110, 110, 115, 70, 80)


def test_more_ticks_go_straight_from_corner_to_corner_and_the_last_price_is_held(tmp_path: Path) -> None:
    candles = read_candles(write(tmp_path, HEADER, RISING))
    assert replay(candles, 7, 10) == usd(100, 95, 90, 105, 120, 115, 110, 110, 110, 110)


@pytest.mark.parametrize("ticks_per_candle", [4, 5, 6, 10, 11, 150])
def test_every_price_of_a_candle_is_met_at_any_number_of_ticks(tmp_path: Path, ticks_per_candle: int) -> None:
    candles = read_candles(write(tmp_path, HEADER, RISING, FALLING))
    prices = replay(candles, ticks_per_candle, 2 * ticks_per_candle)
    assert set(usd(100, 90, 120, 110)) <= set(prices[:ticks_per_candle])
    assert set(usd(110, 115, 70, 80)) <= set(prices[ticks_per_candle:])
    assert max(prices) == usd(120)[0] and min(prices) == usd(70)[0]


def test_a_symbol_stands_still_while_its_file_has_no_candle(tmp_path: Path) -> None:
    full = read_candles(write(tmp_path, HEADER, RISING, FALLING, name="full.csv"))
    late = read_candles(write(tmp_path, HEADER, FALLING, name="late.csv"))
    early = read_candles(write(tmp_path, HEADER, RISING, name="early.csv"))
    instants = timeline({"full": full, "late": late, "early": early})
    assert [ReplayPath(late, instants, 4).advance() for _ in range(1)] == usd(110)
    late_path, early_path = ReplayPath(late, instants, 4), ReplayPath(early, instants, 4)
    assert [late_path.advance() for _ in range(8)] == usd(110, 110, 110, 110, 110, 115, 70, 80)
    assert [early_path.advance() for _ in range(8)] == usd(100, 90, 120, 110, 110, 110, 110, 110)


def test_columns_may_come_in_any_order_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "mark.csv"
    path.write_bytes(
        b"\xef\xbb\xbfvolume,close,low,high,open,timestamp_utc_iso\r\n"
        b"1,110.12345678,90,120,100,2021-05-19T12:00:00+00:00\r\n"
    )
    [candle] = read_candles(path)
    assert candle.close_raw == 11_012_345_678 and candle.open_raw == 100 * RAW_PER_USD


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ([], "has no rows"),
        ([HEADER], "has no rows"),
        (["timestamp_utc_iso,open,high,close", RISING], "lacks column low, volume"),
        ([HEADER, RISING, "yesterday,1,1,1,1,1"], "line 3: timestamp_utc_iso 'yesterday' is not"),
        ([HEADER, RISING, RISING], "line 3: timestamp_utc_iso is not later"),
        ([HEADER, "2021-05-19T12:00:00Z,abc,120,90,110,5"], "line 2: open 'abc' is not a number"),
        ([HEADER, "2021-05-19T12:00:00Z,100,120,90,110,lots"], "line 2: volume 'lots' is not a number"),
        ([HEADER, "2021-05-19T12:00:00Z,100,120"], "line 2: volume None is not a number"),
        ([HEADER, RISING + ",9"], "line 2: there are more fields than columns"),
        ([HEADER, "2021-05-19T12:00:00Z,nan,120,90,110,5"], "line 2: open NaN is not a price"),
        ([HEADER, "2021-05-19T12:00:00Z,-1,120,90,110,5"], "line 2: open -1 is not a price"),
        ([HEADER, "2021-05-19T12:00:00Z,1e300,1e300,90,110,5"], "line 2: open 1E+300 is not a price"),
        ([HEADER, "2021-05-19T12:00:00Z,1e-9,1,1e-9,1,5"], "line 2: open 1E-9 is below the resolution"),
        ([HEADER, "2021-05-19T12:00:00Z,100,105,90,110,5"], "line 2: high is below open or close"),
        ([HEADER, "2021-05-19T12:00:00Z,100,120,101,110,5"], "line 2: low is above open or close"),
    ],
)
def test_a_file_that_cannot_be_replayed_is_refused_in_one_line_with_its_name(
    tmp_path: Path, lines: list[str], complaint: str
) -> None:
    path = write(tmp_path, *lines) if lines else tmp_path / "empty.csv"
    path.touch()
    with pytest.raises(PriceFileError) as refusal:
        read_candles(path)
    message = str(refusal.value)
    assert complaint in message
    assert str(path) in message
    assert "\n" not in message and ": " in message


@pytest.mark.parametrize("name", ["missing.csv", "."])
def test_a_file_that_cannot_be_opened_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(PriceFileError, match="Cannot read prices file"):
        read_candles(tmp_path / name)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "binary.csv"
    path.write_bytes(b"\x80\x81\xff\x00" * 50)
    with pytest.raises(PriceFileError, match="is not CSV text"):
        read_candles(path)


@pytest.mark.skipif(
    not (REAL_CRASH / "SOLUSDT_2021-05-18_1m.csv").exists(),
    reason="no real candles: set LIQUIDATION_REPLAY_DIR to a folder that holds SOLUSDT_2021-05-18_1m.csv",
)
def test_the_real_crash_of_may_2021_replays_to_its_known_low() -> None:
    candles = read_candles(REAL_CRASH / "SOLUSDT_2021-05-18_1m.csv")
    assert len(candles) == 4119
    prices = replay(candles, 10, 41_190)
    assert min(prices) == usd(26.5)[0]
    assert prices[0] == usd(46.747)[0]
