"""An engine set up the way the operational guide does it, and a shell to give the guide's commands in."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import parse_qs, urlsplit

from awaited import PATIENCE_S, until
from guide_blocks import ROOT, Block, kept_blocks
from solders.keypair import Keypair
from telling import running_sandbox

from engine.store.postgres_files import choose_user, find_binaries

COMMAND_S = 60.0
# A crash in which nobody is rescued: what failed stays failed for as long as prices stand still.
SANDBOX = (
    *("--positions", "80", "--seed", "7", "--slot-ms", "50", "--scenario", "crash"),
    *("--behaviour", "closings_per_minute=0", "--behaviour", "top_ups_per_minute=0"),
)
OF_A_CHECKOUT = ("monitoring", "deploy", "Makefile", ".env.example", "requirements.lock", "pyproject.toml")


@dataclass
class Operator:
    """Somebody at a shell, in a folder that looks like a checkout and with a home of his own.

    `words` are what the guide leaves to the operator, or takes for granted, and what it is here.
    """

    home: Path
    environment: dict[str, str]
    words: dict[str, str] = field(default_factory=dict)

    @property
    def checkout(self) -> Path:
        """Where commands are given."""
        return self.home / "checkout"

    def put(self, command: str) -> str:
        """The command with this machine's words in it; what goes on for ever is asked once."""
        command = re.sub(r"\bsudo (-u postgres )?", "", command)
        command = re.sub(r"^(journalctl .*) -f$", r"\1", command)
        for word, meaning in self.words.items():
            command = command.replace(word, meaning)
        return command

    def run(
        self, command: str, *, cwd: Path | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Give a command as the guide has it."""
        return subprocess.run(
            ["bash", "-o", "pipefail", "-c", self.put(command)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            env={**self.environment, **environment},
            cwd=cwd or self.checkout,
            check=False,
        )

    def ask(self, path: str) -> Any:
        """The engine's answer to a GET."""
        url = f"http://127.0.0.1:{self.words['localhost:8080'].rpartition(':')[2]}{path}"
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
            return json.load(answer)


def block(number: int) -> Block:
    """The block of this number."""
    found = kept_blocks()[number - 1]
    assert found.number == number
    return found


def new_operator(home: Path) -> Operator:
    """A home with a checkout in it, the program and PostgreSQL's own programs on the PATH."""
    operator = Operator(home, {})
    operator.checkout.mkdir()
    for name in OF_A_CHECKOUT:
        if (ROOT / name).exists():
            (operator.checkout / name).symlink_to(ROOT / name)
    postgres = find_binaries(choose_user(None))
    operator.environment = {
        "PATH": f"{Path(sys.executable).parent}:{postgres}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HOME": str(home),
        "XDG_STATE_HOME": str(home / "state"),
        "XDG_RUNTIME_DIR": str(home / "run"),
        "XDG_CONFIG_HOME": str(home / "config"),
        "LANG": "C.UTF-8",
        "TERM": "xterm",
    }
    return operator


def set_up_database(operator: Operator, url: str) -> str:
    """A server as it is when it was just installed, then the guide's step 3; gives the DSN for `.env`.

    The sandbox's server has the names of the guide already, which makes room for them here.
    """
    role, sockets = urlsplit(url).username, parse_qs(urlsplit(url).query)["host"][0]
    operator.environment |= {"PGHOST": sockets, "PGUSER": "postgres", "PGDATABASE": "postgres"}
    made = operator.run(
        f"psql -q -U {role} -c 'CREATE ROLE postgres SUPERUSER LOGIN' -c 'DROP DATABASE liquidation_db' &&"
        f" psql -q -c 'ALTER ROLE {role} RENAME TO installer'"
    )
    assert made.returncode == 0, made.stderr
    step, statements, leaving = (each.command for each in block(5).steps)
    typed = operator.run(f"{step} <<'TYPED'\n{statements}\n{leaving}\nTYPED")
    assert (typed.returncode, typed.stderr) == (0, "")
    operator.environment |= {"PGUSER": "liquidation", "PGPASSWORD": "your_secure_password"}
    operator.environment["PGDATABASE"] = "liquidation_db"
    return f"postgresql://liquidation:your_secure_password@/liquidation_db?host={sockets}"


def env_file(values: dict[str, str]) -> str:
    """The guide's `.env` with this machine's values, and what it does not name."""
    text = block(4).steps[0].command
    for name, value in values.items():
        line = f"{name}={value}"
        text, known = re.subn(rf"(?m)^{name}=.*$", lambda _, line=line: line, text)
        text += "" if known else f"\n{line}"
    return text + "\n"


@contextmanager
def running_engine(home: Path) -> Iterator[Operator]:
    """The guide's sections 1 and 2 done on a sandbox in a crash: an engine with successes and failures."""
    operator = new_operator(home)
    with running_sandbox(*SANDBOX, "--rpc-port", "0", "--ws-port", "0") as where:
        dsn = set_up_database(operator, where["database_url"])
        fail_documented(where)
        of_the_chain = {"SOLANA_RPC_URL": where["rpc_url"], "SOLANA_WS_URL": where["ws_url"]}
        values = {"DATABASE_URL": dsn, "WALLET_PATH": where["wallet_path"], "SERVER_PORT": "0"}
        (operator.checkout / ".env").write_text(env_file({**of_the_chain, **values}))
        log = home / "engine.log"
        with log.open("w") as stderr:
            engine = subprocess.Popen(
                ["bash", "-c", f"exec {block(11).steps[1].command}"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                cwd=operator.checkout,
                # One attempt: what is to fail has failed for good after it. The log is told to be journald's.
                env=operator.environment | {"RETRY_ATTEMPTS": "1", "JOURNAL_STREAM": identity(stderr)},
            )
        try:
            found = until(lambda: listening(engine, log.read_text()), log.read_text)
            operator.environment |= of_the_chain
            operator.words = words_of(operator, int(found[1]), where)
            yield operator
        finally:
            engine.kill()  # what is in flight ends with the sandbox, too
            engine.wait(PATIENCE_S)


def identity(stream: TextIO) -> str:
    """What systemd names the journal by, to a process whose stderr is it."""
    status = os.fstat(stream.fileno())
    return f"{status.st_dev}:{status.st_ino}"


def listening(engine: subprocess.Popen[bytes], log: str) -> re.Match[str] | None:
    """Where the engine listens, once its log says so; fails at once when it has ended instead."""
    assert engine.poll() is None, log
    return re.search(r"event=listening .*port=(\d+)", log)


def fail_documented(where: dict[str, str]) -> None:
    """Let each liquidation of a documented position land with an error, so that there is what went wrong."""
    only = {"filters": [{"dataSize": 120}], "encoding": "base64", "commitment": "processed"}
    names = [each["pubkey"] for each in rpc(where, "getProgramAccounts", where["program_id"], only)]
    trouble = {"fail_share": 1, "accounts": names, "fail_error": {"InstructionError": [0, {"Custom": 6006}]}}
    rpc(where, "sandboxTrouble", {"landing": trouble})


def rpc(where: dict[str, str], method: str, *parameters: object) -> Any:
    """The result of one of the node's methods."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}).encode()
    request = urllib.request.Request(where["rpc_url"], body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        return json.load(answer)["result"]


def words_of(operator: Operator, port: int, where: dict[str, str]) -> dict[str, str]:
    """What the guide's commands call by other names than it has here, once there is something of each."""
    operator.words = {"localhost:8080": f"localhost:{port}"}
    shown = lambda: json.dumps(operator.ask("/stats"))[:3000]  # noqa: E731 - said where waiting fails
    failed = until(lambda: operator.ask("/liquidations/failed")["failed"], shown)
    until(lambda: operator.ask("/liquidations/recent?outcome=confirmed")["rows"], shown)
    rpc(where, "sandboxHoldPrices", True)
    other = operator.home / "other.json"
    other.write_text(json.dumps(list(bytes(Keypair()))))
    other.chmod(0o600)
    token = operator.run("liquidation-engine token new guide --scope admin")
    assert token.returncode == 0, token.stderr
    [secret] = re.findall(r"\b[0-9a-f]{64}\b", token.stdout)
    return {
        "localhost:8080": f"localhost:{port}",
        "SERVER_PORT=8080": f"SERVER_PORT={port}",
        "<ADMIN_TOKEN>": secret,
        "<LIQUIDATOR_PUBKEY>": operator.ask("/stats")["wallet"]["address"],
        "<POSITION_PUBKEY>": failed[0]["address"],
        "FAILED_ID": failed[0]["liquidation_id"],
        "OTHER_WALLET": str(other),
        "/path/to/existing/keypair.json": where["wallet_path"],
        "ROOT/etc": str(operator.home / "root" / "etc"),
        "~/": f"{operator.home}/",
    }


def journal_of(operator: Operator, converter: Path) -> Path:
    """The engine's log as a journal file: each line an entry of its service, with journald's priority for it.

    A line that begins with `<3>` has that priority; one that does not has that of information.
    """
    entries = []
    for number, line in enumerate((operator.home / "engine.log").read_text().splitlines()):
        priority, text = re.fullmatch(r"(?:<([0-7])>)?(.*)", line, re.S).groups("6")  # type: ignore[union-attr]
        at_us = int(time.time() * 1e6) + number
        entries.append(
            f"__CURSOR=s=0;i={number}\n__REALTIME_TIMESTAMP={at_us}\n__MONOTONIC_TIMESTAMP={at_us}\n"
            f"_BOOT_ID={'1' * 32}\n_SYSTEMD_UNIT=liquidation-engine.service\nPRIORITY={priority}\n"
            f"SYSLOG_IDENTIFIER=liquidation-engine\nMESSAGE={text}\n"
        )
    path = operator.home / "service.journal"
    path.unlink(missing_ok=True)
    done = subprocess.run(
        [converter, "-o", path, "-"],
        input="\n".join(entries) + "\n",
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return path
