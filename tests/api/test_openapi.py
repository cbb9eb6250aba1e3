"""The OpenAPI document describes what is served, and an attack that follows it finds no fault of ours."""

from __future__ import annotations

import asyncio
import sys
import time

from engine.api.openapi import document

ATTACK_DEADLINE_S = 100


async def test_every_served_path_is_described_and_every_described_one_is_served(served):
    status, described = await served.get("/openapi.json")
    assert status == 200
    assert described["openapi"] == "3.1.0"
    operations = {
        (method.upper(), path) for path, methods in described["paths"].items() for method in methods
    }
    assert operations == {
        (route.method, route.path) for route in served.server._routes if not route.unix_only
    }
    # The operational guide's, and what an operator needs beside them.
    assert operations >= {
        ("GET", path)
        for path in (
            "/health",
            "/ready",
            "/insurance/balance",
            "/insurance/history",
            "/liquidations/pending",
            "/liquidations/recent",
            "/liquidations/failed",
            "/positions",
            "/positions/{address}",
            "/positions/{address}/liquidations",
            "/stats",
            "/risk",
            "/alerts",
            "/metrics",
            "/openapi.json",
            "/ws",
        )
    }
    commands = ("emergency-stop", "resume", "clear-queue", "retry/{id}", "retry-all", "contribute")
    assert operations >= {("POST", f"/admin/{command}") for command in commands}


async def test_every_command_says_that_it_needs_a_token_and_every_read_does_not(served):
    described = document(served.server._routes)
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            assert ("security" in operation) == (method == "post"), path
            assert {"400", "500"} <= set(operation["responses"]), path


async def test_schemathesis_finds_no_fault(served):
    position = await served.liquidated()
    served.rig.open()
    await served.ship()
    secret = served.tokens.add("attack", ["admin"], now_s=int(time.time()), lives_s=600, replace=False)
    await served.server._access.refresh()
    url = f"http://127.0.0.1:{served.server.port}/openapi.json"
    attack = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "run", url),
        *("--phases", "examples,coverage,fuzzing", "--max-examples", "12", "--seed", "7"),
        *("--checks", "not_a_server_error,status_code_conformance,response_schema_conformance"),
        *("--header", f"Authorization: Bearer {secret}", "--exclude-path", "/ws"),
        *("--request-timeout", "10", "--no-color"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(ATTACK_DEADLINE_S):
        told, _ = await attack.communicate()
    assert attack.returncode == 0, told.decode(errors="replace")[-8000:]
    status, _ = await served.get(f"/positions/{position.address}/liquidations")
    assert status == 200
