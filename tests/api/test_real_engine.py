"""A real engine on a real sandbox, behind TLS: who gets in by which way, and its key in no output."""

from __future__ import annotations

import asyncio
import base64
import grp
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest
from awaited import PATIENCE_S, until
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from engine.api import launcher
from engine.paths import ProfilePaths, profile_paths

SANDBOX = ["--positions", "200", "--scenario", "crash", "--seed", "3", "--slot-ms", "100"]
SANDBOX += ["--rpc-port", "0", "--ws-port", "0"]
HOST, ELSEWHERE = "127.0.0.2", "127.0.0.1"  # the SERVER_HOST of the engine, and where it does not listen
STRANGER = 65_534
SECRET_FREE = ("/ws", "/stream")  # WebSockets: what they tell is in the other answers

# Run with another user's rights: what that one may say over the unix socket.
AS_ANOTHER = """
import os, socket, sys
path, uid, gid, request = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
os.setgroups([]); os.setgid(gid); os.setuid(uid)
with socket.socket(socket.AF_UNIX) as link:
    link.settimeout(30)
    try:
        link.connect(path)
    except PermissionError:
        sys.exit("permission denied")
    link.sendall(f"{request} HTTP/1.1\\r\\nHost: engine\\r\\nConnection: close\\r\\n\\r\\n".encode())
    while part := link.recv(65536):
        sys.stdout.buffer.write(part)
"""


# A fault while the key is open, told with everything that its holder would say of itself.
BREAKS = """
import sys
from engine.wallet.secret import SecretKey
def address(secret):
    raise RuntimeError(f"{secret!r} {secret} {vars(secret) if hasattr(secret, '__dict__') else ''}")
SecretKey.address = address
from engine.cli.main import main
sys.argv = ["liquidation-engine", "wallet", "show"]
main()
"""


@dataclass
class Whole:
    """The engine's process, its port and socket, and the key that it signs with."""

    paths: ProfilePaths
    port: int
    process: subprocess.Popen[bytes]
    environment: dict[str, str]
    certificate: Path
    key_file: Path
    key: Keypair = field(repr=False)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command of the operator."""
        return self.python("-m", "engine", *arguments)

    def python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A program in the operator's environment."""
        return subprocess.run(
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            env=self.environment,
            check=False,
        )

    def ask(
        self, method: str, path: str, *, token: str | None = None, **headers: str
    ) -> tuple[int, Any, bytes]:
        """Status, headers and body of a request over TLS, whose certificate is checked."""
        context = ssl.create_default_context(cafile=str(self.certificate))
        link = http.client.HTTPSConnection(HOST, self.port, timeout=PATIENCE_S, context=context)
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        try:
            link.request(method, path, headers=headers)
            answer = link.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            link.close()

    def over_unix(self, request: str) -> bytes:
        """The whole answer on the unix socket."""
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(PATIENCE_S)
            link.connect(str(self.paths.socket))
            link.sendall(f"{request} HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n\r\n".encode())
            parts = []
            while part := link.recv(65_536):
                parts.append(part)
        return b"".join(parts)

    def as_another(self, uid: int, gid: int, request: str) -> subprocess.CompletedProcess[bytes]:
        """The same with another user's rights."""
        return subprocess.run(
            [sys.executable, "-c", AS_ANOTHER, str(self.paths.socket), str(uid), str(gid), request],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE_S,
            check=False,
        )

    def audit(self) -> list[dict[str, Any]]:
        """Its newest rows."""
        rows: list[dict[str, Any]] = _json_of(self.over_unix("GET /admin/audit?limit=100"))["rows"]
        return rows


