"""@coral-xyz/anchor against the sandbox: our program by its IDL, and the operational guide's own lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from guide_blocks import kept_blocks
from telling import Told, told_in

from engine.protocol.addresses import FEEDS, PROGRAM_ID, insurance_fund_address

HERE = Path(__file__).parent
# The operational guide, "Contributing to Insurance Fund", "Via TypeScript", to the letter.
[GUIDE] = [block.steps[0].command for block in kept_blocks() if block.language == "typescript"]
FEE_LAMPORTS = 5_000


@pytest.fixture(scope="module")
def told(run: Any) -> Any:
    return run("anchor_program.mjs", str(PROGRAM_ID), str(FEEDS["SOL/USD"].account))


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def test_the_idl_is_found_on_chain_and_is_the_one_in_the_tree(told: Any, idl: dict[str, Any]) -> None:
    assert told["fetchIdl"] == idl
    assert told["Program.at"]["programId"] == idl["address"]
    assert told["Program.at"]["instructions"] == [camel(each["name"]) for each in idl["instructions"]]


def test_the_script_calls_every_instruction_of_the_idl(idl: dict[str, Any]) -> None:
    script = (HERE / "scripts" / "anchor_program.mjs").read_text()
    assert [each["name"] for each in idl["instructions"] if f".{camel(each['name'])}(" not in script] == []


def test_positions_of_both_generations_are_opened_and_fetched(told: Any) -> None:
    own = told["own"]
    deployed = told["openPosition"]
    assert (deployed["owner"], deployed["symbol"], deployed["leverage"]) == (own["wallet"], "SOL/USD", 5)
    assert (deployed["size"], deployed["collateral"], deployed["entryPrice"]) == (
        2_000_000,
        100_000_000,
        own["mark"],
    )
    documented = told["fetch of a documented position"]
    assert (documented["isLong"], documented["isLiquidated"]) == (True, False)
    assert documented["createdAt"] > 1_700_000_000
    common = {name: documented[name] for name in deployed}
    assert told["fetch of it as any position"] == common


def test_all_positions_of_a_program_with_both_generations_are_listed(told: Any) -> None:
    everything = told["all"]
    assert {85, 120} <= set(everything["lengths"])
    assert everything["own"] == told["all of an owner"] == 4
    assert everything["positions"] > 40
    assert told["fetchMultiple"] == [told["own"]["wallet"], None, told["own"]["wallet"]]
    assert told["fetchNullable"] is None


def test_the_insurance_fund_is_fetched_and_is_the_only_one(told: Any) -> None:
    assert told["all funds"] == [str(insurance_fund_address(PROGRAM_ID))] == [told["fund"]["address"]]
    assert told["fund"]["balance"] > 0


def test_a_contribution_is_simulated_then_made_and_its_event_heard(told: Any) -> None:
    seen, wallet = told["contributeToInsurance"], told["own"]["wallet"]
    [simulated] = seen["simulated"]
    assert simulated["name"] == seen["told"]["name"] == "contributionEvent"
    for event in (simulated["data"], seen["told"]["event"]):
        assert (event["contributor"], event["amount"]) == (wallet, 250_000_000)
    assert seen["told"]["slot"] > 0


def test_an_owner_adds_collateral_and_closes_a_position(told: Any) -> None:
    own, added, closed = told["own"], told["addCollateral"], told["closePosition"]
    assert added["told"]["name"] == "collateralAddedEvent"
    assert added["told"]["event"]["position"] == own["healthy"]
    assert added["told"]["event"]["collateral"] == added["collateral"] == added["subscribed"]
    assert closed["told"]["name"] == "positionClosedEvent"
    assert (closed["told"]["event"]["owner"], closed["told"]["event"]["size"]) == (own["wallet"], 10_000_000)
    assert closed["gone"] is None


def test_a_position_is_liquidated_in_part_and_another_in_full_with_bad_debt(told: Any) -> None:
    own, part, full = told["own"], told["liquidatePartial"], told["liquidateFull"]
    event = part["told"]["event"]
    assert (event["position"], event["liquidatedSize"], event["isFull"]) == (own["thin"], 2_000_000, False)
    assert (part["before"], part["after"]) == (10_000_000, 8_000_000)
    assert event["liquidatorReward"] > 0
    event = full["told"]["event"]
    assert (event["position"], event["isFull"], event["liquidatorReward"]) == (own["drowned"], True, 0)
    assert event["badDebt"] > 0
    assert full["gone"] is None


@pytest.mark.parametrize(
    ("what", "code", "number"),
    [
        ("leverage of 0", "InvalidLeverage", 6000),
        ("size of 0", "InvalidSize", 6001),
        ("collateral of 0", "InvalidCollateral", 6002),
        ("liquidation of a healthy position", "PositionNotLiquidatable", 6004),
        ("partial liquidation of 0", "InvalidLiquidationAmount", 6010),
        ("closing what is liquidatable", "PositionLiquidatable", 6011),
        ("prices of another account", "AccountOwnedByWrongProgram", 3007),
        ("liquidation of what is gone", "AccountNotInitialized", 3012),
    ],
)
def test_a_refusal_reaches_the_client_by_its_name(told: Any, what: str, code: str, number: int) -> None:
    refusal = told["refusals"][what]
    assert (refusal["code"], refusal["number"]) == (code, number)
    assert refusal["message"]


@pytest.mark.parametrize("what", ["a second fund", "position twice"])
def test_what_exists_already_is_refused_by_the_system_program(told: Any, what: str) -> None:
    refusal = told["refusals"][what]
    assert any("already in use" in line for line in refusal["logs"])


def test_a_refusal_that_landed_is_read_from_the_transaction_s_logs(told: Any) -> None:
    refusal = told["landed refusal"]
    assert refusal["err"] == {"InstructionError": [0, {"Custom": 6004}]}
    assert refusal["code"] == {"code": "PositionNotLiquidatable", "number": 6004}


def test_the_operational_guide_s_typescript_works_as_it_stands(
    node: list[str], workshop: Path, sandbox: dict[str, str]
) -> None:
    around = (HERE / "scripts" / "anchor_guide.mjs").read_text()
    place = "/* the guide's lines */\n"
    assert around.count(place) == 1
    (workshop / "guide.mjs").write_text(around.replace(place, GUIDE + "\n"))
    command = [*node, "guide.mjs", sandbox["rpc_url"], sandbox["ws_url"], str(PROGRAM_ID)]
    told: Told = told_in(command, workshop, 60)
    seen = told["insurance fund"]
    assert seen["address"] == str(insurance_fund_address(PROGRAM_ID))
    assert int(seen["contributed"]) >= 1_000_000_000
    assert seen["paid"] == 1_000_000_000 + FEE_LAMPORTS
