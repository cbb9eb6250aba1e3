"""A machine that systemd boots: this one's files under a layer that is thrown away, in its own namespaces.

The program lies in it as deploy/README.md says, with this run's Python and packages. It shares this machine's
network, so that what listens on loopback here is reached from there.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
HERE = Path("opt/liquidation-engine")
PYTHON = Path("opt/python")
PACKAGES = Path(f".venv/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages")
OF_A_CHECKOUT = ("engine", "tui", "migrations", "deploy", "pyproject.toml", ".env.example")
PROGRAM = """\
#!/opt/liquidation-engine/.venv/bin/python
import sys
sys.path.insert(0, "/opt/liquidation-engine")
from engine.cli.main import main
sys.exit(main())
"""
UNIT = """\
[Service]
Type=oneshot
WorkingDirectory=/opt/liquidation-engine
ExecStart=/bin/sh /tried.sh
ExecStopPost=/bin/systemctl --no-block poweroff
"""
NEEDED = {"systemd-nspawn": "systemd-container", "useradd": "passwd", "runuser": "util-linux"}
BOOT_DEADLINE_S = 150


@dataclass(frozen=True)
class Told:
    """How one command ended in the machine, and what it said."""

    command: str
    status: int
    text: str


class Machine:
    """Is booted for each list of commands, and off afterwards; its files stay between."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.root = folder / "root"

    def run(self, commands: Sequence[str]) -> list[Told]:
        """Boot, give the commands one after another as root, and switch off."""
        lines = [
            f"{{ {each}\n}} >/told.{number} 2>&1 </dev/null; echo $? >/status.{number}"
            for number, each in enumerate(commands)
        ]
        (self.root / "tried.sh").write_text("\n".join(lines) + "\n")
        done = subprocess.run(
            self._boot(), capture_output=True, text=True, timeout=BOOT_DEADLINE_S, check=False
        )
        assert (self.root / f"status.{len(commands) - 1}").exists(), done.stdout[-3000:] + done.stderr[-1000:]
        return [
            Told(
                each,
                int((self.root / f"status.{number}").read_text()),
                (self.root / f"told.{number}").read_text(),
            )
            for number, each in enumerate(commands)
        ]

    def _boot(self) -> list[str]:
        return [
            *("systemd-nspawn", "--boot", "--quiet", "--register=no", "--keep-unit"),
            *(f"--directory={self.root}", f"--machine=le-{os.getpid()}"),
            # What other tests of a root left there is nobody's business in the machine.
            "--tmpfs=/var/lib/liquidation-engine",
            f"--bind-ro={Path(sys.base_prefix)}:/{PYTHON}",
            f"--bind-ro={packages()}:/{HERE / PACKAGES}",
            "systemd.unit=multi-user.target",
        ]


def why_none() -> str:
    """Why no machine can be booted here; empty when one can."""
    if os.getuid() != 0:
        return "booting a machine needs root"
    missing = [package for program, package in NEEDED.items() if shutil.which(program) is None]
    return f"needs the Debian packages {', '.join(missing)}" if missing else ""


def packages() -> Path:
    """Where this run's dependencies are."""
    return Path(next(each for each in sys.path if each.endswith("site-packages")))


@contextmanager
def machine(folder: Path) -> Iterator[Machine]:
    """One with the program in it and nothing of it installed; raises OSError where none can be made."""
    mount("-t", "tmpfs", "-o", "size=2g", "tmpfs", str(folder))
    try:
        for name in ("upper", "work", "root"):
            (folder / name).mkdir()
        layers = f"lowerdir=/,upperdir={folder}/upper,workdir={folder}/work"
        mount("-t", "overlay", "overlay", "-o", layers, str(folder / "root"))
        try:
            furnish(folder / "root")
            yield Machine(folder)
        finally:
            subprocess.run(["umount", str(folder / "root")], check=True)
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OSError(done.stderr.strip())


def furnish(root: Path) -> None:
    """What `git clone` and `make install` would have made, and a unit that gives the commands."""
    here = root / HERE
    shutil.rmtree(here, ignore_errors=True)
    for name in OF_A_CHECKOUT:
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        here.mkdir(parents=True, exist_ok=True)
        copy(source, here / name)
    (here / PACKAGES).mkdir(parents=True)
    (root / PYTHON).mkdir(parents=True, exist_ok=True)
    program = here / ".venv/bin/liquidation-engine"
    program.parent.mkdir()
    program.write_text(PROGRAM)
    program.chmod(0o755)
    (program.parent / "python").symlink_to(f"/{PYTHON}/bin/{Path(sys.executable).resolve().name}")
    (here / ".venv/pyvenv.cfg").write_text(f"home = /{PYTHON}/bin\n")
    units = root / "etc/systemd/system"
    (units / "tried.service").write_text(UNIT)
    wanted = units / "multi-user.target.wants"
    wanted.mkdir(exist_ok=True)
    (wanted / "tried.service").symlink_to("/etc/systemd/system/tried.service")


def as_root(command: str) -> str:
    """A document's command where `sudo` is not needed and may not be there."""
    command = re.sub(r"\bsudo -u (\S+) ", r"runuser -u \1 -- ", command)
    return re.sub(r"\bsudo ", "", command)