@pytest.fixture(scope="module")
def whole() -> Iterator[Whole]:
    if shutil.which("openssl") is None:
        pytest.skip("needs the Debian package openssl")
    with tempfile.TemporaryDirectory(prefix="le-") as home, pytest.MonkeyPatch.context() as patch:
        # Whoever is in the group must be able to reach the socket.
        Path(home).chmod(0o755)
        patch.setenv("XDG_STATE_HOME", f"{home}/state")
        patch.setenv("XDG_RUNTIME_DIR", f"{home}/run")
        for name in ("SOLANA_RPC_URL", "DATABASE_URL", "WALLET_PATH", "SERVER_PORT"):
            patch.delenv(name, raising=False)
        paths = profile_paths()
        certificate, key = Path(home, "cert.pem"), Path(home, "key.pem")
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
                *("-nodes", "-keyout", str(key), "-out", str(certificate), "-days", "2"),
                *("-subj", "/CN=engine", "-addext", f"subjectAltName=IP:{HOST}"),
            ],
            check=True,
            capture_output=True,
            timeout=PATIENCE_S,
        )
        sandbox = asyncio.run(launcher.ensure_sandbox(paths, SANDBOX))
        environment = (
            dict(os.environ)
            | launcher.engine_environment(sandbox)
            | {
                "SERVER_PORT": "0",
                "SERVER_HOST": HOST,
                "TLS_CERT_PATH": str(certificate),
                "TLS_KEY_PATH": str(key),
                "ADMIN_GROUP": grp.getgrgid(os.getgid()).gr_name if os.geteuid() else "daemon",
                "LOG_LEVEL": "debug",
            }
        )
        engine = asyncio.run(launcher.ensure_engine(paths, environment, []))
        assert engine.process is not None
        try:
            found = until(lambda: re.search(r"event=listening .*port=(\d+)", paths.engine_log.read_text()))
            wallet = Path(sandbox.wallet_path)
            signs = Keypair.from_bytes(bytes(json.loads(wallet.read_text())))
            yield Whole(paths, int(found[1]), engine.process, environment, certificate, wallet, signs)
        finally:
            engine.process.terminate()
            engine.process.wait(PATIENCE_S)
            asyncio.run(launcher.stop_sandbox(paths))


def _json_of(answer: bytes) -> Any:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), answer[:500]
    return json.loads(body)


def test_with_a_certificate_the_port_speaks_https_alone(whole: Whole) -> None:
    assert whole.ask("GET", "/health")[::2] == (200, b'{"status":"ok"}')
    plain = http.client.HTTPConnection(HOST, whole.port, timeout=PATIENCE_S)
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        plain.request("GET", "/health")
        plain.getresponse()
    plain.close()
    assert whole.ask("GET", "/health", Host="evil.example")[0] == 421
    assert whole.ask("GET", "/health", Origin="https://evil.example")[0] == 403


def test_it_listens_on_the_address_of_the_settings_alone(whole: Whole) -> None:
    socket.create_connection((HOST, whole.port), PATIENCE_S).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((ELSEWHERE, whole.port), PATIENCE_S)


def test_a_token_lives_from_its_making_over_its_rotation_to_its_revocation(whole: Whole) -> None:
    def may(token: str) -> int:
        return whole.ask("POST", "/admin/clear-queue", token=token)[0]

    made = whole.run("token", "new", "night", "--scope", "operate", "--days", "1")
    first = made.stdout.strip()
    assert re.fullmatch(r"[0-9a-f]{64}", first), made.stderr
    assert re.match(r"night +operate +until ", whole.run("token", "list").stdout)
    until(lambda: may(first) == 200)
    assert whole.ask("POST", "/admin/shutdown", token=first)[0] == 403

    assert "already" in whole.run("token", "new", "night").stderr
    second = whole.run("token", "new", "night", "--scope", "operate", "--replace").stdout.strip()
    until(lambda: may(second) == 200)
    assert may(first) in (401, 429)
    assert whole.run("token", "revoke", "night").returncode == 0
    until(lambda: may(second) in (401, 429))
    assert whole.run("token", "list").stdout == "There are no tokens.\n"
    for secret in (first, second):
        assert secret not in whole.paths.engine_log.read_text() + whole.paths.tokens.read_text()
    assert ("token night", "clear-queue", True) in {
        (row["actor"], row["command"], row["accepted"])
        for row in until(lambda: [row for row in whole.audit() if row["actor"] == "token night"])
    }


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to act as a second user")
def test_a_member_of_the_group_commands_under_its_own_uid_and_a_stranger_gets_no_word_in(
    whole: Whole,
) -> None:
    member = grp.getgrnam("daemon").gr_gid
    refused = whole.as_another(STRANGER, STRANGER, "POST /admin/clear-queue")
    assert (refused.returncode, refused.stderr.decode().strip()) == (1, "permission denied")
    done = whole.as_another(STRANGER, member, "POST /admin/clear-queue")
    assert _json_of(done.stdout)["message"].startswith("Cleared: "), done.stderr
    row = until(lambda: [row for row in whole.audit() if row["uid"] == STRANGER])[0]
    assert (row["command"], row["accepted"]) == ("clear-queue", True)


