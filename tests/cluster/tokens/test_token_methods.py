"""What the node answers about tokens, over real sockets and through Solana's Python client."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
from solana.rpc.async_api import AsyncClient
from solana.rpc.commitment import Processed
from solana.rpc.models import TokenAccountOpts
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from spl.token import instructions as spl
from spl.token.constants import TOKEN_2022_PROGRAM_ID, TOKEN_PROGRAM_ID, WRAPPED_SOL_MINT

from engine.sandbox.cluster.encoding import base58_decode

if TYPE_CHECKING:
    from conftest import Coins, Node
PROCESSED = {"commitment": "processed"}
PARSED = {"commitment": "processed", "encoding": "jsonParsed"}


async def test_a_balance_and_a_supply(node: Node, client: AsyncClient, coins: Coins) -> None:
    mint = coins.mint()
    account = coins.account(mint)
    coins.issue(mint, account, 2_500_000)
    balance = await client.get_token_account_balance(account, Processed)
    assert balance.context.slot == node.ledger.slot
    assert (balance.value.amount, balance.value.decimals) == ("2500000", 6)
    assert (balance.value.ui_amount, balance.value.ui_amount_string) == (2.5, "2.5")
    supply = await client.get_token_supply(mint, Processed)
    assert supply.value == balance.value
    assert await node.result("getTokenSupply", str(mint), PROCESSED) == {
        "context": {
            "apiVersion": (await node.result("getVersion"))["solana-core"],
            "slot": node.ledger.slot,
        },
        "value": {"amount": "2500000", "decimals": 6, "uiAmount": 2.5, "uiAmountString": "2.5"},
    }


async def test_balances_are_those_of_the_asked_commitment(node: Node, coins: Coins) -> None:
    mint = coins.mint()
    account = coins.account(mint)
    coins.issue(mint, account, 10)
    node.town.advance(31)
    coins.issue(mint, account, 5)
    old = await node.result("getTokenAccountBalance", str(account))
    assert (old["value"]["amount"], old["context"]["slot"]) == ("10", node.ledger.slot - 31)
    new = await node.result("getTokenAccountBalance", str(account), PROCESSED)
    assert new["value"]["amount"] == "15"


async def test_the_largest_accounts_come_first_and_are_twenty(
    node: Node, client: AsyncClient, coins: Coins
) -> None:
    mint, other = coins.mint(), coins.mint()
    accounts = [coins.account(mint) for _ in range(23)]
    for amount, account in enumerate(accounts):
        coins.issue(mint, account, amount * 1_000_000)
    coins.issue(other, coins.account(other), 10**12)
    largest = (await client.get_token_largest_accounts(mint, Processed)).value
    assert [entry.address for entry in largest] == accounts[:2:-1]
    assert [entry.amount.ui_amount_string for entry in largest] == [str(n) for n in range(22, 2, -1)]


async def test_the_accounts_of_an_owner_by_mint_and_by_program(
    node: Node, client: AsyncClient, coins: Coins
) -> None:
    owner, mint, other = Keypair().pubkey(), coins.mint(), coins.mint()
    mine = [coins.account(mint, owner), coins.account(other, owner)]
    coins.account(mint)
    coins.issue(mint, mine[0], 7_000_000)

    async def found(**wanted: Any) -> set[Pubkey]:
        listed = await client.get_token_accounts_by_owner(owner, TokenAccountOpts(**wanted), Processed)
        return {entry.pubkey for entry in listed.value}

    assert await found(mint=mint) == {mine[0]}
    assert await found(program_id=coins.program_id) == set(mine)
    another = {TOKEN_PROGRAM_ID: TOKEN_2022_PROGRAM_ID}.get(coins.program_id, TOKEN_PROGRAM_ID)
    assert await found(program_id=another) == set()
    parsed = await client.get_token_accounts_by_owner_json_parsed(
        owner, TokenAccountOpts(mint=mint), Processed
    )
    (entry,) = parsed.value
    assert entry.account.data.program == (
        "spl-token" if coins.program_id == TOKEN_PROGRAM_ID else "spl-token-2022"
    )
    assert entry.account.data.parsed["info"]["tokenAmount"]["uiAmountString"] == "7"


async def test_the_accounts_that_a_delegate_may_spend_from(
    node: Node, client: AsyncClient, coins: Coins
) -> None:
    delegate, mint = Keypair().pubkey(), coins.mint()
    lent, kept = coins.account(mint), coins.account(mint)
    approve = {"delegate": delegate, "owner": coins.owner, "amount": 3}
    coins.run(coins.ask("approve", source=lent, **approve), coins.ask("approve", source=kept, **approve))
    coins.run(coins.ask("revoke", account=kept, owner=coins.owner))
    for wanted in ({"mint": mint}, {"program_id": coins.program_id}):
        listed = await client.get_token_accounts_by_delegate(delegate, TokenAccountOpts(**wanted), Processed)
        assert [entry.pubkey for entry in listed.value] == [lent]


async def test_token_accounts_in_every_encoding(node: Node, coins: Coins) -> None:
    owner, mint = Keypair().pubkey(), coins.mint()
    account = coins.account(mint, owner)
    state = node.ledger.account(account)
    assert state is not None

    async def listed(**options: Any) -> Any:
        config = {**PROCESSED, **options}
        answer = await node.result("getTokenAccountsByOwner", str(owner), {"mint": str(mint)}, config)
        (entry,) = answer["value"]
        assert entry["pubkey"] == str(account)
        return entry["account"]

    assert (await listed(encoding="jsonParsed"))["data"]["parsed"]["info"]["owner"] == str(owner)
    piece = {"dataSlice": {"offset": 32, "length": 32}}
    assert base58_decode((await listed(encoding="base58", **piece))["data"][0]) == bytes(owner)
    assert (await listed(encoding="base64", **piece))["space"] == 165
    config = {**PROCESSED, "encoding": "base58"}
    error = await node.error("getTokenAccountsByOwner", str(owner), {"mint": str(mint)}, config)
    assert (error["code"], "128 bytes" in error["message"]) == (-32600, True)


@pytest.mark.parametrize(
    ("method", "subject", "wanted", "message"),
    [
        ("getTokenAccountBalance", "nobody", None, "Invalid param: could not find account"),
        ("getTokenAccountBalance", "wallet", None, "Invalid param: not a Token account"),
        ("getTokenAccountBalance", "mint", None, "Invalid param: not a Token account"),
        ("getTokenSupply", "nobody", None, "Invalid param: could not find account"),
        ("getTokenSupply", "wallet", None, "Invalid param: not a Token mint"),
        ("getTokenSupply", "account", None, "Invalid param: mint could not be unpacked"),
        ("getTokenLargestAccounts", "nobody", None, "Invalid param: could not find mint"),
        ("getTokenLargestAccounts", "wallet", None, "Invalid param: Token mint could not be unpacked"),
        ("getTokenAccountsByOwner", "wallet", {"mint": "nobody"}, "Invalid param: could not find mint"),
        (
            "getTokenAccountsByDelegate",
            "wallet",
            {"mint": "account"},
            "Invalid param: Token mint could not be unpacked",
        ),
        (
            "getTokenAccountsByOwner",
            "wallet",
            {"programId": "wallet"},
            "Invalid param: unrecognized Token program id",
        ),
        (
            "getTokenAccountsByOwner",
            "wallet",
            {"size": "wallet"},
            "Invalid params: unknown variant `size`, expected `mint` or `programId`.",
        ),
        (
            "getTokenAccountsByOwner",
            "wallet",
            {},
            "Invalid params: invalid value: map, expected map with a single key.",
        ),
        (
            "getTokenAccountsByOwner",
            "wallet",
            7,
            "Invalid params: invalid type: integer `7`, expected string or map.",
        ),
    ],
)
async def test_questions_that_a_node_refuses(
    node: Node, coins_2022: Coins, method: str, subject: str, wanted: Any, message: str
) -> None:
    mint = coins_2022.mint()
    keys = {
        "nobody": Keypair().pubkey(),
        "wallet": node.town.payer.pubkey(),
        "mint": mint,
        "account": coins_2022.account(mint),
    }
    params: list[Any] = [str(keys[subject])]
    if isinstance(wanted, dict):
        params.append({name: str(keys[value]) for name, value in wanted.items()})
    elif wanted is not None:
        params.append(wanted)
    error = await node.error(method, *params, PROCESSED)
    assert error == {"code": -32602, "message": message}


async def test_the_mint_of_wrapped_sol_is_there_from_the_beginning(node: Node) -> None:
    supply = (await node.result("getTokenSupply", str(WRAPPED_SOL_MINT)))["value"]
    assert (supply["decimals"], supply["amount"]) == (9, "0")
    sized = {"encoding": "base64", "filters": [{"dataSize": 82}]}
    listed = await node.result("getProgramAccounts", str(TOKEN_PROGRAM_ID), sized)
    assert [entry["pubkey"] for entry in listed] == [str(WRAPPED_SOL_MINT)]


async def test_parsed_accounts_of_single_several_and_program_reads(node: Node, coins: Coins) -> None:
    mint = coins.mint()
    account = coins.account(mint)
    coins.issue(mint, account, 1_000)
    shown = (await node.result("getAccountInfo", str(account), PARSED))["value"]
    assert shown["data"]["parsed"]["type"] == "account"
    assert shown["data"]["parsed"]["info"]["tokenAmount"]["uiAmount"] == 0.001
    assert shown["space"] == shown["data"]["space"] == 165
    several = await node.result("getMultipleAccounts", [str(mint), str(account), str(coins.owner)], PARSED)
    assert [value["data"]["parsed"]["type"] for value in several["value"][:2]] == ["mint", "account"]
    assert several["value"][1] == shown
    assert several["value"][2]["data"] == ["", "base64"]
    empty = Keypair()
    coins.run(coins.allocate(empty, 165), signers=[empty])
    listed = await node.result("getProgramAccounts", str(coins.program_id), PARSED)
    by_address = {entry["pubkey"]: entry["account"] for entry in listed}
    assert by_address[str(account)] == shown
    # As on a node: what the token program owns and cannot be parsed is left out.
    assert str(empty.pubkey()) not in by_address


async def test_subscriptions_tell_in_words(node: Node, coins: Coins) -> None:
    mint = coins.mint()
    account = coins.account(mint)
    found: dict[str, list[Any]] = {}
    async with node.http.ws_connect(node.server.ws_url) as feed:
        for number, (method, subject) in enumerate(
            (("accountSubscribe", account), ("programSubscribe", coins.program_id))
        ):
            params = [str(subject), PARSED]
            await feed.send_json({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
            assert (await feed.receive_json())["id"] == number
        coins.issue(mint, account, 4_000_000)
        for _ in range(3):
            message = await feed.receive_json(timeout=10)
            found.setdefault(message["method"], []).append(message["params"]["result"]["value"])
    (told,) = found["accountNotification"]
    assert told["data"]["parsed"]["info"]["tokenAmount"]["uiAmountString"] == "4"
    program = {entry["pubkey"]: entry["account"] for entry in found["programNotification"]}
    assert program[str(account)] == told
    assert program[str(mint)]["data"]["parsed"]["info"]["supply"] == "4000000"


async def test_a_transaction_tells_balances_before_and_after(node: Node, coins: Coins) -> None:
    mint, holder = coins.mint(), Keypair().pubkey()
    source = coins.account(mint)
    coins.issue(mint, source, 5_000_000)
    dest = spl.get_associated_token_address(holder, mint, coins.program_id)
    landed = coins.run(
        spl.create_associated_token_account(coins.owner, holder, mint, coins.program_id),
        coins.ask(
            "transfer_checked",
            source=source,
            mint=mint,
            dest=dest,
            owner=coins.owner,
            amount=1_250_000,
            decimals=6,
        ),
    )
    node.town.advance(2)
    options = {"commitment": "confirmed", "encoding": "jsonParsed", "maxSupportedTransactionVersion": 0}
    shown = await node.result("getTransaction", str(landed.signature), options)
    keys = [entry["pubkey"] for entry in shown["transaction"]["message"]["accountKeys"]]

    def entry(address: Pubkey, owner: Pubkey, amount: int) -> dict[str, object]:
        text = f"{amount / 1e6:.2f}".rstrip("0")
        return {
            "accountIndex": keys.index(str(address)),
            "mint": str(mint),
            "owner": str(owner),
            "programId": str(coins.program_id),
            "uiTokenAmount": {
                "amount": str(amount),
                "decimals": 6,
                "uiAmount": amount / 1e6,
                "uiAmountString": text.rstrip("."),
            },
        }

    meta = shown["meta"]
    assert meta["preTokenBalances"] == [entry(source, coins.owner, 5_000_000)]
    after = [entry(source, coins.owner, 3_750_000), entry(dest, holder, 1_250_000)]
    assert meta["postTokenBalances"] == sorted(after, key=lambda balance: int(str(balance["accountIndex"])))
    create, transfer = shown["transaction"]["message"]["instructions"]
    assert (create["parsed"]["type"], create["stackHeight"]) == ("create", 1)
    assert transfer["parsed"]["info"]["tokenAmount"]["amount"] == "1250000"
    (group,) = meta["innerInstructions"]
    assert group["index"] == 0
    assert {call["stackHeight"] for call in group["instructions"]} == {2}
    assert [call["parsed"]["type"] for call in group["instructions"]][-2:] == [
        "initializeImmutableOwner",
        "initializeAccount3",
    ]
    block = await node.result("getBlock", landed.slot, options)
    (listed,) = [
        one for one in block["transactions"] if one["meta"]["postTokenBalances"] == meta["postTokenBalances"]
    ]
    assert listed["transaction"] == shown["transaction"]


async def test_a_transaction_that_names_no_token_program_has_no_token_balances(
    node: Node, coins: Coins
) -> None:
    transaction = node.town.land(node.town.pay(coins.account(coins.mint()), 1_000_000))
    node.town.advance(2)
    options = {"commitment": "confirmed", "maxSupportedTransactionVersion": 0}
    meta = (await node.result("getTransaction", str(transaction.signatures[0]), options))["meta"]
    assert (meta["preTokenBalances"], meta["postTokenBalances"]) == ([], [])


async def test_a_simulation_tells_its_calls_and_accounts_in_words(node: Node, coins: Coins) -> None:
    mint, holder = coins.mint(), Keypair().pubkey()
    account = spl.get_associated_token_address(holder, mint, coins.program_id)
    create = spl.create_associated_token_account(coins.owner, holder, mint, coins.program_id)
    issue = coins.ask("mint_to", mint=mint, dest=account, mint_authority=coins.owner, amount=42)
    text = base64.b64encode(bytes(node.town.sign(create, issue))).decode()
    options = {
        "encoding": "base64",
        "commitment": "processed",
        "innerInstructions": True,
        "accounts": {"encoding": "jsonParsed", "addresses": [str(account)]},
    }
    value = (await node.result("simulateTransaction", text, options))["value"]
    assert value["err"] is None
    (group,) = value["innerInstructions"]
    assert [call["parsed"]["type"] for call in group["instructions"]][-1] == "initializeAccount3"
    (after,) = value["accounts"]
    assert after["data"]["parsed"]["info"]["tokenAmount"]["amount"] == "42"
    assert node.ledger.account(account) is None
