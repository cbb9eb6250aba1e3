"""The doctor finds on a real sandbox that all is well, and each thing that is not, with its remedy."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import asyncpg
import keyring
import pytest
import pytest_asyncio
from keyring.backends import SecretService, null
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from engine.api.launcher import engine_environment, start_private_sandbox
from engine.api.tokens import TokenFile
from engine.doctor import cluster, machine, record
from engine.doctor.examination import examine, worst
from engine.doctor.findings import Finding, Verdict, looked, of_error, ok
from engine.errors import OperatorError
from engine.paths import ProfilePaths
from engine.protocol.addresses import FEEDS
from engine.setting_sources import Given
from engine.store.migrate import migrate

PROJECT = str(Path(__file__).parents[2])
DEVNET = "EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG"


@dataclass
class Patient:
    """A profile with settings that may be spoilt before it is examined."""

    paths: ProfilePaths
    settings: dict[str, str]
    environ: dict[str, str]

    async def examined(self, **changes: str) -> dict[str, Finding]:
        """By name."""
        values = {name: text for name, text in {**self.settings, **changes}.items() if text}
        findings = await examine(Given(values, {}), self.paths, self.environ)
        assert len({finding.name for finding in findings}) == len(findings)
        assert all(finding.remedy for finding in findings if finding.verdict is not Verdict.OK)
        assert all(finding.detail.isprintable() for finding in findings)
        return {finding.name: finding for finding in findings}

    def command(self, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
        """`doctor` in a process of its own."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        homes = {"XDG_STATE_HOME": str(self.paths.state), "XDG_RUNTIME_DIR": str(self.paths.runtime)}
        return subprocess.run(
            [sys.executable, "-m", "engine", "doctor", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=90,
            env={**kept, "PYTHONPATH": PROJECT, **self.environ, **homes, **self.settings, **changes},
            check=False,
        )

    def trouble(self, orders: dict[str, object] | None) -> None:
        """Have the sandbox's node misbehave; None ends that."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "sandboxTrouble", "params": [orders]})
        url, head = self.settings["SOLANA_RPC_URL"], {"Content-Type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(url, body.encode(), head), timeout=30) as answer:
            assert "result" in json.load(answer)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox(tmp_path_factory):
    """A cluster of our own, with its database; an engine's environment for it."""
    folder = tmp_path_factory.mktemp("sandbox")
    descriptor, process = await start_private_sandbox(["--positions", "5"], log=folder / "sandbox.log")
    try:
        yield engine_environment(descriptor) | {"SERVER_PORT": "0"}
    finally:
        process.terminate()
        async with asyncio.timeout(30):
            await process.wait()


@pytest.fixture
def patient(sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Patient:
    """A profile that has never run, beside the sandbox."""
    monkeypatch.chdir(tmp_path)
    environ = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "TERM": "xterm-256color"}
    return Patient(ProfilePaths("patient", tmp_path / "state", tmp_path / "run"), dict(sandbox), environ)


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_on_a_cluster_that_is_well_nothing_fails(patient) -> None:
    found = await patient.examined()
    assert [finding for finding in found.values() if finding.verdict is Verdict.FAIL] == []
    prices = {name for name in found if name.startswith("price ")}
    assert prices == {"price SOL/USD", "price BTC/USD", "price ETH/USD"}
    assert {"program", "fund", "database", "migrations", "wallet", "balance", "disk", "port"} <= set(found)
    assert "USD" in found["price BTC/USD"].detail
    assert found["fund"].detail.endswith(" SOL")
    assert "PostgreSQL" in found["database"].detail


async def test_with_nothing_at_all_each_missing_part_is_named_and_none_hides_another(patient) -> None:
    found = await patient.examined(
        SOLANA_RPC_URL="http://127.0.0.1:1/secret-key",
        SOLANA_WS_URL="ws://127.0.0.1:1/secret-key",
        DATABASE_URL="postgresql://nobody:hunter2@127.0.0.1:1/nothing",
        WALLET_PATH=str(patient.paths.state / "no-such-file"),
    )
    failed = {name for name, finding in found.items() if finding.verdict is Verdict.FAIL}
    assert failed == {"node 127.0.0.1:1", "websocket 127.0.0.1:1", "cluster", "program", "database", "wallet"}
    assert worst(list(found.values())) is Verdict.FAIL
    told = "".join(finding.detail + finding.remedy for finding in found.values())
    assert "hunter2" not in told
    assert "secret-key" not in told


async def test_the_command_ends_with_0_while_nothing_fails_and_with_1_else_and_tells_programs_the_same(
    patient,
) -> None:
    good, bad = await asyncio.gather(
        asyncio.to_thread(patient.command, "--json"),
        asyncio.to_thread(patient.command, SOLANA_RPC_URL="http://127.0.0.1:1/secret-key"),
    )
    assert good.returncode == 0, good.stdout + good.stderr
    told = json.loads(good.stdout)
    assert told["verdict"] in ("ok", "warn")
    assert {tuple(each) for each in told["findings"]} == {("name", "verdict", "detail", "remedy")}
    assert {each["verdict"] for each in told["findings"]} <= {"ok", "warn"}
    assert bad.returncode == 1
    lines = bad.stdout.splitlines()
    [failed] = [number for number, line in enumerate(lines) if line.startswith("fail  node 127.0.0.1:1 ")]
    assert lines[failed + 1].split("->")[1].strip() == "see that the URL is right and the node runs"
    assert "secret-key" not in bad.stdout + bad.stderr


async def test_a_node_whose_slot_stands_still_and_one_that_is_far_away_are_found(
    patient, monkeypatch
) -> None:
    def node(found: dict[str, Finding]) -> Finding:
        [told] = [finding for name, finding in found.items() if name.startswith("node ")]
        return told

    await asyncio.to_thread(patient.trouble, {"node": {"stands_still": True}})
    try:
        still = node(await patient.examined())
    finally:
        await asyncio.to_thread(patient.trouble, None)
    assert still.verdict is Verdict.FAIL
    assert "stands still" in still.detail
    assert node(await patient.examined()).verdict is Verdict.OK
    monkeypatch.setattr(cluster, "SLOW_MS", 0.0)
    assert node(await patient.examined()).remedy == "use a node that is nearer"


@pytest.mark.parametrize(
    ("ahead_s", "price", "clock"),
    [(400, Verdict.FAIL, Verdict.OK), (-12, Verdict.OK, Verdict.WARN), (-50, Verdict.OK, Verdict.FAIL)],
)
async def test_prices_that_are_old_and_a_clock_that_is_behind_them_are_found(
    patient, monkeypatch, ahead_s: int, price: Verdict, clock: Verdict
) -> None:
    shifted = SimpleNamespace(time=lambda: time.time() + ahead_s, monotonic=time.monotonic)
    monkeypatch.setattr(cluster, "time", shifted)
    monkeypatch.setattr(cluster, "synchronised", lambda: True)
    found = await patient.examined()
    assert (found["price SOL/USD"].verdict, found["clock"].verdict) == (price, clock)
    assert price is Verdict.OK or found["price SOL/USD"].remedy.startswith("its positions are held until")
    assert clock is Verdict.OK or "timedatectl" in found["clock"].remedy


async def test_a_database_that_is_too_old_or_too_far_away_and_a_full_disk_are_found(
    patient, monkeypatch
) -> None:
    monkeypatch.setattr(record, "SLOW_MS", 0.0)
    assert (await patient.examined())["database"].remedy == "move it nearer"
    monkeypatch.setattr(record, "OLDEST_VERSION", 990_000)
    monkeypatch.setattr(machine, "LEAST_FREE_BYTES", 1 << 60)
    found = await patient.examined()
    assert (found["database"].verdict, found["disk"].verdict) == (Verdict.FAIL, Verdict.WARN)
    assert "or newer" in found["database"].remedy
    assert found["disk"].remedy.startswith("make room")


async def test_bad_settings_are_told_beside_what_needs_none(patient) -> None:
    found = await patient.examined(WORKERS="0")
    assert found["settings"].verdict is Verdict.FAIL
    assert "WORKERS must be a whole number" in found["settings"].detail
    assert {"python", "disk", "tokens"} <= set(found)


async def test_another_cluster_than_the_one_that_is_meant_is_found(patient) -> None:
    found = await patient.examined(SOLANA_GENESIS_HASH=DEVNET)
    assert found["cluster"].verdict is Verdict.FAIL
    told = await patient.examined()
    genesis = told["cluster"].remedy.partition("=")[2].split()[0]
    assert (await patient.examined(SOLANA_GENESIS_HASH=genesis))["cluster"].verdict is Verdict.OK


async def test_a_program_that_is_not_there_and_its_fund_are_found(patient) -> None:
    found = await patient.examined(PROGRAM_ID=str(Pubkey.new_unique()))
    assert found["program"].verdict is Verdict.FAIL
    assert found["fund"].verdict is Verdict.FAIL
    assert found["price SOL/USD"].verdict is Verdict.OK


async def test_a_feed_of_another_symbol_and_one_that_does_not_exist_are_found(patient) -> None:
    anothers = {"feed_id": "ab" * 32, "account": str(FEEDS["SOL/USD"].account)}
    swapped = {"account": str(FEEDS["BTC/USD"].account)}  # no two symbols may name one account
    strange = {"BTC/USD": anothers, "SOL/USD": swapped, "DOGE/USD": {"feed_id": "cd" * 32}}
    found = await patient.examined(SYMBOLS=json.dumps(strange))
    assert "of another feed" in found["price BTC/USD"].detail
    assert found["price DOGE/USD"].verdict is Verdict.FAIL
    assert found["price ETH/USD"].verdict is Verdict.OK


async def test_a_key_that_others_can_read_and_an_empty_wallet_are_found(patient, tmp_path) -> None:
    path = tmp_path / "key.json"
    path.write_text(str(list(bytes(Keypair()))))
    path.chmod(0o644)
    found = await patient.examined(WALLET_PATH=str(path))
    assert found["wallet"].verdict is Verdict.FAIL
    assert "chmod 600" in found["wallet"].remedy
    path.chmod(0o600)
    found = await patient.examined(WALLET_PATH=str(path))
    assert (found["wallet"].verdict, found["balance"].verdict) == (Verdict.OK, Verdict.FAIL)
    assert "0.0000 SOL" in found["balance"].detail


async def test_a_keyring_that_cannot_be_trusted_is_named_where_the_key_would_come_from_it(
    patient, monkeypatch
) -> None:
    assert (await patient.examined())["keyring"].detail == "not asked: WALLET_SOURCE is file"
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere")
    monkeypatch.setattr(keyring, "get_keyring", null.Keyring)
    found = (await patient.examined(WALLET_SOURCE="keyring"))["keyring"]
    assert found.verdict is Verdict.FAIL
    assert "keyring.backends.null.Keyring" in found.detail
    beside = (await patient.examined(WALLET_SOURCE="auto"))["keyring"]
    assert beside.verdict is Verdict.WARN, "the file of WALLET_PATH has the key"
    monkeypatch.setattr(keyring, "get_keyring", SecretService.Keyring)
    monkeypatch.setattr("engine.wallet.os_keyring._refuse_locked", lambda: None)
    good = (await patient.examined(WALLET_SOURCE="auto"))["keyring"]
    assert (good.verdict, good.detail) == (Verdict.OK, "keyring.backends.SecretService.Keyring, unlocked")


async def test_a_port_that_is_taken_is_found(patient) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        found = await patient.examined(SERVER_PORT=str(other.getsockname()[1]))
    assert found["port"].verdict is Verdict.FAIL
    assert "SERVER_PORT" in found["port"].remedy


async def test_a_schema_that_another_program_made_is_found(patient) -> None:
    dsn = patient.settings["DATABASE_URL"]
    await migrate(dsn)
    assert "are applied" in (await patient.examined())["migrations"].detail
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("UPDATE schema_migrations SET sha256 = 'x' || sha256")
        assert (await patient.examined())["migrations"].verdict is Verdict.FAIL
        await connection.execute("UPDATE schema_migrations SET sha256 = substr(sha256, 2)")
    finally:
        await connection.close()


async def test_tokens_that_have_expired_are_told_of(patient) -> None:
    patient.paths.prepare()
    tokens = TokenFile(patient.paths.tokens)
    tokens.add("old", ["read"], now_s=int(time.time()) - 100, lives_s=50, replace=False)
    tokens.add("new", ["read"], now_s=int(time.time()), lives_s=90 * 86_400, replace=False)
    found = (await patient.examined())["tokens"]
    assert found.verdict is Verdict.WARN
    assert "expired: old;" in found.detail


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
async def test_a_state_folder_that_cannot_be_written_is_found(patient, tmp_path) -> None:
    tmp_path.chmod(0o500)
    try:
        assert (await patient.examined())["disk"].verdict is Verdict.FAIL
    finally:
        tmp_path.chmod(0o700)


async def test_a_look_that_hangs_or_breaks_is_a_finding_of_its_own() -> None:
    async def hangs() -> list[Finding]:
        await asyncio.Event().wait()
        return []

    async def breaks() -> list[Finding]:
        raise ZeroDivisionError

    async def works() -> list[Finding]:
        return [ok("it", "is well")]

    assert "no answer in 0.01 s" in (await looked("it", hangs, 0.01))[0].detail
    assert "ZeroDivisionError" in (await looked("it", breaks))[0].detail
    assert (await looked("it", works)) == [ok("it", "is well")]
    split = of_error("it", OperatorError("The disk is full: make room"))
    assert (split.detail, split.remedy) == ("The disk is full", "make room")
