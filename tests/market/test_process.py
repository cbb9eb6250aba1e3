"""The sandbox as its users run it: one command, one JSON line, real parts behind it, nothing left over."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from engine.domain import Generation, Position, Side
from engine.protocol.accounts import AccountRefused, decode_fund, decode_position
from engine.protocol.addresses import FEEDS, PROGRAM_ID, PYTH_RECEIVER, insurance_fund_address
from engine.protocol.margin import LAMPORTS_PER_SOL
from engine.protocol.pyth import PriceUpdate, decode_price_update
from engine.sandbox.program import idl_account

ROOT = Path(__file__).parents[2]
READY_S = 20.0
ENDED_S = 15.0
POSITIONS = 60
IDL_ADDRESS = str(idl_account(PROGRAM_ID)[0])
FREE_PORTS = ("--rpc-port", "0", "--ws-port", "0")

# Starts a sandbox as its child, tells us which process it is, and then waits to be killed.
PARENT = """
import subprocess, sys
child = subprocess.Popen(
    [sys.executable, "-m", "engine", "sandbox", *sys.argv[1:]], stdin=subprocess.PIPE, stdout=subprocess.PIPE
)
print(child.pid, child.stdout.readline().decode(), flush=True)
child.wait()
"""


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Poll until the condition holds; fails after the deadline."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"not in {seconds} s: {what}"
        time.sleep(0.02)


@dataclass
class Sandbox:
    """A running `liquidation-engine sandbox` whose temporary files all lie in `scratch`."""

    process: subprocess.Popen[str]
    scratch: Path
    where: dict[str, str]

    def rpc(self, method: str, *parameters: object) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(parameters)}
        request = urllib.request.Request(
            self.where["rpc_url"], json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            answer = json.load(response)
        assert "error" not in answer, answer
        return answer["result"]

    def data(self, address: Pubkey, owner: Pubkey) -> bytes:
        account = self.rpc("getAccountInfo", str(address), {"encoding": "base64", "commitment": "processed"})[
            "value"
        ]
        assert account["owner"] == str(owner)
        return base64.b64decode(account["data"][0])

    def price(self, symbol: str) -> PriceUpdate:
        return decode_price_update(self.data(FEEDS[symbol].account, PYTH_RECEIVER))

    def positions(self) -> list[Position]:
        accounts = self.rpc(
            "getProgramAccounts", str(PROGRAM_ID), {"encoding": "base64", "commitment": "processed"}
        )
        found = []
        for each in accounts:
            if each["pubkey"] == IDL_ADDRESS:
                continue
            data = base64.b64decode(each["account"]["data"][0])
            try:
                found.append(decode_position(Pubkey.from_string(each["pubkey"]), data, 0))
            except AccountRefused:
                decode_fund(data, 0)
        return found

    def sql(self, *statements: str) -> Any:
        async def run() -> Any:
            connection = await asyncpg.connect(self.where["database_url"], timeout=10)
            try:
                return [await connection.fetchval(statement) for statement in statements][-1]
            finally:
                await connection.close(timeout=10)

        return asyncio.run(run())

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(ENDED_S)


def start(scratch: Path, *arguments: str) -> Sandbox:
    process = subprocess.Popen(
        [sys.executable, "-m", "engine", "sandbox", *FREE_PORTS, *arguments],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(scratch)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stderr is not None
    line = process.stdout.readline()
    if not line:
        pytest.fail(f"the sandbox did not start: {process.stderr.read()}")
    return Sandbox(process, scratch, json.loads(line))


def processes_of(scratch: Path) -> list[str]:
    """The command lines of all processes that name a path in the scratch directory."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(scratch) in command:
            found.append(command)
    return found


