"""Every command of docs/api.md does what it says there, on a running engine."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import time
from pathlib import Path

import pytest

TEXT = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)


def commands(word: str) -> list[str]:
    """The document's commands that begin with a word, each on one line."""
    joined = "\n".join(BLOCKS).replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.startswith(word)]


async def run(command: str) -> bytes:
    process = await asyncio.create_subprocess_shell(
        command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        out, said = await process.communicate()
    assert process.returncode == 0, (command, out, said)
    return out


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs the Debian package curl")
async def test_every_request_of_the_document_is_answered(served):
    rig = served.rig
    failing, _ = await rig.given_up()
    (failed,) = (await served.client.snapshot()).failed
    await served.ship()
    token = served.tokens.add("docs", ["admin"], now_s=int(time.time()), lives_s=600, replace=False)
    await served.server._access.refresh()
    requests = commands("curl")
    assert len(requests) > 20
    for request in requests:
        asked = request.replace("127.0.0.1:8080", f"127.0.0.1:{served.server.port}")
        asked = asked.replace("POSITION", str(failing.address)).replace("FAILED", failed.liquidation_id)
        out = await run(asked.replace("$TOKEN", token))
        if "/metrics" in request:
            assert b"liquidations_total" in out
        else:
            assert json.loads(out) is not None, request


def test_every_path_of_the_document_is_served_and_every_served_one_is_in_it(served_paths):
    told = set(re.findall(r"(?:`|8080|GET |POST )(/[a-z{}./-]+)", TEXT)) | {"/admin/retry/{id}"}
    assert served_paths - told == set()


def test_every_command_line_of_the_document_exists() -> None:
    lines = commands("liquidation-engine")
    assert {line.split()[2] for line in lines} == {"new", "list", "revoke"}
