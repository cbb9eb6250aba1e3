"""A server that takes passwords over TLS alone, reached by the settings that every libpq program knows."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.errors import DatabaseUnavailable
from engine.store.condition import look
from engine.store.migrate import migrate
from engine.store.pool import open_pool
from engine.store.postgres_files import choose_user

SERVERS = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
PASSWORD = "hunter2-secret"
START_S = 60

pytestmark = [
    pytest.mark.skipif(not SERVERS, reason="needs a server with TLS, of the package postgresql"),
    pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl of the package openssl"),
]


@dataclass(frozen=True)
class Secured:
    """A running server: how to name it, whom to trust, and a file with the password."""

    dsn: str
    authority: Path
    stranger: Path
    password_file: Path


def certificate(folder: Path, name: str, *extra: str) -> Path:
    """A certificate that signs itself, with its key beside it."""
    made = folder / f"{name}.crt"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        f"/CN={name}",
    ]
    command += [*extra, "-keyout", str(made.with_suffix(".key")), "-out", str(made)]
    subprocess.run(command, check=True, capture_output=True)
    return made


def start(folder: Path, data: Path, user, port: int) -> subprocess.CompletedProcess[str]:
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={data} -c ssl=on"
    command = [str(SERVERS[-1].with_name("pg_ctl")), "-D", str(data), "-w", "-t", str(START_S), "-o", options]
    return user.run([*command, "-l", str(data / "server.log"), "start"])


@pytest.fixture(scope="module")
def secured() -> Iterator[Secured]:
    """Debian's server, since the one in the box comes without TLS."""
    folder = Path(tempfile.mkdtemp(prefix="tls-"))
    folder.chmod(0o755)
    user = choose_user(None)
    data = folder / "data"
    data.mkdir(mode=0o700)
    user.own(data)
    authority = certificate(folder, "localhost", "-addext", "subjectAltName=DNS:localhost")
    stranger = certificate(folder, "stranger")
    secret = folder / "password"
    secret.write_text(PASSWORD)
    initdb = [
        str(SERVERS[-1].with_name("initdb")),
        "-D",
        str(data),
        "-U",
        "liquidation",
        "-A",
        "scram-sha-256",
    ]
    made = user.run([*initdb, "--no-sync", f"--pwfile={secret}"])
    assert made.returncode == 0, made.stderr
    for source, name in ((authority, "server.crt"), (authority.with_suffix(".key"), "server.key")):
        shutil.copy(source, data / name)
        (data / name).chmod(0o600)
        user.own(data / name)
    (data / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 scram-sha-256\n")
    for _ in range(20):
        port = random.randint(20_000, 60_000)
        if start(folder, data, user, port).returncode == 0:
            break
    else:
        pytest.fail((data / "server.log").read_text())
    password_file = folder / "pgpass"
    password_file.write_text(f"localhost:{port}:*:liquidation:{PASSWORD}\n")
    password_file.chmod(0o600)
    yield Secured(f"postgresql://liquidation@localhost:{port}/postgres", authority, stranger, password_file)
    user.run([str(SERVERS[-1].with_name("pg_ctl")), "-D", str(data), "-m", "immediate", "-w", "stop"])
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("PG")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


async def test_the_usual_variables_give_password_and_trust(secured, monkeypatch):
    monkeypatch.setenv("PGPASSFILE", str(secured.password_file))
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    monkeypatch.setenv("PGSSLROOTCERT", str(secured.authority))
    await migrate(secured.dsn)
    assert (await look(secured.dsn)).is_encrypted
    database = await open_pool(secured.dsn)
    assert await database.fetch("read_journal_progress", "none") == []
    await database.close()


async def test_the_dsn_itself_may_say_all_of_it(secured):
    named = secured.dsn.replace("liquidation@", f"liquidation:{PASSWORD}@")
    dsn = f"{named}?sslmode=verify-full&sslrootcert={secured.authority}"
    assert (await look(dsn)).is_encrypted


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"PGSSLMODE": "disable"}, "no pg_hba.conf entry"),
        ({"PGSSLMODE": "verify-full", "PGSSLROOTCERT": "stranger"}, "certificate verify failed"),
        ({"PGSSLMODE": "require", "PGPASSFILE": "/nonexistent"}, "password"),
    ],
    ids=["without TLS", "another authority", "no password"],
)
async def test_what_is_wrong_is_said_in_one_line_without_the_password(
    secured, monkeypatch, variables, reason
):
    given = {"PGPASSFILE": str(secured.password_file), **variables}
    for name, value in given.items():
        monkeypatch.setenv(name, str(secured.stranger) if value == "stranger" else value)
    with pytest.raises(DatabaseUnavailable, match=reason) as refusal:
        await migrate(secured.dsn)
    assert "\n" not in str(refusal.value)
    assert PASSWORD not in str(refusal.value)
