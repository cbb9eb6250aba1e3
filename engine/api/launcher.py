"""Starts an engine or a sandbox, or finds the one that already runs in a profile.

What it starts outlives the terminal: own session, no inherited terminal, output in the profile's log files.
Only the standard library is used here, so that a console opens before anything heavy is imported.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, Final

from engine.api.clean import clean
from engine.errors import OperatorError
from engine.paths import ProfilePaths

START_DEADLINE_S: Final = 60.0
_START_DEADLINE_S_PER_POSITION: Final = 0.0005
STOP_DEADLINE_S: Final = 20.0
ENGINE_END_S: Final = 30.0  # longer than the engine gives itself to finish
DEFAULT_SERVER_PORT: Final = 8080
_POLL_S: Final = 0.05
_LARGEST_LOG: Final = 16 * 2**20
_LONGEST_LINE: Final = 64 * 1024


class StartFailed(OperatorError):
    """A process that we started ended, or said nothing in time; message and exit code are its own."""

    def __init__(self, message: str, returncode: int | None) -> None:
        super().__init__(message)
        self.exit_code = returncode if returncode and returncode > 0 else 1


@dataclass(frozen=True, slots=True)
class SandboxDescriptor:
    """Where a running sandbox is, as its first line of output says, and its process.

    `rpc_urls` and `ws_urls` are of all its nodes, `rpc_url` and `ws_url` the first one's.
    """

    rpc_url: str
    ws_url: str
    rpc_urls: Sequence[str]
    ws_urls: Sequence[str]
    database_url: str
    wallet_path: str
    program_id: str
    hermes_url: str
    pid: int


@dataclass(frozen=True, slots=True)
class EngineProcess:
    """The engine of a profile; `process` is None when it ran before we came."""

    socket: Path
    process: subprocess.Popen[bytes] | None

    @property
    def started_here(self) -> bool:
        """Whether this call started it."""
        return self.process is not None


async def engine_answers(socket_path: Path) -> bool:
    """Whether a process accepts connections on the engine's unix socket."""
    try:
        async with asyncio.timeout(2.0):
            _, writer = await asyncio.open_unix_connection(socket_path)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


def engine_pid(socket_path: Path) -> int | None:
    """The process that listens on the engine's unix socket, whether it answers or not."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(socket_path))
            credentials = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        except OSError:
            return None
    return int(struct.unpack("3i", credentials)[0])


def running_sandbox(paths: ProfilePaths) -> SandboxDescriptor | None:
    """The profile's sandbox if it runs now; starts nothing."""
    kept = _kept_sandbox(paths)
    return None if kept is None else kept[0]


async def ensure_sandbox(paths: ProfilePaths, arguments: Sequence[str]) -> SandboxDescriptor:
    """The profile's sandbox: the running one, or a new one that is ready when this returns.

    Raises OperatorError when one runs with other arguments, when an engine of another cluster already
    serves the profile, and StartFailed when a new one does not come up in time.
    """
    paths.prepare()
    async with _launching(paths):
        if running := _kept_sandbox(paths):
            descriptor, its_arguments = running
            if arguments and list(arguments) != its_arguments:
                raise OperatorError(
                    f"Profile {paths.profile} has a sandbox with other options "
                    f"({' '.join(its_arguments) or 'none'}): leave them out, or use another --profile"
                )
            return descriptor
        if await engine_answers(paths.socket):
            raise OperatorError(
                f"An engine of another cluster runs in profile {paths.profile}: "
                "use another --profile for the sandbox"
            )
        return await _start_sandbox(paths, arguments)


