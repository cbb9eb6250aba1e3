"""Accounts over a real socket, through Solana's Python client where it has the method."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import zstandard
from solana.rpc.async_api import AsyncClient
from solana.rpc.commitment import Confirmed, Finalized, Processed
from solana.rpc.models import DataSliceOpts, MemcmpOpts
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from engine.sandbox.cluster import Commitment
from engine.sandbox.cluster.encoding import base58_decode, base58_encode

if TYPE_CHECKING:
    from conftest import Node

SOL = 1_000_000_000
NewKey = Callable[[], Pubkey]


async def test_account_reads_say_the_slot_of_their_bank(node: Node, client: AsyncClient, key: NewKey) -> None:
    address = key()
    node.town.plant(address, 7 * SOL, b"seven", address)
    processed = await client.get_account_info(address, Processed)
    assert processed.context.slot == node.ledger.slot
    assert processed.value is not None
    assert (processed.value.lamports, processed.value.data, processed.value.owner) == (
        7 * SOL,
        b"seven",
        address,
    )
    finalized = await client.get_account_info(address, Finalized)
    assert (finalized.context.slot, finalized.value) == (node.ledger.slot - 31, None)
    assert (await client.get_balance(address, Processed)).value == 7 * SOL
    assert (await client.get_balance(address, Confirmed)).value == 0
    several = await client.get_multiple_accounts([address, key()], Processed)
    assert several.value[0] == processed.value
    assert several.value[1] is None


@pytest.mark.parametrize("encoding", ["base58", "base64", "base64+zstd", "jsonParsed", None])
async def test_account_data_in_every_encoding(
    node: Node, key: NewKey, program_id: Pubkey, encoding: str | None
) -> None:
    data = bytes(range(100))
    node.town.plant(address := key(), SOL, data, program_id)
    config: dict[str, Any] = {"commitment": "processed"} | ({"encoding": encoding} if encoding else {})
    account = (await node.result("getAccountInfo", str(address), config))["value"]
    assert {name: account[name] for name in ("lamports", "owner", "executable", "space")} == {
        "lamports": SOL,
        "owner": str(program_id),
        "executable": False,
        "space": 100,
    }
    if encoding is None:
        assert base58_decode(account["data"]) == data
        return
    text, name = account["data"]
    assert name == ("base64" if encoding == "jsonParsed" else encoding)
    decoded = base58_decode(text) if encoding == "base58" else base64.b64decode(text)
    if encoding == "base64+zstd":
        decoded = zstandard.ZstdDecompressor().decompress(decoded, max_output_size=1_000)
    assert decoded == data
    config["dataSlice"] = {"offset": 90, "length": 20}
    sliced = (await node.result("getAccountInfo", str(address), config))["value"]
    assert sliced["space"] == 100
    if encoding in ("base64", "jsonParsed"):
        assert base64.b64decode(sliced["data"][0]) == data[90:]


async def test_base58_of_more_than_128_bytes_is_refused_unless_sliced(
    node: Node, key: NewKey, program_id: Pubkey
) -> None:
    node.town.plant(address := key(), SOL, bytes(129), program_id)
    config = {"commitment": "processed", "encoding": "base58"}
    error = await node.error("getAccountInfo", str(address), config)
    assert error["code"] == -32600
    assert error["message"].startswith("Encoded binary (base 58) data should be less than 128 bytes")
    await node.result("getAccountInfo", str(address), config | {"dataSlice": {"offset": 0, "length": 128}})


async def test_program_accounts_by_filters_slices_and_context(
    node: Node, client: AsyncClient, key: NewKey, program_id: Pubkey
) -> None:
    addresses = sorted((key() for _ in range(6)), key=bytes)
    for number, address in enumerate(addresses):
        node.town.plant(address, SOL, bytes([1, number % 2]) * (10 + number // 3), program_id)
    found = await client.get_program_accounts(program_id, Processed, encoding="base64")
    assert [entry.pubkey for entry in found.value] == addresses
    assert found.value[3].account.data == bytes([1, 1]) * 11
    assert (await client.get_program_accounts(program_id, Confirmed, encoding="base64")).value == []
    odd = MemcmpOpts(offset=1, bytes=base58_encode(b"\x01"))
    filtered = await client.get_program_accounts(
        program_id, Processed, encoding="base64+zstd", filters=[22, odd]
    )
    assert [entry.pubkey for entry in filtered.value] == [addresses[3], addresses[5]]
    sliced = await client.get_program_accounts(
        program_id, Processed, encoding="base64", data_slice=DataSliceOpts(offset=1, length=2)
    )
    assert sliced.value[1].account.data == b"\x01\x01"
    config = {"commitment": "processed", "encoding": "base64", "withContext": True}
    for filters, count in (
        ([{"memcmp": {"offset": 0, "bytes": "AQA=", "encoding": "base64"}}], 3),
        ([{"memcmp": {"offset": 0, "bytes": [1, 1]}}], 3),
        ([{"dataSize": 20}], 3),
        ([{"memcmp": {"offset": 500, "bytes": [1]}}], 0),
        ([{"tokenAccountState": {}}], 0),
    ):
        answer = await node.result("getProgramAccounts", str(program_id), config | {"filters": filters})
        assert answer["context"]["slot"] == node.ledger.slot
        assert len(answer["value"]) == count


async def test_rent_exemption_is_what_the_machine_enforces(
    node: Node, client: AsyncClient, key: NewKey
) -> None:
    least = (await client.get_minimum_balance_for_rent_exemption(0)).value
    node.town.land(node.town.pay(enough := key(), least))
    transaction = node.town.sign(node.town.pay(key(), least - 1))
    response = await node.send(transaction)
    assert "insufficient funds for rent" in response["error"]["message"]
    assert node.town.lamports(enough) == least


def test_base58_agrees_with_solders() -> None:
    for _ in range(50):
        address = Keypair().pubkey()
        assert base58_encode(bytes(address)) == str(address)
        assert base58_decode(str(address)) == bytes(address)
    assert base58_encode(b"\0\0a") == "112g"
    assert base58_decode("112g") == b"\0\0a"
    assert Commitment("confirmed") is Commitment.CONFIRMED
