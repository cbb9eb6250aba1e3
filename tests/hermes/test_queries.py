"""What a client may ask of Hermes, what it gets, and how it is refused."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from engine.protocol.addresses import BTC_USD, ETH_USD, SOL_USD
from engine.protocol.pyth import decode_price_update

SOL, BTC, ETH = (feed.feed_id.hex() for feed in (SOL_USD, BTC_USD, ETH_USD))
UNKNOWN = "ab" * 32
LATEST = "/v2/updates/price/latest"


async def test_an_update_has_the_shape_of_the_real_service(hermes: Any) -> None:
    answer = await hermes.latest(SOL)
    quote = hermes.publishers.quotes["SOL/USD"]
    assert list(answer) == ["binary", "parsed"]
    assert answer["parsed"] == [
        {
            "id": SOL,
            "price": {
                "price": "15000000000",
                "conf": str(quote.conf),
                "expo": -8,
                "publish_time": 1_760_000_000,
            },
            "ema_price": {
                "price": "15000000000",
                "conf": str(quote.ema_conf),
                "expo": -8,
                "publish_time": 1_760_000_000,
            },
            "metadata": {
                "slot": 1_001,
                "proof_available_time": 1_760_000_000,
                "prev_publish_time": 1_760_000_000,
            },
        }
    ]


@pytest.mark.parametrize(("encoding", "decode"), [("hex", bytes.fromhex), ("base64", base64.b64decode)])
async def test_the_binary_part_is_the_account_of_each_feed_in_the_asked_encoding(
    hermes: Any, encoding: str, decode: Callable[[str], bytes]
) -> None:
    binary = (await hermes.latest(SOL, ETH, encoding=encoding, parsed="false"))["binary"]
    assert binary["encoding"] == encoding
    told = [decode_price_update(decode(text)) for text in binary["data"]]
    assert told == [hermes.publishers.quotes["SOL/USD"], hermes.publishers.quotes["ETH/USD"]]
    assert not any(decode(text).startswith(b"PNAU") for text in binary["data"])


async def test_parsed_is_left_out_when_it_is_not_wanted(hermes: Any) -> None:
    assert list(await hermes.latest(SOL, parsed="false")) == ["binary"]


async def test_feed_ids_may_have_0x_and_capitals_and_each_is_answered_once_in_order(hermes: Any) -> None:
    answer = await hermes.latest("0x" + ETH, SOL.upper(), ETH)
    assert [each["id"] for each in answer["parsed"]] == [ETH, SOL]


async def test_an_unknown_feed_is_404_by_name_unless_it_is_to_be_ignored(hermes: Any) -> None:
    assert await hermes.get(LATEST, SOL, UNKNOWN) == (404, f"Price ids not found: 0x{UNKNOWN}")
    answer = await hermes.latest(SOL, UNKNOWN, ignore_invalid_price_ids="true")
    assert [each["id"] for each in answer["parsed"]] == [SOL]


@pytest.mark.parametrize("path", [LATEST, "/v2/updates/price/stream"])
@pytest.mark.parametrize(
    ("ids", "options", "complaint"),
    [
        ((), {}, "missing field `ids`"),
        (("zz" * 32,), {}, "Invalid character 'z' at position 0"),
        (("0xabc",), {}, "Odd number of digits"),
        (("abcd",), {}, "Invalid string length"),
        ((SOL,), {"encoding": "base58"}, "unknown variant `base58`, expected one of `hex`, `base64`"),
        ((SOL,), {"parsed": "yes"}, "provided string was not `true` or `false`"),
        ((SOL,), {"benchmarks_only": "1"}, "provided string was not `true` or `false`"),
        ((SOL,), {"encoding": "\x1b[2J"}, "unknown variant `\\x1b[2J`"),
    ],
)
async def test_a_query_that_cannot_be_read_is_400_and_says_why(
    hermes: Any, path: str, ids: tuple[str, ...], options: dict[str, str], complaint: str
) -> None:
    status, text = await hermes.get(path, *ids, **options)
    assert status == 400
    assert text.startswith("Failed to deserialize query string: ")
    assert complaint in text


async def test_feeds_are_listed_by_part_of_their_symbol_and_by_asset_type(hermes: Any) -> None:
    async def symbols(**options: str) -> list[str]:
        status, text = await hermes.get("/v2/price_feeds", **options)
        assert status == 200
        return [feed["attributes"]["symbol"] for feed in json.loads(text)]

    assert await symbols() == ["Crypto.SOL/USD", "Crypto.BTC/USD", "Crypto.ETH/USD"]
    assert await symbols(query="btc") == ["Crypto.BTC/USD"]
    assert await symbols(asset_type="crypto", query="e") != []
    assert await symbols(asset_type="equity") == []
    status, text = await hermes.get("/v2/price_feeds", asset_type="bonds")
    assert (status, "unknown variant `bonds`" in text) == (400, True)
    _, text = await hermes.get("/v2/price_feeds", query="SOL")
    assert json.loads(text)[0]["id"] == SOL


async def test_a_service_with_a_key_admits_its_bearer_alone(start: Any) -> None:
    service = await start(key="open sesame")
    for given in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "open sesame"}):
        async with service.http.get(f"{service.server.url}{LATEST}?ids[]={SOL}", headers=given) as response:
            assert response.status == 401
    bearer = {"Authorization": "Bearer open sesame"}
    async with service.http.get(f"{service.server.url}{LATEST}?ids[]={SOL}", headers=bearer) as response:
        assert response.status == 200


async def test_other_paths_and_verbs_are_refused_and_liveness_is_told(hermes: Any) -> None:
    assert (await hermes.get("/v2/nothing"))[0] == 404
    assert await hermes.get("/live") == (200, "OK")
    async with hermes.http.post(f"{hermes.server.url}{LATEST}?ids[]={SOL}") as response:
        assert response.status == 405
