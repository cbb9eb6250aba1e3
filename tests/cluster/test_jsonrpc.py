"""The shapes of errors, batches and HTTP refusals, by raw requests."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.pubkey import Pubkey

from engine.sandbox.cluster import Genesis, Ledger, RpcError, serve
from engine.sandbox.cluster.ledger.leader import Leader
from engine.sandbox.cluster.ledger.view import View
from engine.sandbox.cluster.rpc.jsonrpc import Dispatcher, Pieces
from engine.sandbox.cluster.rpc.method_table import methods_of
from engine.sandbox.cluster.rpc.params import Params
from engine.sandbox.cluster.serving.http_server import MAX_BODY_BYTES

if TYPE_CHECKING:
    from conftest import Node

ADDRESS = "11111111111111111111111111111111"
SIGNATURE = "1" * 64
NewKey = Callable[[], Pubkey]


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ("{", -32700, "Parse error"),
        ("", -32700, "Parse error"),
        (b"\xff\xfe", -32700, "Parse error"),
        ("[" * 100_000, -32700, "Parse error"),
        ("[]", -32600, "Invalid request"),
        ("3", -32700, "Parse error"),
        ('"getSlot"', -32700, "Parse error"),
        ('[{"jsonrpc":"2.0","id":1,"method":"getSlot"},5]', -32700, "Parse error"),
        ('{"jsonrpc":"2.0","id":1,"method":"getSlot","params":[1e400]}', -32700, "Parse error"),
        ('{"jsonrpc":"2.0","id":1,"method":"getSlot","params":[NaN]}', -32700, "Parse error"),
        ('{"jsonrpc":"2.0","id":1,"method":"\\ud800"}', -32700, "Parse error"),
        ('{"jsonrpc":"2.0","id":1,"method":"\\ud800\\u0041"}', -32700, "Parse error"),
        ("\ufeff{}", -32700, "Parse error"),
        ("{}", -32600, "Invalid request"),
        ('{"jsonrpc":"2.0","id":1,"method":"getSlot","extra":1}', -32600, "Invalid request"),
        ('{"jsonrpc":"2.0","id":1,"method":"getSlot","params":7}', -32600, "Invalid request"),
        ('{"jsonrpc":"1.0","id":1,"method":"getSlot"}', -32600, "Invalid request"),
        ('{"jsonrpc":"2.0","id":1,"method":7}', -32600, "Invalid request"),
        ('{"jsonrpc":"2.0","id":{},"method":"getSlot"}', -32700, "Parse error"),
        ('{"jsonrpc":"2.0","id":-1,"method":"getSlot"}', -32700, "Parse error"),
        ('{"jsonrpc":"2.0","id":1.5,"method":"getSlot"}', -32700, "Parse error"),
        ('{"jsonrpc":"2.0","id":true,"method":"getSlot"}', -32700, "Parse error"),
        ('{"jsonrpc":"2.0","id":18446744073709551616,"method":"getSlot"}', -32700, "Parse error"),
        ('{"jsonrpc":"2.0","id":1,"method":"getEverything"}', -32601, "Method not found"),
        ('{"jsonrpc":"2.0","id":1,"method":"accountSubscribe"}', -32601, "Method not found"),
        (
            '{"jsonrpc":"2.0","id":1,"method":"getSlot","params":{"commitment":"processed"}}',
            -32602,
            "Invalid params: invalid type: map, expected a sequence.",
        ),
    ],
)
def test_malformed_requests(body: bytes | str, code: int, message: str) -> None:
    response = DISPATCHER.respond(body)
    assert response is not None
    answer = json.loads(response)
    assert answer["error"] == {"code": code, "message": message}
    assert answer["jsonrpc"] == "2.0"


@pytest.mark.parametrize("request_id", [0, 2**64 - 1, "", "x", "\u2028", None])
def test_an_id_comes_back_as_it_was(request_id: object) -> None:
    request = {"jsonrpc": "2.0", "id": request_id, "method": "getHealth"}
    response = DISPATCHER.respond(json.dumps(request))
    assert response is not None
    assert json.loads(response) == {"jsonrpc": "2.0", "result": "ok", "id": request_id}


def test_a_request_without_a_version_is_answered_without_one() -> None:
    response = DISPATCHER.respond('{"id":1,"method":"getSlot"}')
    assert response is not None
    message = "Unsupported JSON-RPC protocol version"
    assert json.loads(response) == {"error": {"code": -32600, "message": message}, "id": 1}


@pytest.mark.parametrize(
    ("opening", "closing", "depth", "message"),
    [
        # Around each: the array of parameters, and the request itself.
        ("[", "]", 125, "Invalid params"),
        ("[", "]", 126, "Parse error"),
        ('{"[":', "}", 125, "Invalid params"),
        ('{"a":', "}", 126, "Parse error"),
        ('"[[{', '"', 1, "Invalid param"),
    ],
)
def test_json_is_read_as_deep_as_a_node_reads_it(
    opening: str, closing: str, depth: int, message: str
) -> None:
    inner = opening * depth + ("" if opening == '"[[{' else "1") + closing * depth
    response = DISPATCHER.respond('{"jsonrpc":"2.0","id":1,"method":"getBalance","params":[%s]}' % inner)  # noqa: UP031
    assert response is not None
    assert json.loads(response)["error"]["message"].startswith(message)


def test_a_notification_is_neither_run_nor_answered() -> None:
    called: list[Params] = []
    dispatcher = Dispatcher({"count": called.append})
    assert dispatcher.respond('{"jsonrpc":"2.0","method":"count"}') is None
    assert dispatcher.respond('{"jsonrpc":"2.0","method":"unknown"}') is None
    assert dispatcher.respond('{"method":"count"}') is None
    assert dispatcher.respond('[{"jsonrpc":"2.0","method":"count"}]') is None
    assert called == []
    assert dispatcher.respond('{"jsonrpc":"2.0","method":"count","id":null}') is not None
    assert len(called) == 1


def test_a_result_in_pieces_is_one_response_and_rests_are_passed_on() -> None:
    dispatcher = Dispatcher({"long": lambda _params: Pieces([b"", b"[1", b"", b",2]"])})
    call = dispatcher.read('{"jsonrpc":"2.0","id":"a","method":"long"}')
    pieces = list(dispatcher.answer(call))
    assert json.loads(b"".join(pieces)) == {"jsonrpc": "2.0", "result": [1, 2], "id": "a"}
    assert pieces.count(b"") == 2


def test_a_result_that_fails_before_its_first_bytes_is_an_error() -> None:
    def refused() -> Iterator[bytes]:
        yield b""
        raise RpcError(-32602, "too long")

    dispatcher = Dispatcher({"long": lambda _params: Pieces(refused())})
    response = dispatcher.respond('[{"jsonrpc":"2.0","id":1,"method":"long"}]')
    assert response is not None
    assert json.loads(response) == [
        {"jsonrpc": "2.0", "error": {"code": -32602, "message": "too long"}, "id": 1}
    ]


def test_the_calls_of_a_batch_are_made_as_their_answers_are_taken() -> None:
    made: list[int] = []
    dispatcher = Dispatcher({"count": lambda _params: made.append(1)})
    call = dispatcher.read(json.dumps([{"jsonrpc": "2.0", "id": 1, "method": "count"}] * 100))
    pieces = dispatcher.answer(call)
    assert next(pieces) == b"["
    assert len(made) == 1
    assert len(json.loads(b"[" + b"".join(pieces))) == 100
    assert len(made) == 100


_LEDGER = Ledger(Genesis.from_seed(b"json"), lambda: 1.0)
METHODS = methods_of(View(_LEDGER), Leader(_LEDGER))
DISPATCHER = Dispatcher(METHODS)


@pytest.mark.parametrize(
    ("method", "params", "code", "message"),
    [
        ("getBalance", [], -32602, "`params` should have at least 1 argument(s)"),
        ("getBalance", ["0"], -32602, "Invalid param: Invalid"),
        ("getBalance", ["abc"], -32602, "Invalid param: WrongSize"),
        ("getBalance", ["0" * 45], -32602, "Invalid param: WrongSize"),
        ("getBalance", ["0" * 44], -32602, "Invalid param: Invalid"),
        ("getBalance", [7], -32602, "Invalid params: invalid type: integer `7`, expected a string."),
        (
            "getBalance",
            [ADDRESS, "x"],
            -32602,
            'Invalid params: invalid type: string "x", expected struct RpcContextConfig.',
        ),
        (
            "getBalance",
            [ADDRESS, {"commitment": "soon"}],
            -32602,
            "Invalid params: unknown variant `soon`, expected one of `processed`, `confirmed`, `finalized`.",
        ),
        (
            "getAccountInfo",
            [ADDRESS, {"encoding": "utf8"}],
            -32602,
            "Invalid params: unknown variant `utf8`, expected one of "
            "`binary`, `base58`, `base64`, `jsonParsed`, `base64+zstd`.",
        ),
        (
            "getAccountInfo",
            [ADDRESS, {"dataSlice": {"offset": -1, "length": 2}}],
            -32602,
            "Invalid params: invalid value: integer `-1`, expected usize.",
        ),
        ("getMultipleAccounts", [[ADDRESS] * 101], -32602, "Too many inputs provided; max 100"),
        ("getSignatureStatuses", [[SIGNATURE] * 257], -32602, "Too many inputs provided; max 256"),
        ("getRecentPrioritizationFees", [[ADDRESS] * 129], -32602, "Too many inputs provided; max 128"),
        (
            "getProgramAccounts",
            [ADDRESS, {"filters": [{"dataSize": 1}] * 5}],
            -32602,
            "Too many filters provided; max 4",
        ),
        (
            "getProgramAccounts",
            [ADDRESS, {"filters": [{"memcmp": {"offset": 0, "bytes": "1" * 176}}]}],
            -32602,
            "Invalid param: encoded binary data should be less than 129 bytes",
        ),
        (
            "getProgramAccounts",
            [ADDRESS, {"filters": [{"smell": 1}]}],
            -32602,
            "Invalid params: unknown variant `smell`, expected one of "
            "`dataSize`, `memcmp`, `tokenAccountState`.",
        ),
        (
            "getSignaturesForAddress",
            [ADDRESS, {"limit": 1001}],
            -32602,
            "Invalid limit; max 1000",
        ),
        (
            "getSignaturesForAddress",
            [ADDRESS, {"commitment": "processed"}],
            -32602,
            "Method does not support commitment below `confirmed`",
        ),
        (
            "getBlockTime",
            [1],
            -32001,
            "Block 1 cleaned up, does not exist on node. First available block: 400",
        ),
        (
            "sendTransaction",
            ["AQ==", {"encoding": "json"}],
            -32602,
            "unsupported encoding: json. Supported encodings: base58, base64",
        ),
        (
            "sendTransaction",
            ["A" * 1645, {"encoding": "base64"}],
            -32602,
            "base64 encoded solana_transaction::versioned::VersionedTransaction too large: 1645 bytes "
            "(max: encoded/raw 1644/1232)",
        ),
        (
            "sendTransaction",
            [base64.b64encode(bytes(1233)).decode(), {"encoding": "base64"}],
            -32602,
            "decoded solana_transaction::versioned::VersionedTransaction too large: 1233 bytes "
            "(max: 1232 bytes)",
        ),
        (
            "simulateTransaction",
            ["1" * 1684],
            -32602,
            "base58 encoded solana_transaction::versioned::VersionedTransaction too large: 1684 bytes "
            "(max: encoded/raw 1683/1232)",
        ),
    ],
)
def test_unusable_parameters(method: str, params: list[Any], code: int, message: str) -> None:
    request = {"jsonrpc": "2.0", "id": "x", "method": method, "params": params}
    response = DISPATCHER.respond(json.dumps(request))
    assert response is not None
    assert json.loads(response) == {
        "jsonrpc": "2.0",
        "error": {"code": code, "message": message},
        "id": "x",
    }


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(method=st.sampled_from(sorted(METHODS)), data=st.data())
def test_no_parameters_make_a_method_fail_inside(method: str, data: st.DataObject) -> None:
    known = st.sampled_from(
        [ADDRESS, SIGNATURE, {"commitment": "confirmed"}, {"encoding": "base64"}, [ADDRESS]]
    )
    params = data.draw(st.lists(known | JSON, max_size=3))
    response = DISPATCHER.respond(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}))
    assert response is not None
    answer = json.loads(response)
    assert answer["id"] == 1
    assert answer.get("error", {"code": 0})["code"] != -32603 or method == "requestAirdrop"


async def test_a_batch_is_answered_in_order_with_errors_in_place(node: Node) -> None:
    calls = [
        {"jsonrpc": "2.0", "id": 1, "method": "getHealth"},
        {"jsonrpc": "2.0", "method": "getHealth"},
        {},
        {"jsonrpc": "2.0", "id": "b", "method": "nope"},
    ]
    status, body = await node.post(json.dumps(calls))
    assert status == 200
    assert json.loads(body) == [
        {"jsonrpc": "2.0", "result": "ok", "id": 1},
        {"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid request"}, "id": None},
        {"jsonrpc": "2.0", "error": {"code": -32601, "message": "Method not found"}, "id": "b"},
    ]
    assert body.endswith(b"]\n")
    assert await node.post('{"jsonrpc":"2.0","method":"getHealth"}') == (200, b"")


async def test_http_refusals(node: Node) -> None:
    assert (await node.post("{}", "text/plain"))[0] == 415
    assert (await node.post(b" " * (MAX_BODY_BYTES + 1)))[0] == 413
    assert (await node.post(b" " * MAX_BODY_BYTES))[0] == 200

    async def chunks() -> Any:
        for _ in range(100):
            yield b" " * 1024

    headers = {"Content-Type": "application/json"}
    async with node.http.post(node.server.rpc_url, data=chunks(), headers=headers) as response:
        assert response.status == 413
    async with node.http.get(node.server.rpc_url) as response:
        assert response.status == 405
    async with node.http.options(node.server.rpc_url) as response:
        assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert await node.result("getHealth") == "ok"


async def test_methods_of_the_embedder_are_served_beside_the_nodes_own() -> None:
    def double(params: list[object]) -> object:
        (number,) = params
        if not isinstance(number, int):
            raise RpcError(-32602, "a number, please")
        return 2 * number

    ledger = Ledger(Genesis.from_seed(b""), lambda: 1.0)
    server = await serve(ledger, rpc_port=0, ws_port=0, extra_methods={"sandboxDouble": double})
    async with aiohttp.ClientSession() as http:
        for params, expected in (
            ([21], {"result": 42}),
            (["x"], {"error": {"code": -32602, "message": "a number, please"}}),
            ([], {"error": {"code": -32603, "message": "Internal error"}}),
        ):
            request = {"jsonrpc": "2.0", "id": 1, "method": "sandboxDouble", "params": params}
            async with http.post(server.rpc_url, json=request) as response:
                assert await response.json() == {"jsonrpc": "2.0", "id": 1, **expected}
    await server.close()


async def test_an_undecodable_transaction_is_invalid_params(node: Node) -> None:
    for raw in (b"", b"\x01", os.urandom(200)):
        text = base64.b64encode(raw).decode()
        error = await node.error("sendTransaction", text, {"encoding": "base64"})
        assert error["code"] == -32602
        assert "VersionedTransaction" in error["message"] or "invalid transaction" in error["message"]
    assert (await node.error("sendTransaction", "!!", {"encoding": "base64"}))["message"].startswith(
        "invalid base64 encoding"
    )
