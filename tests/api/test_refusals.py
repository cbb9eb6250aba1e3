"""Every refusal has the status of the standards, one shape, and says what would be right."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

JSON = {"Content-Type": "application/json"}
NOBODY = "9" * 44  # an address that is not held
RESUME = json.dumps({"reason": "go on", "gate_version": 999}).encode()


@pytest.fixture
async def bearer(served):
    """The header of a token of that scope."""

    async def make(scope: str) -> dict[str, str]:
        secret = served.tokens.add(scope, [scope], now_s=int(time.time()), lives_s=60, replace=True)
        await served.server._access.refresh()
        return {"Authorization": f"Bearer {secret}"}

    return make


@pytest.mark.parametrize(
    ("status", "code", "method", "path", "scope", "headers", "body"),
    [
        (400, "bad_parameter", "POST", "/admin/contribute", "admin", JSON, b'{"amount_lamports":-5}'),
        (400, "bad_parameter", "GET", "/liquidations/pending?limit=0", None, {}, None),
        (400, "bad_address", "GET", "/positions/0OIl", None, {}, None),
        (400, "bad_id", "POST", "/admin/retry/a..b", "operate", {}, None),
        (400, "bad_body", "POST", "/admin/retry-all", "operate", JSON, b'{"outcome":'),
        (401, "token_missing", "POST", "/admin/clear-queue", None, {}, None),
        (403, "scope_missing", "POST", "/admin/resume", "operate", JSON, RESUME),
        (403, "foreign_origin", "GET", "/stats", None, {"Origin": "https://evil.example"}, None),
        (404, "not_found", "GET", "/nowhere", None, {}, None),
        (404, "unknown_position", "GET", f"/positions/{NOBODY}", None, {}, None),
        (404, "unknown_liquidation", "POST", "/admin/retry/00ff", "operate", {}, None),
        (404, "unknown_alert", "POST", "/admin/alerts/7/acknowledge", "operate", {}, None),
        (405, "method_not_allowed", "DELETE", "/stats", None, {}, None),
        (409, "stale_version", "POST", "/admin/resume", "admin", JSON, RESUME),
        (413, "request_entity_too_large", "POST", "/admin/retry-all", "operate", JSON, b"x" * 70_000),
        (415, "not_json", "POST", "/admin/retry-all", "operate", {"Content-Type": "text/plain"}, b"{}"),
        (421, "foreign_host", "GET", "/stats", None, {"Host": "evil.example"}, None),
        (422, "bad_body", "POST", "/admin/retry-all", "operate", JSON, b'{"outcome":7}'),
        (426, "no_websocket", "GET", "/ws", None, {}, None),
    ],
)
async def test_a_refusal_has_its_status_its_code_and_says_what_to_do(
    served, bearer, status, code, method, path, scope, headers, body
):
    await served.rig.gate.stop("test", "nothing is resumed by these")
    token = {} if scope is None else await bearer(scope)
    given, answer, _ = await served.ask(method, path, body, headers=headers | token)
    assert (given, answer["error"]["code"]) == (status, code)
    assert set(answer) == {"error"}
    assert set(answer["error"]) == {"code", "message", "details"}
    assert answer["error"]["message"]
    assert "Traceback" not in str(answer)
    assert not served.rig.gate.state.is_running


@pytest.mark.parametrize(
    ("query", "parameter", "allowed"),
    [
        ("/liquidations/pending?limit=1001", "limit", "a whole number from 1 to 1000"),
        ("/liquidations/pending?min_health=nan", "min_health", "a number from -1000000 to 1000000"),
        ("/liquidations/recent?from_date=yesterday", "from_date", "a day or a time of ISO 8601"),
        ("/liquidations/recent?from_date=2026-02-02&to_date=2026-02-01", "from_date", "before to_date"),
        ("/liquidations/recent?outcome=odd", "outcome", "one of confirmed, "),
        ("/positions?band=low", "band", "one of healthy, "),
        ("/positions?owner=0", "owner", "1 to 44 base58 characters"),
        ("/positions?limit=1&limit=2", "limit", "given once"),
        ("/positions?colour=red", "colour", "left out: known are limit, next, band, symbol, owner"),
        ("/stats?limit=1", "limit", "left out: there are none here"),
    ],
)
async def test_a_bad_parameter_is_named_with_the_range_that_it_may_have(served, query, parameter, allowed):
    status, answer = await served.get(query)
    assert status == 400
    details = answer["error"]["details"]
    assert details["parameter"] == parameter
    assert allowed in details["allowed"]
    assert parameter in answer["error"]["message"]


SECRET = "5ec2e7" * 10


@pytest.mark.parametrize(
    "raw",
    [
        b"POST /admin/clear-queue HTTP/1.1\r\nAuthorization: Bearer %s\x07\r\n\r\n",
        b"POST /admin/clear-queue HTTP/1.1\r\nHost: localhost\nAuthorization: Bearer %s\r\n\r\n",
        b"POST /admin/cl\xc5ar-queue?token=%s HTTP/1.1\r\n\r\n",
        b"POST /%s HTTP/9\r\n\r\n",
        b"POST /admin/clear-queue HTTP/1.1\r\nAuthorization: Bearer %s\r\nX: " + b"a" * 9000 + b"\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_refused_in_the_same_shape_and_not_repeated_anywhere(served, caplog, raw):
    reader, writer = await asyncio.open_connection("127.0.0.1", served.server.port)
    writer.write(raw % SECRET.encode())
    async with asyncio.timeout(30):
        answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b" 400 " in head.partition(b"\r\n")[0]
    assert json.loads(body)["error"]["code"] == "bad_request"
    assert SECRET not in answer.decode() + caplog.text
    assert caplog.records == []


async def test_a_token_of_bytes_that_are_no_text_is_a_wrong_one(served):
    for value in (b"Bearer \xe6\xff", b"\xfa", b"Bearer " + b"\x80" * 64):
        reader, writer = await asyncio.open_connection("127.0.0.1", served.server.port)
        writer.write(
            b"POST /admin/clear-queue HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: "
            + value
            + b"\r\n\r\n"
        )
        async with asyncio.timeout(30):
            answer = await reader.read()
        writer.close()
        assert answer.startswith(b"HTTP/1.1 401 "), answer
