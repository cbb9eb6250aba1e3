"""Readiness, many positions, failures and figures, as machines ask for them."""

from __future__ import annotations

import asyncio
import shutil

import pytest

from engine.api import position_pages
from engine.api.figures import FRESH_S
from engine.api.kept import KeptAnswers
from engine.api.position_pages import PositionFilter
from engine.domain import Side


async def pages(served, query: str, limit: int = 2) -> list[dict]:
    """Every position of a query, page by page."""
    found, following = [], 0
    while following is not None:
        status, page = await served.get(f"/positions?limit={limit}&next={following}&{query}")
        assert status == 200, page
        assert len(page["positions"]) <= limit
        found += page["positions"]
        following = page["next"]
    return found


@pytest.fixture
async def crowd(served):
    """Positions of every band: their addresses by band, and the owner of one."""
    rig = served.rig
    await rig.gate.stop("test", "nothing is liquidated meanwhile")
    healthy = [rig.open(collateral_e6=9_000 * 10**6) for _ in range(3)]
    healthy.append(rig.open(collateral_e6=9_000 * 10**6, side=Side.SHORT))
    at_risk = [rig.open(collateral_e6=1_800 * 10**6) for _ in range(2)]
    liquidatable = [rig.open(collateral_e6=1_000 * 10**6)]
    unknown = [rig.open(symbol="DOGE/USD"), rig.open(leverage=5000)]
    bands = {"healthy": healthy, "at risk": at_risk, "liquidatable": liquidatable, "unknown": unknown}
    return {band: {str(each.address) for each in found} for band, found in bands.items()}, healthy[0]


async def test_positions_come_by_band_symbol_and_owner_each_once(served, crowd):
    bands, one = crowd
    every = set().union(*bands.values())
    for band, wanted in bands.items():
        found = await pages(served, f"band={band}")
        assert [each["band"] for each in found] == [band] * len(wanted)
        assert {each["address"] for each in found} == wanted
    found = await pages(served, "")
    assert sorted(each["address"] for each in found) == sorted(every)
    assert {each["address"] for each in await pages(served, "symbol=DOGE/USD")} <= bands["unknown"]
    assert [each["address"] for each in await pages(served, f"owner={one.owner}")] == [str(one.address)]
    assert await pages(served, "symbol=NONE/USD") == []
    assert await pages(served, "symbol=DOGE/USD&band=healthy") == []


async def test_while_a_price_may_not_be_acted_on_its_positions_are_unknown_in_pages_too(served, crowd):
    bands, _ = crowd
    served.rig.price("BTC/USD", 60_000, conf=10**13)
    assert len(await pages(served, "band=unknown")) == sum(map(len, bands.values()))
    assert await pages(served, "band=healthy") == []


async def test_pending_has_the_lowest_health_first_and_leaves_out_what_is_below(served, crowd):
    bands, _ = crowd
    status, pending = await served.get("/liquidations/pending?limit=10")
    assert status == 200
    health = [each["health_factor"] for each in pending["positions"]]
    assert health == sorted(health)
    assert {each["address"] for each in pending["positions"]} == bands["liquidatable"] | bands["at risk"]
    assert pending["total"] == 3
    assert [each["health_factor"] < 1 for each in pending["positions"]] == [True, False, False]
    _, above = await served.get("/liquidations/pending?limit=10&min_health=1")
    assert {each["address"] for each in above["positions"]} == bands["at risk"]


async def test_rows_are_made_behind_what_is_on_its_way_to_the_wire(served, crowd, monkeypatch):
    bands, _ = crowd
    pages = served.rig.parts.pages
    made = []
    row = pages._views.row
    monkeypatch.setattr(pages._views, "row", lambda address: made.append(address) or row(address))
    busy = True
    monkeypatch.setattr(pages._lull, "_is_busy", lambda: busy)
    monkeypatch.setattr(position_pages, "LONGEST_WAIT_S", 600.0)
    asked = asyncio.ensure_future(pages.pending(10, None))
    done, _ = await asyncio.wait({asked}, timeout=0.1)
    assert (done, made) == (set(), [])
    busy = False
    async with asyncio.timeout(30):
        assert len((await asked).positions) == len(bands["liquidatable"] | bands["at risk"])
    # In a crash there is always something on its way: it is not waited for without a bound.
    busy = True
    monkeypatch.setattr(position_pages, "LONGEST_WAIT_S", 0.001)
    async with asyncio.timeout(30):
        assert (await pages.pending(10, None)).positions