def test_the_key_is_in_nothing_that_the_engine_says_or_keeps(whole: Whole) -> None:
    until(lambda: b"engine_liquidations" not in (told := whole.ask("GET", "/metrics")[2]) and _done(told))
    said = {name: text.encode() for name, text in _commands(whole)}
    said |= dict(_answers(whole))
    crash = whole.python("-c", BREAKS)
    assert "please report it with the file" in crash.stderr
    said["a crash"] = (crash.stdout + crash.stderr).encode()
    said |= dict(_files(whole))
    assert any("/crash-" in name and b"RuntimeError" in text for name, text in said.items())
    said |= dict(_processes(whole))
    said["database"] = asyncio.run(_rows(whole.environment["DATABASE_URL"]))
    assert len(said) > 40
    assert str(whole.key.pubkey()).encode() in said["database"], "what is public is there to be found"
    forms = _forms_of(whole.key)
    shown = [(name, form) for name, text in said.items() for form in forms if form in text]
    assert shown == []


def _done(metrics: bytes) -> bool:
    """Whether something was liquidated: signed, sent, recorded."""
    return bool(
        re.search(rb'^liquidations_total\{action="\w+",symbol="[^"]+"\} [1-9]', metrics, re.MULTILINE)
    )


def _forms_of(key: Keypair) -> list[bytes]:
    """The ways in which a key shows up: as bytes, and as every text that is usual for it."""
    whole, seed = bytes(key), bytes(key)[:32]
    texts = [str(key), str(Pubkey(seed))]  # base58
    for raw in (whole, seed):
        texts += [raw.hex(), raw.hex().upper(), base64.b64encode(raw).decode()]
        texts += [base64.urlsafe_b64encode(raw).decode(), repr(raw)[2:-1]]
        texts += [json.dumps(list(raw))[1:-1], json.dumps(list(raw), separators=(",", ":"))[1:-1]]
    return [whole, seed, *(text.encode() for text in texts)]


def _commands(whole: Whole) -> Iterator[tuple[str, str]]:
    for line in ("status", "status --json", "doctor", "doctor --json", "config show", "wallet show"):
        done = whole.run(*line.split())
        assert "Traceback" not in done.stderr
        yield line, done.stdout + done.stderr


def _answers(whole: Whole) -> Iterator[tuple[str, bytes]]:
    """Every GET of the document, over TLS or the unix socket, the refusals included."""
    described = msgspec.json.decode(whole.ask("GET", "/openapi.json")[2])
    address = str(whole.key.pubkey())
    unix_only = ["/snapshot", "/settings", "/admin/audit?limit=100", "/admin/resume"]
    for path, methods in described["paths"].items():
        if "get" in methods and path not in SECRET_FREE:
            yield path, whole.over_unix(f"GET {path.replace('{address}', address)}")
    for path in unix_only:
        answer = whole.over_unix(f"GET {path}")
        assert answer.startswith(b"HTTP/1.1 200")
        yield f"unix {path}", answer
    for path in ("/metrics", "/stats", "/nowhere", f"/positions/{address}"):
        yield f"tls {path}", whole.ask("GET", path)[2]


def _files(whole: Whole) -> Iterator[tuple[str, bytes]]:
    """The log, the journal, the gate, tokens, the sandbox's files: everything but the key's own."""
    home = whole.paths.state.parents[1]
    for path in home.parent.rglob("*"):
        if path.is_file() and path != whole.key_file and "/base/" not in str(path):
            yield str(path), path.read_bytes()
    assert whole.key_file.is_relative_to(home.parent)


def _processes(whole: Whole) -> Iterator[tuple[str, bytes]]:
    """Arguments and environment of the engine and of all that it started."""
    family = [whole.process.pid]
    for pid in family:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        family += map(int, children)
        for name in ("cmdline", "environ"):
            try:
                yield f"{name} of {pid}", Path(f"/proc/{pid}/{name}").read_bytes()
            except PermissionError:
                yield f"{name} of {pid}", b""  # closed to others of the same user: nobody reads it there


async def _rows(dsn: str) -> bytes:
    """Every row of every table."""
    connection = await asyncpg.connect(dsn, timeout=PATIENCE_S)
    try:
        tables = await connection.fetch(
            "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables"
        )
        rows = [
            row["row"]
            for table in tables
            if not table["name"].startswith(("pg_catalog.", "information_schema."))
            for row in await connection.fetch(f"SELECT t::text AS row FROM {table['name']} t")
        ]
    finally:
        await connection.close()
    return "\n".join(rows).encode()
