"""The clients from npm, installed once into a cache outside the tree, each package checked by its hash.

package.json names the newest version of each client that runs on node 18, which Debian 12 has, and on later
ones; run with 18.20 and 20.20. @solana/kit asks for node 20.18, but 8.4.0 needs no more than two globals that
node 18 shows on request (conftest.py). commander stays at 12: later ones want node 20 or 22, and only a
command line that nobody uses here needs it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
# What decides what is installed; a change of any of it is another installation.
RECIPE = ("package.json", ".npmrc", "integrity.txt")
ATTEMPTS = 2
ATTEMPT_DEADLINE_S = 120.0
OFFLINE = re.compile(
    r"\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ERR_SOCKET_TIMEOUT|E50\d)\b"
)


class RegistryUnreachable(Exception):
    """npm could not talk to its registry; the message is npm's."""


class InstallationRefused(Exception):
    """npm refused, or what it installed is not what integrity.txt lists."""


def installed_clients() -> Path:
    """The folder whose `node_modules` holds the clients, installed now if it is not there yet.

    Several processes may ask at once: one installs, the others wait. Raises RegistryUnreachable or
    InstallationRefused.
    """
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "liquidation-engine"
    recipe = hashlib.sha256(b"\0".join((HERE / name).read_bytes() for name in RECIPE)).hexdigest()[:16]
    folder = caches / f"clients-{recipe}"
    caches.mkdir(parents=True, exist_ok=True)
    with (caches / "clients.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _install(folder)
    return folder


def _install(folder: Path) -> None:
    """Install beside the folder and move it into place, so that a half installation is never found there."""
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="installing-") as directory:
        fresh = Path(directory) / "clients"
        for attempt in range(1, ATTEMPTS + 1):
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir()
            for name in RECIPE:
                shutil.copy(HERE / name, fresh / name)
            try:
                _run_npm(fresh)
                break
            except RegistryUnreachable:
                if attempt == ATTEMPTS:
                    raise
        check_installed(fresh, (HERE / "integrity.txt").read_text())
        fresh.rename(folder)


def _run_npm(folder: Path) -> None:
    command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=ATTEMPT_DEADLINE_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise RegistryUnreachable(f"npm install took longer than {ATTEMPT_DEADLINE_S:.0f} s") from None
    if done.returncode != 0:
        said = done.stderr.strip()
        raise (RegistryUnreachable if OFFLINE.search(said) else InstallationRefused)(said)


def check_installed(folder: Path, expected: str) -> None:
    """Raise InstallationRefused unless exactly the expected packages are there, each with its hash.

    `expected` has a line `name@version sha512-…` for each.
    """
    packages = json.loads((folder / "node_modules" / ".package-lock.json").read_text())["packages"]
    found = {
        f"{path.rpartition('node_modules/')[2]}@{package['version']} {package['integrity']}"
        for path, package in packages.items()
    }
    listed = set(expected.split("\n")) - {""}
    if found != listed:
        missing, strange = sorted(listed - found), sorted(found - listed)
        raise InstallationRefused(f"not as integrity.txt lists: missing {missing}, instead {strange}")