def is_running(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def new_scratch() -> Path:
    # Not pytest's own: as root the database runs as another user, who cannot enter that one.
    path = Path(tempfile.mkdtemp(prefix="market-test-", dir="/tmp"))
    path.chmod(0o755)
    return path


@pytest.fixture
def scratch() -> Iterator[Path]:
    path = new_scratch()
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def calm() -> Iterator[Sandbox]:
    """One calm sandbox for the tests that change nothing that another one reads."""
    path = new_scratch()
    sandbox = start(path, "--positions", str(POSITIONS), "--slot-ms", "50", "--seed", "11")
    yield sandbox
    sandbox.end()
    shutil.rmtree(path, ignore_errors=True)


def test_the_first_line_says_where_everything_is_and_everything_answers(calm: Sandbox) -> None:
    assert set(calm.where) == {
        "rpc_url",
        "ws_url",
        "rpc_urls",
        "ws_urls",
        "hermes_url",
        "database_url",
        "wallet_path",
        "program_id",
    }
    assert calm.rpc("getHealth") == "ok"
    assert calm.where["program_id"] == str(PROGRAM_ID)
    assert calm.rpc("getAccountInfo", str(PROGRAM_ID), {"encoding": "base64"})["value"]["executable"]
    assert calm.where["ws_url"].startswith("ws://127.0.0.1:")
    assert calm.sql("SELECT current_database()") == "liquidation_db"


def test_the_wallet_is_a_private_key_file_with_one_sol(calm: Sandbox) -> None:
    path = Path(calm.where["wallet_path"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    wallet = Keypair.from_bytes(bytes(json.loads(path.read_text())))
    assert calm.rpc("getBalance", str(wallet.pubkey()))["value"] == LAMPORTS_PER_SOL


def test_positions_of_both_generations_decode_and_the_fund_is_filled(calm: Sandbox) -> None:
    positions = calm.positions()
    assert len(positions) >= POSITIONS
    assert {position.generation for position in positions} == set(Generation)
    assert {position.symbol for position in positions} == set(FEEDS)
    fund = decode_fund(calm.data(insurance_fund_address(), PROGRAM_ID), 0)
    assert fund.balance_lamports >= 200 * LAMPORTS_PER_SOL


def test_prices_are_fresh_and_move_with_the_slots(calm: Sandbox) -> None:
    first = {symbol: calm.price(symbol) for symbol in FEEDS}
    for update in first.values():
        assert abs(update.publish_time_s - time.time()) < 5
    for symbol, update in first.items():
        wait_until(lambda s=symbol, u=update: calm.price(s).price != u.price, 5, f"{symbol} moves")
        assert calm.price(symbol).posted_slot > update.posted_slot


def test_it_says_how_many_positions_were_signed_and_ends_at_an_interrupt_with_all_that_it_started(
    scratch: Path,
) -> None:
    sandbox = start(scratch, "--positions", "90", "--genesis-positions", "70", "--seed", "11")
    try:
        market = sandbox.rpc("sandboxMarket")
        assert (market["positions_signed"], market["positions_genesis"]) == (20, 70)
        assert len(sandbox.positions()) >= 85
        fund = str(insurance_fund_address())
        assert len(sandbox.rpc("getSignaturesForAddress", fund, {"commitment": "confirmed"})) >= 6
    finally:
        code = sandbox.end(signal.SIGINT)
    assert (code, processes_of(scratch), list(scratch.iterdir())) == (0, [], [])


def test_population_and_behaviour_of_the_command_line_are_in_force(scratch: Path) -> None:
    sandbox = start(
        scratch,
        *("--positions", "60", "--scenario", "trend", "--trend", "up", "--slot-ms", "50"),
        *("--population", "deployed_share=0", "--population", "long_share=0"),
        *("--behaviour", "openings_per_minute=0", "--behaviour", "rival_share=0.5"),
    )
    try:
        assert {position.side for position in sandbox.positions()} == {Side.SHORT}
        wait_until(lambda: sandbox.rpc("sandboxMarket")["ticks"] >= 40, 20, "forty ticks")
        market = sandbox.rpc("sandboxMarket", {"closings_per_minute": 600})
        assert market["positions_opened"] == 60 and market["done"]["openings_sent"] == 0
        assert market["behaviour"]["rival_share"] == 0.5
        wait_until(lambda: sandbox.rpc("sandboxMarket")["positions_open"] < 40, 20, "twenty closings")
    finally:
        sandbox.end()


def test_prices_can_be_held_and_released_while_slots_go_on(calm: Sandbox) -> None:
    assert calm.rpc("sandboxHoldPrices", True) is True
    held = calm.price("SOL/USD")
    wait_until(lambda: calm.price("SOL/USD").posted_slot >= held.posted_slot + 10, 10, "ten slots")
    assert calm.price("SOL/USD").price == held.price
    market = calm.rpc("sandboxMarket")
    assert market == {**market, "held": True, "scenario": "calm", "seed": 11}
    assert market["positions_opened"] >= POSITIONS
    assert calm.rpc("sandboxHoldPrices", False) is False
    wait_until(lambda: calm.price("SOL/USD").price != held.price, 5, "the price moves again")
    assert calm.rpc("sandboxMarket")["ticks"] > market["ticks"]


def test_the_same_seed_gives_the_same_traders_on_another_chain_with_another_wallet(
    calm: Sandbox, scratch: Path
) -> None:
    twin = start(scratch, "--positions", str(POSITIONS), "--seed", "11")
    try:
        first, second = (
            {(p.address, p.owner, p.size_e6) for p in each.positions() if p.slot == 0}
            for each in (calm, twin)
        )
        assert len(second) >= POSITIONS and len(first & second) >= POSITIONS - 10
        assert twin.rpc("getGenesisHash") != calm.rpc("getGenesisHash")
        wallets = [Path(each.where["wallet_path"]).read_text() for each in (calm, twin)]
        assert wallets[0] != wallets[1]
    finally:
        twin.end()


def test_a_signal_during_the_start_leaves_nothing_either(scratch: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "engine", "sandbox", *FREE_PORTS],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(scratch)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: any("liquidation-pg" in path.name for path in scratch.iterdir()), READY_S, "a start")
    process.send_signal(signal.SIGTERM)
    assert process.wait(ENDED_S) == 0
    assert process.stdout is not None and process.stdout.read() == b""
    assert processes_of(scratch) == []
    assert list(scratch.iterdir()) == []


def test_it_ends_with_its_parent_even_when_that_one_is_killed(scratch: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, *FREE_PORTS, "--positions", "5", "--exit-with-parent"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(scratch)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline().split(" ", 1)[0])
    assert is_running(pid)
    parent.kill()
    parent.wait(ENDED_S)
    wait_until(lambda: not is_running(pid), ENDED_S, "the sandbox ends")
    assert processes_of(scratch) == []
    assert list(scratch.iterdir()) == []


def test_a_named_directory_serves_one_sandbox_at_a_time_and_each_starts_anew_even_after_one_was_killed(
    scratch: Path,
) -> None:
    named = ("--state-dir", str(scratch / "state"), "--positions", "5")
    first = start(scratch, *named)
    first.sql("CREATE TABLE left_over (id int)")
    wallet = Path(first.where["wallet_path"])
    assert wallet.parent == scratch / "state"
    key = wallet.read_text()
    second = subprocess.run(
        [sys.executable, "-m", "engine", "sandbox", *FREE_PORTS, *named],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=READY_S,
        check=False,
    )
    assert second.returncode == 2
    assert "is used by another sandbox: end that one, or name another directory" in second.stderr
    assert second.stdout == "" and second.stderr.count("\n") == 1
    assert first.rpc("getHealth") == "ok"
    first.end(signal.SIGKILL)
    wait_until(lambda: processes_of(scratch) == [], ENDED_S, "its database ends too")
    third = start(scratch, *named)
    try:
        assert Path(third.where["wallet_path"]) == wallet
        assert wallet.read_text() != key
        assert third.sql("SELECT to_regclass('left_over')::text") is None
    finally:
        assert third.end() == 0
        # Where the server's user cannot enter, the data lies elsewhere and only a link to it lies here.
        shutil.rmtree((scratch / "state" / "database").resolve())


def test_a_prices_file_that_cannot_be_replayed_stops_the_start_with_one_line(scratch: Path) -> None:
    file = scratch / "sol.csv"
    file.write_text("timestamp_utc_iso,open,high,low,close,volume\n2021-05-19T12:00:00Z,1,2,x,1,1\n")
    refused = subprocess.run(
        [sys.executable, "-m", "engine", "sandbox", "--scenario", "replay", "--prices", f"SOL={file}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=READY_S,
        check=False,
    )
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert f"Prices file {file} line 2: low 'x' is not a number" in refused.stderr
    assert refused.stdout == ""


def test_a_replay_publishes_the_prices_of_its_file_and_a_termination_ends_it_with_its_database_and_its_files(
    scratch: Path,
) -> None:
    file = scratch / "sol.csv"
    file.write_text(
        "timestamp_utc_iso,open,high,low,close,volume\n"
        "2021-05-19T12:00:00Z,40,41,38,39,1\n"
        "2021-05-19T12:01:00Z,39,39,25,30.5,1\n"
    )
    prices = ("--scenario", "replay", "--prices", f"SOL={file}")
    sandbox = start(scratch, *prices, "--positions", "20", "--slot-ms", "20")
    try:
        entries = [p.entry_price_e6 for p in sandbox.positions() if p.symbol == "SOL/USD"]
        assert entries and all(36_000_000 < entry < 44_000_000 for entry in entries)
        wait_until(lambda: sandbox.rpc("sandboxMarket")["ticks"] >= 25, 10, "the file's end")
        assert sandbox.price("SOL/USD").price == 3_050_000_000
        assert sandbox.price("BTC/USD").price != 3_050_000_000
        assert any("postgres" in command for command in processes_of(scratch))
        assert list(scratch.iterdir()) != [file]
    finally:
        code = sandbox.end(signal.SIGTERM)
    assert (code, processes_of(scratch), list(scratch.iterdir())) == (0, [], [file])
