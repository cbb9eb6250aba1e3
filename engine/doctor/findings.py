"""What a look at one thing found, and how a look that fails or takes too long is told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum

import msgspec

from engine.api.clean import clean
from engine.chain.port import RpcFailure
from engine.errors import OperatorError
from engine.telemetry.redaction import without_credentials

DEADLINE_S = 8.0
_LONGEST_TEXT = 300


class Verdict(StrEnum):
    """How one thing stands."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at; `remedy` is empty when there is nothing to do."""

    name: str
    verdict: Verdict
    detail: str
    remedy: str = ""


def ok(name: str, detail: str) -> Finding:
    """It is as it should be."""
    return Finding(name, Verdict.OK, _tidy(detail))


def warn(name: str, detail: str, remedy: str) -> Finding:
    """An engine would run, but not as it should."""
    return Finding(name, Verdict.WARN, _tidy(detail), remedy)


def fail(name: str, detail: str, remedy: str) -> Finding:
    """An engine would not start, or not liquidate."""
    return Finding(name, Verdict.FAIL, _tidy(detail), remedy)


Look = Callable[[], Awaitable[list[Finding]]]


async def looked(name: str, look: Look, deadline_s: float = DEADLINE_S) -> list[Finding]:
    """What the look finds; its own failure is a finding too."""
    try:
        async with asyncio.timeout(deadline_s):
            return await look()
    except TimeoutError:
        return [fail(name, f"no answer in {deadline_s:g} s", "see that it runs and can be reached from here")]
    except OperatorError as error:
        return [of_error(name, error)]
    except RpcFailure as failure:
        return [fail(name, str(failure), "see that the URL is right and the node runs")]
    except Exception as error:
        # A look is a guest in places that may be in any state; one that breaks must not hide the others.
        return [fail(name, f"could not be looked at ({type(error).__name__})", "report this")]


def of_error(name: str, error: OperatorError) -> Finding:
    """An operator's error is written as what happened: what to do."""
    what, _, remedy = str(error).rpartition(": ")
    return fail(name, what or str(error), remedy if what else "see docs/troubleshooting.md")


def _tidy(text: str) -> str:
    return clean(without_credentials(text), _LONGEST_TEXT)
