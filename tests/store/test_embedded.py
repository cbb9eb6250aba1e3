"""The PostgreSQL in the box: up in a moment, private, kept or temporary, and gone with its owner."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from engine.errors import DatabaseUnavailable
from engine.store import postgres_files
from engine.store.embedded import embedded_postgres, running_dsn
from engine.store.migrate import migrate

REPOSITORY = Path(__file__).parents[2]

OWNER = """
import asyncio, sys
from pathlib import Path
from engine.store.embedded import embedded_postgres

async def main():
    data = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    async with embedded_postgres(data) as dsn:
        print(dsn, flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


async def fetch(dsn: str, query: str) -> object:
    connection = await asyncpg.connect(dsn, timeout=5)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def start_owner(*arguments: str) -> tuple[asyncio.subprocess.Process, str]:
    owner = await asyncio.create_subprocess_exec(
        sys.executable, "-c", OWNER, *arguments, stdout=asyncio.subprocess.PIPE, cwd=REPOSITORY
    )
    assert owner.stdout is not None
    line = await asyncio.wait_for(owner.stdout.readline(), 30)
    return owner, line.decode().strip()


def sockets_of(dsn: str) -> Path:
    return Path(dsn.partition("host=")[2])


def mode_of(path: str | Path) -> int:
    return Path(path).stat().st_mode & 0o777


def server_pid(data: Path) -> int:
    return int((data / "postmaster.pid").read_text().splitlines()[0])


def is_running(pid: int) -> bool:
    """A dead child of ours that nobody waited for still answers to signals, so its state is read."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_data_in_a_directory_is_there_again_at_the_next_start(data):
    async with embedded_postgres(data) as dsn:
        assert running_dsn(data) == dsn
        await migrate(dsn)
        assert await fetch(dsn, "SHOW fsync") == "on"
        await fetch(dsn, "INSERT INTO journal_progress VALUES ('j', 'i', 5, now())")
    assert running_dsn(data) is None
    async with embedded_postgres(data) as dsn:
        assert await fetch(dsn, "SELECT shipped_seq FROM journal_progress") == 5
        assert await fetch(dsn, "SELECT current_database()") == "liquidation_db"


async def test_only_this_user_may_enter_the_socket_and_nothing_listens_on_tcp(postgres):
    assert mode_of(postgres.sockets) & 0o077 == 0
    assert await fetch(postgres.dsn("postgres"), "SHOW listen_addresses") == ""


async def test_a_server_that_is_killed_is_started_again_on_its_data_and_ends_in_order(data, eventually):
    async def is_back() -> bool:
        try:
            return await fetch(dsn, "SELECT shipped_seq FROM journal_progress") == 5
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False

    async with embedded_postgres(data) as dsn:
        await migrate(dsn)
        await fetch(dsn, "INSERT INTO journal_progress VALUES ('j', 'i', 5, now())")
        killed = server_pid(data)
        os.kill(killed, signal.SIGKILL)
        await eventually(lambda: not is_running(killed))
        await eventually(is_back)
        second = server_pid(data)
        assert second != killed
    assert not is_running(second)


async def test_a_temporary_server_leaves_nothing_behind():
    async with embedded_postgres() as dsn:
        data = sockets_of(dsn)
        pid = server_pid(data)
        assert await fetch(dsn, "SHOW fsync") == "off"
    assert not data.exists()
    assert not data.parent.exists()
    assert not is_running(pid)


async def test_a_temporary_server_goes_with_an_owner_that_is_killed(eventually):
    owner, dsn = await start_owner()
    data = sockets_of(dsn)
    pid = server_pid(data)
    assert is_running(pid)
    owner.send_signal(signal.SIGKILL)
    await owner.wait()
    await eventually(lambda: not is_running(pid))
    await eventually(lambda: not data.parent.exists())


async def test_a_kept_server_goes_in_good_order_with_a_killed_owner_and_the_next_start_waits(data):
    owner, dsn = await start_owner(str(data))
    await fetch(dsn, "CREATE TABLE kept (n int)")
    first = server_pid(data)
    owner.send_signal(signal.SIGKILL)
    await owner.wait()
    async with embedded_postgres(data) as again:
        assert server_pid(data) != first
        assert await fetch(again, "SELECT count(*) FROM kept") == 0


async def test_a_second_owner_of_the_same_data_is_refused_and_the_first_goes_on(data, monkeypatch):
    monkeypatch.setattr("engine.store.embedded.PREDECESSOR_DEADLINE_S", 0.2)
    async with embedded_postgres(data) as dsn:
        with pytest.raises(DatabaseUnavailable, match="is in use by process"):
            async with embedded_postgres(data):
                pass
        assert await fetch(dsn, "SELECT 1") == 1


async def test_a_server_that_cannot_start_says_why_in_one_line(data):
    (data / "postgresql.auto.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(DatabaseUnavailable) as refusal:
        async with embedded_postgres(data):
            pass
    assert "did not start" in str(refusal.value)
    assert "\n" not in str(refusal.value)


async def test_a_path_too_long_for_a_socket_gets_one_elsewhere(data, directory):
    parent = directory / ("x" * 90)
    parent.mkdir(mode=0o755)
    data = data.rename(parent / "pg")
    async with embedded_postgres(data) as dsn:
        assert running_dsn(data) == dsn
        assert await fetch(dsn, "SELECT 1") == 1
        sockets = sockets_of(dsn)
    assert not sockets.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another user for the server")
async def test_root_opens_no_directory_to_others_for_the_servers_sake(tmp_path, monkeypatch, directory):
    monkeypatch.setattr(postgres_files, "_SYSTEM_STATE", directory)
    tmp_path.chmod(0o700)
    data = tmp_path / "pg"
    async with embedded_postgres(data) as dsn:
        assert await fetch(dsn, "SELECT 1") == 1
    assert mode_of(tmp_path) == 0o700
    assert data.resolve().parent == directory
    assert data.resolve().with_suffix(".of").readlink() == data
    assert pwd.getpwuid(data.resolve().stat().st_uid).pw_name != "root"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another user for the server")
def test_binaries_that_the_servers_user_cannot_reach_are_copied_whole(tmp_path, monkeypatch, directory):
    package = postgres_files.find_binaries(postgres_files.ServerUser(None, None)).parents[1]
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    (private / package.name).symlink_to(package)
    monkeypatch.setattr(postgres_files, "_SYSTEM_STATE", directory)
    copied = postgres_files._copy_installation(package) / package.name / "pginstall18" / "bin"
    user = postgres_files.choose_user(None)
    assert not user.reaches(private / package.name)
    for program in ("postgres", "initdb"):
        assert "PostgreSQL) 18" in user.run([str(copied / program), "--version"]).stdout


AS_NOBODY = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
# Root's own Python may lie where nobody else may read; the capability lets the test start it all the same.
AS_NOBODY += ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]

SHORT_LIFE = OWNER.replace("await asyncio.sleep(600)", "import os; print(os.geteuid())")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv of the package util-linux")
def test_an_ordinary_user_runs_it_as_itself(directory):
    nobody = pwd.getpwnam("nobody")
    package = postgres_files._package()
    if not postgres_files.ServerUser(nobody.pw_uid, nobody.pw_gid).reaches(package):
        pytest.skip(f"only root may enter a directory above {package}")
    os.chown(directory, nobody.pw_uid, nobody.pw_gid)
    done = subprocess.run(
        [*AS_NOBODY, sys.executable, "-c", SHORT_LIFE, str(directory / "pg")],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        timeout=60,
        check=False,
    )
    if "setpriv" in done.stderr:
        pytest.skip(f"this container does not let root change users: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1] == str(nobody.pw_uid)
    assert (directory / "pg").stat().st_uid == nobody.pw_uid
