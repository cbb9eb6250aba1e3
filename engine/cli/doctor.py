"""`doctor`: looks at all that an engine needs and says what to mend; exit code 1 if something fails."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli.failures import EXIT_REFUSED, run_async
from engine.cli.options import ProfileOption, checked_profile, given_settings

if TYPE_CHECKING:
    from engine.doctor.findings import Finding


def doctor(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    profile: ProfileOption = None,
) -> None:
    """Look at machine, nodes, prices, database and wallet; each is ok, or comes with its remedy."""
    from engine.api.launcher import engine_environment, running_sandbox
    from engine.doctor.examination import examine, worst
    from engine.doctor.findings import Verdict

    paths = checked_profile(context, profile)
    given = given_settings(context, paths)
    if "SOLANA_RPC_URL" not in given.values and (descriptor := running_sandbox(paths)):
        given = given.under(engine_environment(descriptor), "sandbox")
    findings = run_async(examine(given, paths, os.environ))
    verdict = worst(findings)
    if as_json:
        import msgspec

        print(msgspec.json.encode({"verdict": verdict, "findings": findings}).decode())
    else:
        print("\n".join(_lines(findings)))
    if verdict is Verdict.FAIL:
        sys.exit(EXIT_REFUSED)


def _lines(findings: list[Finding]) -> list[str]:
    width = max(len(finding.name) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f"{finding.verdict:<4}  {finding.name:<{width}}  {finding.detail}")
        if finding.remedy:
            lines.append(f"{'':<4}  {'':<{width}}  -> {finding.remedy}")
    return lines
