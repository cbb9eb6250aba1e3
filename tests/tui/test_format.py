"""Figures as operators read them: exact, aligned, and never rounded towards the flattering side."""

from __future__ import annotations

import pytest

from tui import format as fmt

M = 10**6


@pytest.mark.parametrize(
    ("shown", "wanted"),
    [
        (fmt.fixed(1_234_567_895, 6, 2), "1,234.57"),
        (fmt.fixed(-1_500_000, 6, 0), "−2"),
        (fmt.fixed(-4, 6, 2), "0.00"),
        (fmt.price(92_410_000), "92.41"),
        (fmt.price(63_410 * M), "63,410.00"),
        (fmt.price(123), "0.000123"),
        (fmt.price(None), "–"),
        (fmt.size(100_500_000), "100.5"),
        (fmt.size(100 * M), "100"),
        (fmt.size_short(420_000), "0.420"),
        (fmt.size_short(12_345 * M), "12,345"),
        (fmt.size_short(4_000_000 * M), "4.00M"),
        (fmt.usd_short(950 * M), "$950"),
        (fmt.usd_short(12_400 * M), "$12.4K"),
        (fmt.usd_short(1_210_000 * M), "$1.21M"),
        (fmt.usd_short(3_000_000_000 * M), "$3.00B"),
        (fmt.sol(52_113_004_200), "52.113"),
        (fmt.sol(None), "–"),
        (fmt.lamports_short(5_000), "5,000"),
        (fmt.lamports_short(12_400), "12k"),
        (fmt.lamports_short(1_300_000), "1.3M"),
        (fmt.milli(999), "0.999"),
        (fmt.milli(-12), "−0.012"),
        (fmt.milli(10**9), ">999"),
        (fmt.milli(-(10**9)), "<−999"),
        (fmt.milli(-141_799), "−141.7"),
        (fmt.milli(-18_209), "−18.20"),
        (fmt.milli(-9_999), "−9.999"),
        (fmt.sol_short(2_002 * 10**9), "2,002.0"),
        (fmt.milli(None), "–"),
        (fmt.percent_of_bps(3_100, 1), "31.0"),
        (fmt.success_percent(9_999, 1), "99.9"),
        (fmt.success_percent(0, 0), "–"),
        (fmt.age(-5), "0.0 s"),
        (fmt.age(340), "0.3 s"),
        (fmt.age(9_960), "10 s"),
        (fmt.age(12_000), "12 s"),
        (fmt.age(252_000), "4m12s"),
        (fmt.age(8_054_000), "2h14m"),
        (fmt.age(3 * 86_400_000 + 4 * 3_600_000), "3d4h"),
        (fmt.address("7xKXabcdefghijgAsU"), "7xKX…gAsU"),
        (fmt.address("short"), "short"),
    ],
)
def test_figures_read(shown: str, wanted: str) -> None:
    assert shown == wanted


def test_latencies_take_four_characters_at_most() -> None:
    shown = {
        us: fmt.ms_of_us(us) for us in (0, 740, 9_994, 9_995, 99_949, 99_950, 999_499, 999_500, 9_949_999)
    }
    assert shown == {
        0: "0.00",
        740: "0.74",
        9_994: "9.99",
        9_995: "10.0",
        99_949: "99.9",
        99_950: "100",
        999_499: "999",
        999_500: "1.0k",
        9_949_999: "9.9k",
    }


def test_a_bar_is_never_empty_while_something_is_left() -> None:
    assert fmt.bar(0, 300, 4) == "    "
    assert fmt.bar(1, 300, 4) == "╸   "
    assert fmt.bar(150, 300, 4) == "━━  "
    assert fmt.bar(190, 300, 4) == "━━╸ "
    assert fmt.bar(900, 300, 4) == "━━━━"
    assert fmt.bar(5, 0, 4) == "    "


def test_a_gauge_shows_its_alarm_mark_wherever_it_stands() -> None:
    assert fmt.gauge(50, 100, 20, 10) == "██┃██░░░░░"
    assert fmt.gauge(10, 100, 50, 10) == "█░░░░┃░░░░"
    assert fmt.gauge(0, 100, 100, 10) == "░░░░░░░░░┃"


def test_a_sparkline_keeps_the_peak_of_each_bucket() -> None:
    assert fmt.sparkline([], 10) == ""
    assert fmt.sparkline([5], 10) == "▁"
    assert fmt.sparkline([0, 7], 10) == "▁█"
    assert fmt.sparkline([0, 0, 0, 9, 0, 0, 0, 0], 4) == "▁█▁▁"
    assert fmt.sparkline([10, 10], 4, floor=0) == "██"
