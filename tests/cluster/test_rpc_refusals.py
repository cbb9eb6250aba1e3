"""What a node cannot use, method by method: its codes and its words, over a real socket."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
from solders.hash import Hash
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.transaction import Transaction

if TYPE_CHECKING:
    from conftest import Node

ADDRESS = str(Pubkey.default())
SIGNATURE = "1" * 64
FOR_MESSAGES = "solana_message::versions::VersionedMessage"


def _wrong(value: str, expected: str) -> str:
    return f"Invalid params: invalid type: {value}, expected {expected}."


def _no_variant(enumeration: str) -> str:
    return f"Invalid params: data did not match any variant of untagged enum {enumeration}."


def _count(least: int, most: int) -> str:
    return f"Invalid parameters: Expected from {least} to {most} parameters."


NO_PARAMETERS = "Invalid parameters: No parameters were expected"
NO_LEVEL = "Invalid params: unknown variant `soon`, expected one of `processed`, `confirmed`, `finalized`."
NO_ENCODING = (
    "Invalid params: unknown variant `base65`, expected one of "
    "`binary`, `base64`, `base58`, `json`, `jsonParsed`."
)
BELOW_CONFIRMED = "Method does not support commitment below `confirmed`"

REFUSALS: list[tuple[str, list[Any], str]] = [
    # how many
    ("getHealth", [1], NO_PARAMETERS),
    ("getVersion", [{}], NO_PARAMETERS),
    ("getSlot", [{}, {}], _count(0, 1)),
    ("getBalance", [ADDRESS, {}, {}], _count(1, 2)),
    ("getBlock", [], "`params` should have at least 1 argument(s)"),
    ("getBlockTime", [], "Invalid params: invalid length 0, expected a tuple of size 1."),
    ("getSlotLeaders", [1], "Invalid params: invalid length 1, expected a tuple of size 2."),
    ("getSlotLeaders", [1, 2, 3], "Invalid params: invalid length 3, expected fewer elements in array."),
    # of which type
    ("getSlot", [7], _wrong("integer `7`", "struct RpcContextConfig")),
    ("getSlot", [{"minContextSlot": "9"}], _wrong('string "9"', "u64")),
    ("getSlot", [{"minContextSlot": -1}], "Invalid params: invalid value: integer `-1`, expected u64."),
    ("getSlot", [{"commitment": "soon"}], NO_LEVEL),
    ("getSlot", [{"commitment": 1}], _wrong("integer `1`", "a string")),
    ("getBalance", [None], _wrong("null", "a string")),
    ("getBalance", [[ADDRESS]], _wrong("sequence", "a string")),
    ("getBalance", [{"address": ADDRESS}], _wrong("map", "a string")),
    ("getBalance", [True], _wrong("boolean `true`", "a string")),
    ("getBlockTime", [1.5], _wrong("floating point `1.5`", "u64")),
    ("getBlockTime", [-(2**64)], _wrong("floating point `-18446744073709552000.0`", "u64")),
    ("getBlockTime", [1e-7], _wrong("floating point `0.0000001`", "u64")),
    ("getBlockTime", ["1"], _wrong('string "1"', "u64")),
    ("getMultipleAccounts", [ADDRESS], _wrong(f'string "{ADDRESS}"', "a sequence")),
    ("getMultipleAccounts", [[ADDRESS, 1]], _wrong("integer `1`", "a string")),
    ("getAccountInfo", [ADDRESS, "base64"], _wrong('string "base64"', "struct RpcAccountInfoConfig")),
    ("getAccountInfo", [ADDRESS, {"dataSlice": 3}], _wrong("integer `3`", "struct UiDataSliceConfig")),
    ("getAccountInfo", [ADDRESS, {"dataSlice": {"offset": 1}}], "Invalid params: missing field `length`."),
    ("getMinimumBalanceForRentExemption", [1, {}], "Invalid params: missing field `commitment`."),
    ("getInflationGovernor", ["finalized"], _wrong('string "finalized"', "struct CommitmentConfig")),
    ("getLargestAccounts", [{"filter": "rich"}], "Invalid params: unknown variant `rich`, expected one of "
     "`circulating`, `nonCirculating`."),
    ("getSupply", [{"excludeNonCirculatingAccountsList": 1}], _wrong("integer `1`", "a boolean")),
    ("getSignatureStatuses", [[SIGNATURE], {}], "Invalid params: missing field `searchTransactionHistory`."),
    ("getRecentPerformanceSamples", ["all"], _wrong('string "all"', "usize")),
    ("getBlock", [1, {"encoding": "xml"}], _no_variant("RpcEncodingConfigWrapper")),
    ("getBlock", [1, {"maxSupportedTransactionVersion": 256}], _no_variant("RpcEncodingConfigWrapper")),
    ("getTransaction", [SIGNATURE, 5], _no_variant("RpcEncodingConfigWrapper")),
    ("getBlocks", [1, "2"], _no_variant("RpcBlocksConfigWrapper")),
    ("sendTransaction", ["A", {"encoding": "base65"}], NO_ENCODING),
    # with which value
    ("isBlockhashValid", ["short"], "WrongSize"),
    ("isBlockhashValid", ["0" * 43], "Invalid"),
    ("getTransaction", ["1" * 65], "Invalid param: WrongSize"),
    ("getTransaction", ["I" * 64], "Invalid param: Invalid"),
    ("requestAirdrop", [ADDRESS, 2**64], _wrong("floating point `18446744073709552000.0`", "u64")),
    ("getSignaturesForAddress", [ADDRESS, {"limit": 0}], "Invalid limit; max 1000"),
    ("getSignaturesForAddress", [ADDRESS, {"commitment": "processed"}], BELOW_CONFIRMED),
    ("getBlocks", [1, 2, {"commitment": "processed"}], BELOW_CONFIRMED),
    ("getBlocksWithLimit", [1, 500_001], "Limit too large; max 500000"),
    ("getTransaction", [SIGNATURE, {"commitment": "processed"}], BELOW_CONFIRMED),
    ("getBlockProduction", [{"range": {"firstSlot": 500, "lastSlot": 499}}],
     "lastSlot, 499, cannot be less than firstSlot, 500"),
    ("getBlockProduction", [{"range": {}}], "Invalid params: missing field `firstSlot`."),
    ("getBlockProduction", [{"range": {"firstSlot": 1}}], "firstSlot, 1, is too small; min 400"),
    ("getFeeForMessage", ["AAAA"], f"failed to deserialize {FOR_MESSAGES}: "),
    ("getFeeForMessage", ["?"], "invalid base64 encoding: "),
    ("getFeeForMessage", ["A" * 1645], f"base64 encoded {FOR_MESSAGES} too large: 1645 bytes "
     "(max: encoded/raw 1644/1232)"),
]  # fmt: skip


@pytest.fixture
def text() -> str:
    """A transaction's wire bytes in base64: a payment of an account that does not exist."""
    payer = Keypair()
    pay = transfer(TransferParams(from_pubkey=payer.pubkey(), to_pubkey=Pubkey.default(), lamports=1))
    signed = Transaction.new_signed_with_payer([pay], payer.pubkey(), [payer], Hash.default())
    return base64.b64encode(bytes(signed)).decode()