async def start_private_sandbox(
    arguments: Sequence[str], log: Path | None = None
) -> tuple[SandboxDescriptor, asyncio.subprocess.Process]:
    """A sandbox that ends when this process does, however it ends; it writes to `log`, or to our stderr.

    Raises StartFailed when it does not come up in time.
    """
    with contextlib.nullcontext() if log is None else _open_log(log) as stderr:
        begin = stderr.tell() if stderr else 0
        process = await asyncio.create_subprocess_exec(
            *_command("sandbox", *arguments, "--exit-with-parent"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=_importable(os.environ),
            start_new_session=True,  # Ctrl+C is for the engine, which still needs its cluster to finish
            limit=_LONGEST_LINE,
        )
    if process.stdout is None:
        raise RuntimeError("the sandbox was started without a pipe")
    try:
        line = await asyncio.wait_for(process.stdout.readline(), _sandbox_deadline_s(arguments))
        return _parse_descriptor(line, process.pid), process
    except (TimeoutError, ValueError):
        await _end_private(process)
    said = None if log is None else _last_line(log, begin)
    raise StartFailed(said or "The sandbox did not start: its log says why", process.returncode)


async def _end_private(process: asyncio.subprocess.Process) -> None:
    """Give a sandbox that failed a second to end by itself, with its own exit code, before it is killed."""
    try:
        await asyncio.wait_for(process.wait(), 1.0)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def ensure_engine(
    paths: ProfilePaths, environment: Mapping[str, str], arguments: Sequence[str]
) -> EngineProcess:
    """The profile's engine: the running one, or a new one whose socket answers when this returns.

    Raises StartFailed with the engine's own last line when it ends instead.
    """
    paths.prepare()
    async with _launching(paths):
        if await engine_answers(paths.socket):
            return EngineProcess(paths.socket, None)
        process, begin = _spawn_engine(paths, environment, arguments)
        if await _answers_in_time(paths.socket, process):
            return EngineProcess(paths.socket, process)
    _end(process)
    said = _last_line(paths.engine_log, begin)
    raise StartFailed(said or f"The engine did not start: see {paths.engine_log}", process.returncode)


async def stop_sandbox(paths: ProfilePaths) -> None:
    """End the profile's sandbox and its database; nothing happens when none runs.

    An engine that is ending still settles what it sent, and needs the cluster for it: it goes first, unless
    it takes longer than ENGINE_END_S.
    """
    running = _kept_sandbox(paths)
    if running is None:
        return
    engine = engine_pid(paths.socket)
    if engine is not None:
        await _wait_for_end(engine, ENGINE_END_S)
    pid = running[0].pid
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    if not await _wait_for_end(pid, STOP_DEADLINE_S):
        raise OperatorError(f"The sandbox (process {pid}) does not end: `kill -9 {pid}`")
    paths.sandbox_descriptor.unlink(missing_ok=True)


async def _wait_for_end(pid: int, deadline_s: float) -> bool:
    """Whether the process has ended before the deadline."""
    started = _start_time(pid)
    waited_s = 0.0
    while started is not None and _start_time(pid) == started:
        if waited_s >= deadline_s:
            return False
        await asyncio.sleep(_POLL_S)
        waited_s += _POLL_S
    return True


def engine_environment(descriptor: SandboxDescriptor) -> dict[str, str]:
    """The settings that point an engine at the sandbox; takes any API port when the usual one is taken."""
    environment = {
        "SOLANA_RPC_URL": ",".join(descriptor.rpc_urls),
        "SOLANA_WS_URL": ",".join(descriptor.ws_urls),
        "DATABASE_URL": descriptor.database_url,
        "WALLET_PATH": descriptor.wallet_path,
        "WALLET_SOURCE": "file",
        "PROGRAM_ID": descriptor.program_id,
        "HERMES_URL": descriptor.hermes_url,
        "SOLANA_GENESIS_HASH": "",
    }
    if not os.environ.get("SERVER_PORT") and not _is_free(DEFAULT_SERVER_PORT):
        environment["SERVER_PORT"] = "0"
    return environment


def _command(*arguments: str) -> list[str]:
    """This program again. -P: a folder named engine where the operator stands must not be taken for ours."""
    return [sys.executable, "-P", "-m", "engine", *arguments]


def _importable(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment in which `python -m engine` finds this very copy of the program."""
    here = str(Path(__file__).resolve().parents[2])
    inherited = environment.get("PYTHONPATH")
    return {**environment, "PYTHONPATH": f"{here}{os.pathsep}{inherited}" if inherited else here}


@contextlib.asynccontextmanager
async def _launching(paths: ProfilePaths) -> AsyncIterator[None]:
    """Two consoles that open at once must not start two engines: one launches, the other then attaches."""
    descriptor = os.open(paths.runtime / "launch.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        async with asyncio.timeout(START_DEADLINE_S + STOP_DEADLINE_S):
            while True:
                if _try_lock(descriptor):
                    break
                await asyncio.sleep(_POLL_S)
        yield
    except TimeoutError:
        raise OperatorError(
            f"Another process has been starting profile {paths.profile} for too long: end it, then try again"
        ) from None
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _spawn_engine(
    paths: ProfilePaths, environment: Mapping[str, str], arguments: Sequence[str]
) -> tuple[subprocess.Popen[bytes], int]:
    """Start it detached; also returns where its part of the log begins."""
    with _open_log(paths.engine_log) as log:
        begin = log.tell()
        process = subprocess.Popen(  # noqa: S603 - this interpreter, this program, no shell
            _command("--no-ui", "--profile", paths.profile, *arguments),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=_importable(environment),
            start_new_session=True,
        )
    return process, begin


def _spawn_sandbox(paths: ProfilePaths, arguments: Sequence[str]) -> tuple[subprocess.Popen[bytes], int]:
    """The same for a sandbox, whose stdout is a pipe to us.

    Not asyncio's subprocess: its transport kills the child when the loop of the console closes.
    """
    with _open_log(_sandbox_log(paths)) as log:
        begin = log.tell()
        process = subprocess.Popen(  # noqa: S603 - this interpreter, this program, no shell
            _command("sandbox", "--state-dir", str(paths.state / "sandbox"), *arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            env=_importable(os.environ),
            start_new_session=True,
        )
    return process, begin


async def _answers_in_time(socket_path: Path, process: subprocess.Popen[bytes]) -> bool:
    """Whether the engine's socket answers before its process ends or START_DEADLINE_S is over."""
    try:
        async with asyncio.timeout(START_DEADLINE_S):
            while process.poll() is None:
                if await engine_answers(socket_path):
                    return True
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        pass
    return False


async def _start_sandbox(paths: ProfilePaths, arguments: Sequence[str]) -> SandboxDescriptor:
    process, begin = _spawn_sandbox(paths, arguments)
    try:
        descriptor = _parse_descriptor(
            await _first_line(process, _sandbox_deadline_s(arguments)), process.pid
        )
    except (TimeoutError, ValueError):
        _end(process)
        said = _last_line(_sandbox_log(paths), begin)
        said = said or f"The sandbox did not start: see {_sandbox_log(paths)}"
        raise StartFailed(said, process.returncode) from None
    kept = {**asdict(descriptor), "arguments": list(arguments), "started": _start_time(process.pid)}
    scratch = paths.sandbox_descriptor.with_suffix(".tmp")
    scratch.write_text(json.dumps(kept))
    scratch.chmod(0o600)
    scratch.replace(paths.sandbox_descriptor)
    return descriptor


async def _first_line(process: subprocess.Popen[bytes], deadline_s: float) -> bytes:
    reader = asyncio.StreamReader(limit=_LONGEST_LINE)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), process.stdout
    )
    try:
        return await asyncio.wait_for(reader.readline(), deadline_s)
    finally:
        transport.close()


