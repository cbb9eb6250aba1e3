"""Updates in the service's JSON: decimal strings for prices, feed ids without 0x, the signed part in binary.

The binary part of the real service is an accumulator update that Wormhole's guardians have signed. Nobody
here can sign one: in its place stands the content of each feed's account as this chain carries it
(PriceUpdateV2). A client that decodes accumulator updates refuses it at its first four bytes.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping

import msgspec

from engine.protocol.addresses import FEEDS
from engine.protocol.pyth import PriceUpdate, encode_price_update
from engine.sandbox.hermes.queries import UpdateQuery

_BASE_NAMES = {"SOL": "SOLANA", "BTC": "BITCOIN", "ETH": "ETHEREUM"}
_ASSET_TYPE = "crypto"

Quotes = Mapping[bytes, PriceUpdate]
"""The newest update of each feed, by feed id."""


def update_body(quotes: Quotes, query: UpdateQuery) -> bytes | None:
    """The JSON of an answer or a stream's event; None when no feed is left to tell of.

    A query for benchmarks leaves out an update whose predecessor was published in the same second.
    """
    updates = [quotes[feed_id] for feed_id in query.ids if feed_id in quotes]
    if query.benchmarks_only:
        updates = [update for update in updates if update.prev_publish_time_s != update.publish_time_s]
    if not updates:
        return None
    body: dict[str, object] = {
        "binary": {
            "encoding": query.encoding,
            "data": [_encoded(encode_price_update(update), query.encoding) for update in updates],
        }
    }
    if query.parsed:
        body["parsed"] = [_parsed(update) for update in updates]
    return msgspec.json.encode(body)


def feeds_body(search: str, asset_type: str | None) -> bytes:
    """The JSON list of feeds whose symbol contains `search`, in any case, and that are of `asset_type`."""
    feeds = []
    for symbol, feed in FEEDS.items():
        base, _, quote_currency = symbol.partition("/")
        attributes = {
            "asset_type": "Crypto",
            "base": base,
            "description": f"{_BASE_NAMES.get(base, base)} / US DOLLAR",
            "display_symbol": symbol,
            "generic_symbol": base + quote_currency,
            "quote_currency": quote_currency,
            "symbol": f"Crypto.{symbol}",
        }
        if search.lower() in attributes["symbol"].lower() and asset_type in (None, _ASSET_TYPE):
            feeds.append({"id": feed.feed_id.hex(), "attributes": attributes})
    return msgspec.json.encode(feeds)


def _parsed(update: PriceUpdate) -> dict[str, object]:
    def price(value: int, conf: int) -> dict[str, object]:
        return {
            "price": str(value),
            "conf": str(conf),
            "expo": update.exponent,
            "publish_time": update.publish_time_s,
        }

    return {
        "id": update.feed_id.hex(),
        "price": price(update.price, update.conf),
        "ema_price": price(update.ema_price, update.ema_conf),
        "metadata": {
            "slot": update.posted_slot,
            "proof_available_time": update.publish_time_s,
            "prev_publish_time": update.prev_publish_time_s,
        },
    }


def _encoded(data: bytes, encoding: str) -> str:
    return data.hex() if encoding == "hex" else base64.b64encode(data).decode()
