"""Who may command over TCP: tokens by scope and time, a bound on guessing, and nothing for foreign pages."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from pathlib import Path

import pytest

from engine.api.access import MOST_FAILURES, Access, Failures
from engine.api.stop_token import StopToken
from engine.api.tokens import TokenError, TokenFile, find

DAY_S = 86_400


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


@pytest.fixture
def token(served):
    """Makes a token with these scopes that the engine knows."""

    async def make(*scopes: str, name: str = "ci", lives_s: int = DAY_S) -> str:
        secret = served.tokens.add(name, scopes, now_s=int(time.time()), lives_s=lives_s, replace=True)
        await served.server._access.refresh()
        return secret

    return make


@pytest.mark.parametrize(
    ("scope", "may"),
    [
        ("read", set()),
        ("stop", {"emergency-stop"}),
        ("operate", {"emergency-stop", "clear-queue"}),
        ("admin", {"emergency-stop", "clear-queue", "shutdown"}),
    ],
)
async def test_a_token_may_what_its_scope_says_and_no_more(served, token, scope, may):
    secret = await token(scope)
    for command in ("emergency-stop", "clear-queue", "shutdown"):
        status, answer, _ = await served.ask("POST", f"/admin/{command}", headers=bearer(secret))
        assert status == (200 if command in may else 403), (command, answer)
    assert served.rig.gate.state.is_running == ("emergency-stop" not in may)


async def test_a_command_by_token_is_audited_under_the_tokens_name(served, token):
    secret = await token("operate", name="night-shift")
    await served.ask("POST", "/admin/clear-queue", headers=bearer(secret))
    await served.ship()
    (row,) = (await served.client.audit(10, 0)).rows
    assert (row.actor, row.command, row.accepted, row.uid) == ("token night-shift", "clear-queue", True, None)


async def test_a_token_ends_with_its_time_its_revocation_and_its_rotation(served, token):
    for end in (
        lambda: served.tokens.revoke("ci"),
        lambda: served.tokens.add("ci", ["operate"], now_s=int(time.time()), lives_s=DAY_S, replace=True),
        lambda: served.tokens.path.write_text("[]"),
        lambda: served.tokens.path.write_text("{"),
    ):
        secret = await token("operate")
        status, _, _ = await served.ask("POST", "/admin/clear-queue", headers=bearer(secret))
        assert status == 200
        end()
        await served.server._access.refresh()
        status, _, headers = await served.ask("POST", "/admin/clear-queue", headers=bearer(secret))
        assert status == 401
        assert headers["WWW-Authenticate"] == "Bearer"
        served.tokens.path.unlink()
    expired = await token("operate", lives_s=-1)
    assert (await served.ask("POST", "/admin/clear-queue", headers=bearer(expired)))[0] == 401


async def test_guessing_is_told_to_wait_and_a_right_token_is_not_kept_out_by_it(served, token):
    secret = await token("operate")
    statuses = [
        (await served.ask("POST", "/admin/clear-queue", headers=bearer("guess")))[0]
        for _ in range(MOST_FAILURES + 2)
    ]
    assert statuses == [401] * MOST_FAILURES + [429, 429]
    status, _, headers = await served.ask("POST", "/admin/resume", headers=bearer("guess"))
    assert (status, headers["Retry-After"]) == (429, "60")
    assert (await served.ask("POST", "/admin/clear-queue", headers=bearer(secret)))[0] == 200
    stop = served.token.path.read_text().strip()
    assert (await served.ask("POST", "/admin/emergency-stop", headers=bearer(stop)))[0] == 200
    await served.ship()
    rows = (await served.client.audit(50, 0)).rows
    refused = [row for row in rows if not row.accepted]
    assert Counter(row.detail.partition(":")[0] for row in refused) == {
        "token_missing": MOST_FAILURES,
        "too_many_failures": 3,
    }


def test_failures_are_forgotten_after_a_minute_and_peers_are_bounded() -> None:
    now_s = 0.0
    failures = Failures(lambda: now_s)
    assert [failures.note("one") for _ in range(8)] == [1, 2, 3, 4, 5, 6, 6, 6]
    now_s = 61.0
    assert failures.note("one") == 1
    for number in range(2000):
        failures.note(str(number))
    assert len(failures._by_peer) == 1024


async def test_only_a_tokens_hash_is_kept_and_nothing_shows_it(served, token, capfd):
    secret = await token("operate")
    await served.ask("POST", "/admin/clear-queue", headers=bearer(secret))
    await served.ask("POST", "/admin/resume", b"{}", headers=bearer(secret) | {"Content-Type": "text/plain"})
    await served.ship()
    kept = served.tokens.path.read_text()
    told = kept + str(await served.client.audit(50, 0)) + "".join(capfd.readouterr())
    assert secret not in told
    assert served.tokens.path.stat().st_mode & 0o777 == 0o600
    assert len(secret) == 64


async def test_a_token_in_the_url_is_no_token(served, token):
    secret = await token("admin")
    for query in (f"token={secret}", f"access_token={secret}", f"Authorization=Bearer%20{secret}"):
        assert (await served.ask("POST", f"/admin/clear-queue?{query}"))[0] == 401


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost@evil.example", "["])
async def test_a_request_for_another_host_is_refused(served, host):
    status, answer, _ = await served.ask("GET", "/health", headers={"Host": host})
    assert (status, answer["error"]["code"]) in ((421, "foreign_host"), (400, "bad_request"))


async def test_pages_of_other_sites_are_refused_and_no_header_invites_them(served):
    for origin in ("https://evil.example", "null", "http://127.0.0.1.evil.example"):
        status, _, headers = await served.ask("GET", "/stats", headers={"Origin": origin})
        assert status == 403
        assert not [name for name in headers if name.lower().startswith("access-control")]
    status, _, headers = await served.ask("OPTIONS", "/stats", headers={"Origin": "http://localhost:8080"})
    assert status == 405
    assert not [name for name in headers if name.lower().startswith("access-control")]


async def test_a_body_that_is_not_json_is_refused_and_too_long_a_one_as_well(served, token):
    headers = bearer(await token("admin"))
    body = json.dumps({"outcome": "timeout"}).encode()
    for kind, sent, refused in (
        ("text/plain", body, 415),
        ("application/x-www-form-urlencoded", body, 415),
        ("application/json", b'{"outcome":"' + b"x" * 70_000 + b'"}', 413),
        ("application/json", b"[" * 20_000, 422),
        ("application/json", b'{"outcome":"nothing"}', 400),
        ("application/json; charset=utf-8", body, 200),
    ):
        status, answer, _ = await served.ask(
            "POST", "/admin/retry-all", sent, headers=headers | {"Content-Type": kind}
        )
        assert status == refused, (kind, answer)
    await served.ship()
    rows = (await served.client.audit(50, 0)).rows
    assert [row.accepted for row in rows] == [True, False, False, False, False, False]


async def test_beyond_this_machine_nothing_is_for_everybody(tmp_path: Path) -> None:
    from aiohttp.test_utils import make_mocked_request

    from engine.api.routes import Route, Scope
    from engine.commands import CommandError

    access = Access(stop_token=StopToken(tmp_path / "stop.token"), host="192.0.2.7")
    request = make_mocked_request("GET", "/stats", headers={"Host": "192.0.2.7:8080"})
    read = Route("GET", "/stats", Scope.READ, None, "", None)
    with pytest.raises(CommandError) as refusal:
        access.over_tcp(request, read)
    assert refusal.value.status == 401
    assert access.over_tcp(request, Route("GET", "/health", Scope.OPEN, None, "", None))


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b'[{"name":"a","sha256":"\xff","scopes":["read"],"created_s":1,"expires_s":9999999999}]',
        '[{"name":"a","sha256":"é","scopes":["read"],"created_s":1,"expires_s":9999999999}]'.encode(),
        b'[{"name":"a","sha256":"a","scopes":["read"],"created_s":1,"expires_s":9999999999,"x":'
        + b"[" * 9_000,
    ],
    ids=["empty", "no text", "no hash", "bottomless"],
)
async def test_of_a_damaged_file_no_token_is_taken_and_a_mended_one_is_read_again(
    tmp_path: Path, damage: bytes
) -> None:
    file = TokenFile(tmp_path / "tokens.json")
    secret = file.add("ok", ["read"], now_s=0, lives_s=2**33, replace=False)
    access, whole = Access(tokens=file), file.path.read_bytes()
    await access.refresh()
    assert find(access._tokens, secret) is not None
    file.path.write_bytes(damage)
    await access.refresh()
    assert find(access._tokens, secret) is None
    file.path.write_bytes(whole)
    await access.refresh()
    assert find(access._tokens, secret) is not None


def test_names_scopes_and_doubles_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    file = TokenFile(tmp_path / "tokens.json")
    for name, scopes in (
        ("", ["read"]),
        ("a b", ["read"]),
        ("x" * 41, ["read"]),
        ("ok", []),
        ("ok", ["all"]),
    ):
        with pytest.raises(TokenError):
            file.add(name, scopes, now_s=0, lives_s=1, replace=False)
    file.add("ok", ["read"], now_s=0, lives_s=1, replace=False)
    with pytest.raises(TokenError, match="already"):
        file.add("ok", ["read"], now_s=0, lives_s=1, replace=False)
    with pytest.raises(TokenError, match="no token"):
        file.revoke("absent")
    assert [each.name for each in file.read()] == ["ok"]


# --- connections ---


async def closes(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(20):
        return await reader.read()


@pytest.mark.parametrize("begun", [b"", b"GET /hea", b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: "])
async def test_a_request_that_never_comes_to_its_end_is_cut_off(served, monkeypatch, begun):
    monkeypatch.setattr("engine.api.connections.REQUEST_DEADLINE_S", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", served.server.port)
    writer.write(begun)
    try:
        answer = await closes(reader)
    except ConnectionError:
        answer = b""
    assert b"200" not in answer
    assert (await served.get("/health"))[0] == 200
    writer.close()


async def test_a_second_request_on_the_same_connection_has_its_own_deadline(served, monkeypatch):
    reader, writer = await asyncio.open_connection("127.0.0.1", served.server.port)
    writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
    async with asyncio.timeout(20):
        assert b'{"status":"ok"}' in await reader.readuntil(b"}")
    monkeypatch.setattr("engine.api.connections.REQUEST_DEADLINE_S", 0.2)
    writer.write(b"GET /health HTTP/1.1\r\nHost:")
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        async with asyncio.timeout(20):
            await reader.readexactly(10_000)
    writer.close()


async def test_a_body_that_never_comes_is_told_so(served, token, monkeypatch):
    monkeypatch.setattr("engine.api.dispatch.BODY_DEADLINE_S", 0.1)
    secret = await token("operate")
    reader, writer = await asyncio.open_connection("127.0.0.1", served.server.port)
    writer.write(
        b"POST /admin/retry-all HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: 100\r\nAuthorization: Bearer " + secret.encode() + b"\r\n\r\n{"
    )
    async with asyncio.timeout(20):
        assert b" 408 " in await reader.readline()
    writer.close()


async def test_connections_beyond_the_bound_are_told_so_and_the_others_go_on(served):
    connections = served.server.tcp_connections
    connections.most = 3
    held = [await asyncio.open_connection("127.0.0.1", served.server.port) for _ in range(5)]
    refused = await asyncio.gather(*(closes(reader) for reader, _ in held[3:]))
    assert all(b" 503 " in answer and b"too_many_connections" in answer for answer in refused)
    reader, writer = held[0]
    writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert b"200 OK" in await closes(reader)
    assert (await served.client.snapshot()).seq
    for _, writer in held:
        writer.close()