def _sandbox_deadline_s(arguments: Sequence[str]) -> float:
    """How long a sandbox may take to start: a million positions take minutes on a busy host."""
    said = [value for flag, value in pairwise(arguments) if flag == "--positions"]
    positions = int(said[-1]) if said and said[-1].isdecimal() else 0
    return START_DEADLINE_S + positions * _START_DEADLINE_S_PER_POSITION


def _sandbox_log(paths: ProfilePaths) -> Path:
    return paths.state / "sandbox.log"


def _open_log(path: Path) -> BinaryIO:
    """Open for appending, private to us; what an earlier start left is set aside when it grew large."""
    if path.exists() and path.stat().st_size > _LARGEST_LOG:
        path.replace(path.with_suffix(".log.1"))
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    log = os.fdopen(descriptor, "ab")
    log.seek(0, os.SEEK_END)
    return log


def _last_line(path: Path, begin: int) -> str | None:
    """The last line that was written after `begin`, without the program's name before it."""
    with path.open("rb") as log:
        size = log.seek(0, os.SEEK_END)
        log.seek(max(begin, size - _LONGEST_LINE))
        lines = log.read().decode(errors="replace").strip().splitlines()
    return clean(lines[-1].removeprefix("liquidation-engine: "), 500) if lines else None


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process that failed to start, so that it cannot come up after we said that it did not."""
    try:
        process.wait(1.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _parse_descriptor(line: bytes, pid: int) -> SandboxDescriptor:
    """Raises ValueError when the line is not the sandbox's first line."""
    raw = json.loads(line)
    if not isinstance(raw, dict):
        raise ValueError("the first line is no JSON object")
    names = [field.name for field in fields(SandboxDescriptor) if field.name != "pid"]
    if any(not _is_told(name, raw.get(name)) for name in names):
        raise ValueError("the first line lacks a field")
    return SandboxDescriptor(**{name: raw[name] for name in names}, pid=pid)


def _is_told(name: str, value: object) -> bool:
    """Whether a field of the first line is what it has to be: a text, or some of them."""
    if name not in ("rpc_urls", "ws_urls"):
        return isinstance(value, str)
    return isinstance(value, list) and bool(value) and all(isinstance(each, str) for each in value)


def _kept_sandbox(paths: ProfilePaths) -> tuple[SandboxDescriptor, list[str]] | None:
    """The profile's sandbox and its arguments, if the process that we once started still runs."""
    try:
        raw = json.loads(paths.sandbox_descriptor.read_bytes())
        pid, started, arguments = int(raw["pid"]), raw["started"], [str(each) for each in raw["arguments"]]
        descriptor = _parse_descriptor(json.dumps(raw).encode(), pid)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if started is None or _start_time(pid) != started:
        return None
    return descriptor, arguments


def _start_time(pid: int) -> str | None:
    """What tells a process from a later one with the same number; None when it has ended."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    state, *rest = status.rpartition(")")[2].split()
    return None if state == "Z" else rest[18]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
