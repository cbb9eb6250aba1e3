"""Consoles where operators have them: a crash on a terminal, one without colours, tmux, a login over ssh."""

from __future__ import annotations

import getpass
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from terminals import ALTERNATE_OFF, ROOT, TerminalConsole, console_command

from engine.paths import ProfilePaths

SSHD = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin")
_BROKEN = """
from tui.app import ConsoleApp
def broken(self):
    raise RuntimeError("broken at postgresql://engine:hunt2r@db.example/engine?sslkey=hunt3r")
ConsoleApp.action_help = broken
"""


def test_a_crash_restores_the_terminal_says_where_its_report_is_and_ends_with_status_1(
    served: ProfilePaths,
) -> None:
    command = console_command(served.state, served.runtime, _BROKEN)
    with TerminalConsole(served.state, served.runtime, command=command) as terminal:
        terminal.shows("● RUNNING")
        terminal.send(b"?")
        terminal.read_until(ALTERNATE_OFF)
        terminal.shows("The console crashed (RuntimeError); the engine runs on.")
        assert terminal.process.wait(30) == 1
        terminal.drain()
        assert b"\x1b[?25h" in terminal.output.rpartition(ALTERNATE_OFF)[2]
        assert terminal.attributes() == terminal.before
        (path,) = served.state.glob("console-crash-*.txt")
        report = path.read_text()
        assert "broken at postgresql://db.example/…" in report
        assert "hunt2r" not in report + terminal.output.decode()
        assert "hunt3r" not in report + terminal.output.decode()


def test_with_no_color_set_no_colour_is_written_and_the_states_are_still_there(served: ProfilePaths) -> None:
    with TerminalConsole(served.state, served.runtime, NO_COLOR="1") as terminal:
        terminal.shows("● RUNNING")
        terminal.shows("STOP")
        styles = re.findall(rb"\x1b\[([0-9;]*)m", terminal.output)
        parts = {int(part) for style in styles for part in style.split(b";") if part}
        grey = {number for number in parts if 30 <= number <= 49 or 90 <= number <= 107} - {39, 49}
        rgb = {
            tuple(style.split(b";")[at + 2 : at + 5])
            for style in styles
            for at, part in enumerate(style.split(b";"))
            if part in (b"38", b"48") and style.split(b";")[at + 1 : at + 2] == [b"2"]
        }
        assert grey <= {38, 48}, grey
        assert all(len(set(colour)) == 1 for colour in rgb), rgb


def until(holds: object, what: str, deadline_s: float = 30.0) -> str:
    """What `holds` returns once that is true."""
    end_s = time.monotonic() + deadline_s
    assert callable(holds)
    while not (found := holds()):
        assert time.monotonic() < end_s, what
        time.sleep(0.05)
    return str(found)


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is missing (Debian: apt-get install tmux)")
def test_in_tmux_at_80_by_24_the_keys_of_a_night_do_what_they_say(
    served: ProfilePaths, tmp_path: Path
) -> None:
    tmux = ["tmux", "-S", str(tmp_path / "tmux"), "-f", "/dev/null"]
    environment = {
        **{name: value for name, value in os.environ.items() if name != "TMUX"},
        "PYTHONPATH": str(ROOT),
        "LC_ALL": "C.UTF-8",
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
    }
    ended = tmp_path / "ended"
    console = f"{shlex.join(console_command(served.state, served.runtime))}; echo $? > {ended}"
    subprocess.run(
        [*tmux, "new-session", "-d", "-x", "80", "-y", "24", console], env=environment, check=True, cwd=ROOT
    )

    def screen() -> str:
        told = subprocess.run(
            [*tmux, "capture-pane", "-p"], env=environment, capture_output=True, text=True, check=False
        )
        return told.stdout

    def keys(*pressed: str) -> None:
        subprocess.run([*tmux, "send-keys", *pressed], env=environment, check=True)

    def shows(text: str) -> None:
        until(lambda: text in screen(), f"{text!r} is not on the screen:\n{screen()}")

    try:
        shows("● RUNNING")
        assert "ctrl+e STOP" in screen()
        keys("h")
        shows("HISTORY")
        keys("a")
        shows("ALERTS")
        keys("Escape")
        shows("1 AT RISK")
        keys("/")
        shows("filter: words")
        keys("b", "t", "c")
        shows('8 match "btc"')
        keys("Enter")
        keys("C-e")
        shows("■ STOPPED")
        keys("q")
        shows("Leave running")
        keys("l")
        assert until(lambda: ended.exists() and ended.read_text(), "the console did not end").strip() == "0"
    finally:
        subprocess.run([*tmux, "kill-server"], env=environment, check=False, capture_output=True)


@pytest.mark.skipif(SSHD is None, reason="sshd is missing (Debian: apt-get install openssh-server)")
@pytest.mark.skipif(os.geteuid() != 0, reason="sshd takes logins for others only as root")
def test_over_ssh_the_console_attaches_stops_and_is_left(served: ProfilePaths, tmp_path: Path) -> None:
    assert SSHD is not None
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    for name in ("host", "user"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)], check=True
        )
    config = tmp_path / "sshd_config"
    config.write_text(
        f"HostKey {tmp_path / 'host'}\nAuthorizedKeysFile {tmp_path / 'user.pub'}\n"
        "PasswordAuthentication no\nPermitRootLogin prohibit-password\nStrictModes no\nUsePAM no\n"
        "PrintMotd no\nPrintLastLog no\n"
    )
    remote = f"cd {ROOT} && env LC_ALL=C.UTF-8 XDG_CONFIG_HOME={tmp_path} " + shlex.join(
        console_command(served.state, served.runtime)
    )
    with socket.create_server(("127.0.0.1", 0)) as door:
        door.settimeout(30)
        login = [
            *("ssh", "-F", "/dev/null", "-tt", "-q", "-i", str(tmp_path / "user"), "-o", "BatchMode=yes"),
            *("-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={tmp_path / 'known'}"),
            *("-p", str(door.getsockname()[1]), f"{getpass.getuser()}@127.0.0.1", remote),
        ]
        with TerminalConsole(served.state, served.runtime, command=login) as terminal:
            caller, _ = door.accept()
            with caller, (tmp_path / "sshd.log").open("wb") as log:
                server = subprocess.Popen(
                    [SSHD, "-i", "-e", "-f", str(config)], stdin=caller, stdout=caller, stderr=log
                )
            try:
                terminal.shows("● RUNNING")
                terminal.send(b"\x05")
                terminal.shows("■ STOPPED")
                terminal.send(b"q")
                terminal.shows("Leave running")
                terminal.send(b"l")
                terminal.shows("The engine runs on.")
                assert terminal.process.wait(30) == 0
            finally:
                server.send_signal(signal.SIGTERM)
                server.wait(30)
