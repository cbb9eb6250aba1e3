"""The whole examination: every look side by side, each within its deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from engine.doctor import cluster, key, machine, record
from engine.doctor.findings import Finding, Verdict, looked, of_error, ok
from engine.errors import SettingsError
from engine.paths import ProfilePaths
from engine.setting_sources import Given
from engine.settings import Settings


async def examine(given: Given, paths: ProfilePaths, environ: Mapping[str, str]) -> list[Finding]:
    """What stands how; with settings that cannot be used, only what needs none of them."""
    try:
        settings = given.settings()
    except SettingsError as error:
        return [of_error("settings", error), *machine.look(None, paths, environ)]
    told = ok("settings", f"{len(given.values)} given, profile {paths.profile}")
    outside = await asyncio.gather(*_looks(settings, paths))
    here = machine.look(settings, paths, environ)
    return [told, *here, *(finding for found in outside for finding in found)]


def _looks(settings: Settings, paths: ProfilePaths) -> list[asyncio.Task[list[Finding]]]:
    looks = {
        "nodes": lambda: cluster.look(settings),
        "database": lambda: record.look(settings, paths),
        "wallet": lambda: key.look(settings, paths),
    }
    deadline_s = 4 * settings.rpc_timeout_s + 20.0  # of several questions, each of which has its own
    return [asyncio.create_task(looked(name, look, deadline_s)) for name, look in looks.items()]


def worst(findings: list[Finding]) -> Verdict:
    """The verdict on all of it."""
    verdicts = {finding.verdict for finding in findings}
    return next((each for each in (Verdict.FAIL, Verdict.WARN) if each in verdicts), Verdict.OK)
