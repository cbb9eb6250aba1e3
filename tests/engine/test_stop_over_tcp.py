"""A stop over loopback TCP is for who can read this user's files: neither other users nor web pages can."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from engine.api.server import ApiServer
from engine.api.stop_token import StopToken


class Port:
    """A running engine with its TCP port, and the token's file."""

    def __init__(self, rig, token: StopToken, url: str) -> None:
        self.rig, self.token, self.url = rig, token, url

    async def stop(self, authorization: str | None, method: str = "POST") -> tuple[int, dict]:
        headers = {} if authorization is None else {"Authorization": authorization}
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, self.url, headers=headers, data=b'{"reason":"curl"}') as response,
        ):
            return response.status, await response.json()


@pytest.fixture
async def port(rig, tmp_path: Path) -> AsyncIterator[Port]:
    token = StopToken(tmp_path / "stop.token")
    token.publish()
    server = ApiServer(rig.parts.snapshots, rig.parts.commands, stop_token=token)
    await server.start(tmp_path / "engine.sock", 0)
    yield Port(rig, token, f"http://127.0.0.1:{server.port}/admin/emergency-stop")
    await server.close()


async def test_with_the_token_of_the_file_it_stops_and_says_what_is_out(port):
    secret = port.token.path.read_text().strip()
    status, answer = await port.stop(f"Bearer {secret}")
    assert status == 200
    assert answer["message"].startswith("Stopped: 0 in flight")
    assert (answer["gate"]["state"], answer["gate"]["reason"]) == ("stopped", "curl")
    assert answer["gate"]["by"].endswith(" (HTTP)")
    assert not port.rig.gate.state.is_running


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Bearer 00", "Basic {}", "{}", "Bearer {}0", "Bearer {}\u00e9"],
)
async def test_without_it_nothing_stops_and_the_answer_says_where_it_is(port, authorization):
    secret = port.token.path.read_text().strip()
    status, answer = await port.stop(authorization and authorization.format(secret))
    assert (status, answer["error"]["code"]) == (401, "token_missing")
    assert str(port.token.path) in answer["error"]["message"]
    assert secret not in str(answer)
    assert port.rig.gate.state.is_running


async def test_only_a_post_stops(port):
    secret = port.token.path.read_text().strip()
    for method in ("GET", "PUT", "DELETE"):
        status, _ = await port.stop(f"Bearer {secret}", method)
        assert status == 405
    assert port.rig.gate.state.is_running


def test_the_file_is_private_and_another_one_at_each_start(tmp_path: Path) -> None:
    path = tmp_path / "stop.token"
    path.write_text("kept from before, readable by all")
    path.chmod(0o644)
    seen = set()
    for _ in range(2):
        StopToken(path).publish()
        assert path.stat().st_mode & 0o777 == 0o600
        seen.add(path.read_text())
    assert len(seen) == 2
    assert all(len(each.strip()) == 64 for each in seen)


def test_a_disk_that_refuses_the_file_keeps_no_engine_from_starting(tmp_path: Path) -> None:
    token = StopToken(tmp_path / "absent" / "stop.token")
    token.publish()
    assert not token.is_in("Bearer ")