async def test_those_above_a_health_are_found_however_many_are_below(served):
    rig = served.rig
    await rig.gate.stop("test", "nothing is liquidated meanwhile")
    for number in range(60):
        rig.open(collateral_e6=(1_500 + number) * 10**6, side=Side.SHORT if number % 2 else Side.LONG)
    _, everything = await served.get("/liquidations/pending?limit=1000")
    health = [each["health_factor"] for each in everything["positions"]]
    assert len(health) == 60
    for least in (health[0], health[29], health[58] + 0.0005, health[59]):
        _, above = await served.get(f"/liquidations/pending?limit=7&min_health={least}")
        wanted = [each for each in health if each >= least][:7]
        assert [each["health_factor"] for each in above["positions"]] == wanted
    assert (await served.get(f"/liquidations/pending?min_health={health[59] + 0.001}"))[1]["positions"] == []


@pytest.mark.skipif(shutil.which("jq") is None, reason="needs the Debian package jq")
async def test_the_guides_question_for_the_distribution_of_health_is_answered(served, crowd):
    command = (
        f"curl -s http://127.0.0.1:{served.server.port}/liquidations/pending | "
        "jq -c '.positions | group_by(.health_factor < 1.0) | map({healthy: length})'"
    )
    process = await asyncio.create_subprocess_shell(command, stdout=asyncio.subprocess.PIPE)
    async with asyncio.timeout(30):
        out, _ = await process.communicate()
    assert out.decode().strip() == '[{"healthy":2},{"healthy":1}]'


async def test_a_question_about_many_positions_gives_way_between_short_slices(served, monkeypatch):
    rig = served.rig
    for _ in range(200):
        rig.open(collateral_e6=9_000 * 10**6)
    gave_way = []
    pause = rig.parts.pages._clock.sleep

    async def counting(seconds: float) -> None:
        gave_way.append(seconds)
        await pause(seconds)

    monkeypatch.setattr(rig.parts.pages._clock, "sleep", counting)
    page = await rig.parts.pages.page(PositionFilter(), 160, 0)
    assert len(page.positions) == 160
    assert len(gave_way) >= 160 // position_pages.ROWS_AT_ONCE


@pytest.mark.parametrize(
    ("broken", "name", "required"),
    [
        (lambda rig: rig.parts.phase.set("reconciling"), "engine", True),
        (lambda rig: setattr(rig.parts.ingest, "_slot_seen_ns", -(10**11)), "slot", True),
        (lambda rig: setattr(rig.parts.wallet, "balance_lamports", None), "wallet", True),
        (lambda rig: setattr(rig.journal, "_damage", "malformed"), "journal", True),
        (lambda rig: setattr(rig.parts.snapshots._shipping, "state", "away"), "database", False),
        (lambda rig: rig.price("ETH/USD", 3_000, conf=10**12), "prices", False),
    ],
)
async def test_readiness_names_what_is_missing_and_whether_that_matters(served, broken, name, required):
    status, ready = await served.get("/ready")
    assert (status, ready["ready"]) == (200, True)
    assert all(check["ok"] for check in ready["checks"])
    broken(served.rig)
    status, ready = await served.get("/ready")
    (check,) = [each for each in ready["checks"] if not each["ok"]]
    assert (check["name"], check["required"]) == (name, required)
    assert (status, ready["ready"]) == ((503, False) if required else (200, True))


async def test_figures_are_made_a_few_times_a_second_however_many_ask(served, monkeypatch):
    made = []
    stats = served.rig.parts.snapshots.stats
    monkeypatch.setattr(served.rig.parts.snapshots, "stats", lambda: made.append(1) or stats())
    answers = await asyncio.gather(*(served.get("/stats") for _ in range(30)))
    assert {status for status, _ in answers} == {200}
    assert len(made) < 30
    assert FRESH_S <= 0.25


async def test_an_answer_that_broke_is_not_kept_and_another_one_is_made() -> None:
    kept = KeptAnswers(60)
    made = []

    async def make() -> bytes:
        made.append(1)
        if len(made) == 1:
            raise TimeoutError
        return b"%d" % len(made)

    with pytest.raises(TimeoutError):
        await kept.get("figures", make)
    assert [await kept.get("figures", make) for _ in range(3)] == [b"2"] * 3
    for number in range(100):
        await kept.get(number, make)
    assert len(kept._answers) == 32


async def test_a_failure_is_listed_until_it_is_tried_again(served):
    status, page = await served.get("/liquidations/failed")
    assert (status, page) == (200, {"failed": [], "total": 0})


async def test_the_guides_balance_has_its_names_and_units(served):
    status, balance = await served.get("/insurance/balance")
    assert status == 200
    assert set(balance) == {
        "balance",
        "balance_formatted",
        "utilization_ratio",
        "total_contributions",
        "total_bad_debt_covered",
        "last_updated",
    }
    assert balance["balance_formatted"] == "1000.000000000 SOL"
