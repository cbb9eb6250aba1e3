"""The service file: systemd takes it and finds it hardened, and the engine finds its folders."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engine.cli.main import main
from engine.paths import profile_paths
from engine.setting_sources import config_file
from engine.wallet.source import CREDENTIAL

UNIT = Path(__file__).parents[2] / "deploy" / "liquidation-engine.service"
MOST_EXPOSED = 2.0
INSTALLED = "/opt/liquidation-engine/.venv/bin/liquidation-engine"

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="needs systemd-analyze of the package systemd"
)


def values(name: str) -> list[str]:
    """What the unit says under a name, in order."""
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.M)


def environment() -> dict[str, str]:
    return dict(pair.split("=", 1) for line in values("Environment") for pair in shlex.split(line))


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@needs_systemd
def test_systemd_takes_every_line_of_it(tmp_path):
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace(INSTALLED, sys.executable))
    done = analyze("verify", "--man=no", str(copy))
    ours = [line for line in done.stderr.splitlines() if UNIT.name in line]
    assert (done.returncode, ours) == (0, [])


@needs_systemd
def test_it_may_do_little_by_systemds_own_measure():
    done = analyze("security", "--offline=yes", "--no-pager", str(UNIT))
    if "--offline" in done.stderr:
        pytest.skip("systemd-analyze judges files from systemd 250 on")
    told = re.search(r"exposure level for \S+: ([0-9.]+)", done.stdout)
    assert told is not None, done.stderr
    assert float(told[1]) <= MOST_EXPOSED


def test_it_gives_the_engine_the_folders_that_the_engine_looks_in(monkeypatch):
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    paths = profile_paths()
    assert paths.state == Path("/var/lib") / values("StateDirectory")[0] / "default"
    assert paths.runtime == Path("/run") / values("RuntimeDirectory")[0] / "default"
    assert config_file(os.environ) == Path("/etc") / values("ConfigurationDirectory")[0] / "config.toml"


def test_its_command_is_one_that_the_program_understands(capsys):
    program, *arguments = shlex.split(values("ExecStart")[0])
    assert (program, arguments) == (INSTALLED, ["--no-ui"])
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--help"])
    assert ended.value.code == 0
    assert "--no-ui" in capsys.readouterr().out


def test_its_credential_has_the_name_that_the_wallet_asks_for():
    assert values("LoadCredentialEncrypted")[0].split(":")[0] == CREDENTIAL


def test_what_the_engine_tells_systemd_is_what_the_unit_waits_for():
    assert (values("Type"), values("NotifyAccess")) == (["notify"], ["main"])
    assert int(values("WatchdogSec")[0]) >= 10
    assert values("ExecReload") == ["/bin/kill -HUP $MAINPID"]
    assert values("StandardError") == ["journal"]
