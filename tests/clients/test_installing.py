"""What is installed from npm is what the tree names: every version exact, every package known by its hash."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from installing import InstallationRefused, RegistryUnreachable, check_installed, installed_clients

HERE = Path(__file__).parent
EXACT = re.compile(r"\d[\w.+-]*")


def manifest() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((HERE / "package.json").read_text())
    return loaded


def test_the_clients_are_named_at_exact_versions() -> None:
    versions = manifest()["dependencies"]
    assert set(versions) == {"@solana/web3.js", "@solana/kit", "@coral-xyz/anchor", "@solana/spl-token"}
    assert versions["@solana/web3.js"].startswith("1.")
    assert [name for name, version in versions.items() if not EXACT.fullmatch(version)] == []


def test_no_dependency_of_a_dependency_is_left_to_the_day_of_the_installation(workshop: Path) -> None:
    wanted = manifest()
    installed = json.loads((workshop / "node_modules" / ".package-lock.json").read_text())["packages"]
    free = []
    for path, package in installed.items():
        parent = path.rpartition("node_modules/")[2]
        nested = wanted["overrides"].get(parent)
        nested = nested if isinstance(nested, dict) else {}
        named = {**wanted["overrides"], **nested, **wanted["dependencies"]}
        for name, versions in package.get("dependencies", {}).items():
            pinned = named.get(name)
            pinned = pinned.get(".") if isinstance(pinned, dict) else pinned
            if not EXACT.fullmatch(versions) and not EXACT.fullmatch(pinned or ""):
                free.append(f"{parent} wants {name} {versions}")
    assert len(installed) > 100
    assert free == []


def test_a_package_with_another_hash_or_version_is_refused(workshop: Path) -> None:
    clients = (workshop / "node_modules").resolve().parent
    lines = (HERE / "integrity.txt").read_text().splitlines()
    check_installed(clients, "\n".join(lines))
    name, _, digest = lines[0].partition(" ")
    for other in (f"{name} {digest[:-6]}AAAA==", f"{name}9 {digest}"):
        with pytest.raises(InstallationRefused, match=re.escape(name)):
            check_installed(clients, "\n".join([other, *lines[1:]]))
    with pytest.raises(InstallationRefused, match="a-stranger@1"):
        check_installed(clients, "\n".join([*lines, "a-stranger@1.0.0 sha512-x"]))


def test_nothing_of_the_clients_comes_into_the_tree(workshop: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--others", "--exclude-standard", "--cached", "--", str(HERE)],
        cwd=HERE,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    names = {Path(line).name for line in listed.stdout.splitlines()}
    assert not names & {"package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml"}
    assert not (HERE / "node_modules").exists()
    assert shutil.which("node")


def test_a_registry_that_does_not_answer_is_said_to_be_that_and_leaves_nothing_behind(
    node: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm"))
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:1/")
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    with pytest.raises(RegistryUnreachable, match="ECONNREFUSED"):
        installed_clients()
    assert [path.name for path in (tmp_path / "liquidation-engine").iterdir()] == ["clients.lock"]