async def test_parameters_that_a_node_cannot_use_are_refused_in_its_words(node: Node) -> None:
    for method, params, message in REFUSALS:
        error = await node.error(method, *params)
        assert error["code"] == -32602, (method, params, error)
        # What a decoder says behind the colon is its own affair.
        said = error["message"][: len(message)] if message.endswith(": ") else error["message"]
        assert said == message, (method, params)


async def test_how_many_parameters_there_were_is_in_the_data(node: Node) -> None:
    assert (await node.error("getSlot", {}, {}))["data"] == '"Got: 2"'


async def test_accounts_beyond_ten_megabytes_have_no_rent(node: Node) -> None:
    most = 10 * 1024 * 1024
    assert await node.result("getMinimumBalanceForRentExemption", most) > 0
    error = await node.error("getMinimumBalanceForRentExemption", most + 1)
    assert error == {"code": -32600, "message": "Invalid request"}


async def test_rehearsals_are_refused_for_what_they_cannot_show(node: Node, text: str) -> None:
    async def refusal(accounts: Any) -> str:
        options = {"encoding": "base64", "commitment": "processed", "accounts": accounts}
        error = await node.error("simulateTransaction", text, options)
        assert error["code"] == -32602
        message: str = error["message"]
        return message

    assert await refusal({"addresses": [ADDRESS] * 3}) == "Too many accounts provided; max 2"
    assert await refusal({"encoding": "base64"}) == "Invalid params: missing field `addresses`."
    assert await refusal({"addresses": [], "encoding": "base58"}) == "base58 encoding not supported"
    assert await refusal([ADDRESS]) == _wrong("sequence", "struct RpcSimulateTransactionAccountsConfig")
    assert await refusal({"addresses": ADDRESS}) == _wrong(f'string "{ADDRESS}"', "a sequence")


async def test_methods_that_nodes_have_given_up_are_not_found(node: Node) -> None:
    for method in ("getRecentBlockhash", "getConfirmedBlock", "getFees", "getStakeActivation", "getslot", ""):
        assert await node.error(method) == {"code": -32601, "message": "Method not found"}
