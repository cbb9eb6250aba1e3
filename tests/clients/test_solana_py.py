"""`solana` for Python against the sandbox: every reading method, money, tokens and notifications."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from solana.rpc.async_api import AsyncClient
from solana.rpc.commitment import Confirmed, Finalized, Processed
from solana.rpc.jsonrpc import SolanaJsonRpcError
from solana.rpc.models import DataSliceOpts, MemcmpOpts, TokenAccountOpts, TxOpts
from solana.rpc.websocket_api import SolanaWsClient
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.rpc.config import RpcTransactionLogsFilterMentions
from solders.rpc.responses import GetBlockResp
from solders.system_program import CreateAccountParams, TransferParams, create_account, transfer
from solders.transaction import VersionedTransaction
from spl.token import instructions as token
from spl.token.constants import MINT_LEN, TOKEN_PROGRAM_ID
from spl.token.models import (
    BurnParams,
    CloseAccountParams,
    InitializeMint2Params,
    MintToParams,
    TransferCheckedParams,
)

from engine.protocol.accounts import decode_position
from engine.protocol.addresses import FEEDS, PROGRAM_ID, PYTH_RECEIVER

SOL_LAMPORTS = 1_000_000_000
HEARING_DEADLINE_S = 15.0
# A node has these; they belong to validators' operators, and this one has no validator process to end.
NOT_FOR_CLIENTS = {"validator_exit"}


class Wallet:
    """A client with a funded key."""

    def __init__(self, client: AsyncClient) -> None:
        self.client = client
        self.key = Keypair()
        self.address = self.key.pubkey()

    async def fund(self) -> Any:
        signature = (await self.client.request_airdrop(self.address, 5 * SOL_LAMPORTS)).value
        await self.client.confirm_transaction(signature, Confirmed, sleep_seconds=0.05)
        return signature

    async def signed(
        self, *instructions: Instruction, others: tuple[Keypair, ...] = ()
    ) -> VersionedTransaction:
        blockhash = (await self.client.get_latest_blockhash(Confirmed)).value.blockhash
        message = MessageV0.try_compile(self.address, list(instructions), [], blockhash)
        return VersionedTransaction(message, [self.key, *others])

    async def send(self, *instructions: Instruction, others: tuple[Keypair, ...] = ()) -> Any:
        """Send and wait until it is confirmed; the signature."""
        transaction = await self.signed(*instructions, others=others)
        options = TxOpts(preflight_commitment=Confirmed)
        signature = (await self.client.send_transaction(transaction, options)).value
        found = await self.client.confirm_transaction(signature, Confirmed, sleep_seconds=0.05)
        assert found.value[0] is not None
        assert found.value[0].err is None
        return signature

    def pays(self, receiver: Pubkey, lamports: int) -> Instruction:
        return transfer(TransferParams(from_pubkey=self.address, to_pubkey=receiver, lamports=lamports))


@pytest.fixture
async def wallet(sandbox: dict[str, str]) -> AsyncIterator[Wallet]:
    """Someone with 5 SOL."""
    async with AsyncClient(sandbox["rpc_url"], commitment=Confirmed) as client:
        wallet = Wallet(client)
        await wallet.fund()
        yield wallet


@pytest.fixture
async def sockets(sandbox: dict[str, str]) -> AsyncIterator[SolanaWsClient]:
    """An open WebSocket."""
    async with SolanaWsClient(sandbox["ws_url"]) as client:
        yield client


async def heard(sockets: SolanaWsClient, passes: Callable[[Any], bool]) -> Any:
    """The first notification that passes."""
    async with asyncio.timeout(HEARING_DEADLINE_S):
        while not passes(notification := await sockets.recv()):
            pass
        return notification


async def test_a_transfer_moves_lamports_and_costs_the_fee_that_was_asked_for(wallet: Wallet) -> None:
    receiver = Pubkey.new_unique()
    transaction = await wallet.signed(wallet.pays(receiver, 123_456_789))
    fee = (await wallet.client.get_fee_for_message(transaction.message)).value
    assert fee == 5_000
    simulated = (await wallet.client.simulate_transaction(transaction, sig_verify=True)).value
    assert (simulated.err, simulated.units_consumed) == (None, 150)
    signature = await wallet.send(wallet.pays(receiver, 123_456_789))
    assert (await wallet.client.get_balance(receiver)).value == 123_456_789
    assert (await wallet.client.get_balance(wallet.address)).value == 5 * SOL_LAMPORTS - 123_456_789 - fee
    listed = (await wallet.client.get_signatures_for_address(receiver)).value
    assert [each.signature for each in listed] == [signature]
    for encoding in ("json", "jsonParsed", "base64"):
        found = (await wallet.client.get_transaction(signature, encoding, Confirmed, 0)).value
        assert found is not None
        assert found.transaction.meta is not None
        assert found.transaction.meta.fee == fee


async def test_more_than_there_is_is_refused_with_the_simulation_s_logs(wallet: Wallet) -> None:
    transaction = await wallet.signed(wallet.pays(Pubkey.new_unique(), 1_000 * SOL_LAMPORTS))
    with pytest.raises(Exception, match="custom program error: 0x1") as refusal:
        await wallet.client.send_transaction(transaction, TxOpts(preflight_commitment=Confirmed))
    assert "insufficient lamports" in str(refusal.value.args[0])


async def test_every_reading_method_of_the_client_understands_the_answer(wallet: Wallet) -> None:
    client, address = wallet.client, wallet.address
    signature = await wallet.send(wallet.pays(Pubkey.new_unique(), SOL_LAMPORTS))
    slot = (await client.get_signature_statuses([signature])).value[0].slot
    mint, purse = await a_token(wallet)
    message = (await wallet.signed(wallet.pays(address, 1))).message
    by_program = TokenAccountOpts(program_id=TOKEN_PROGRAM_ID)
    questions: dict[str, tuple[Any, ...]] = {
        "get_account_info": (address,),
        "get_account_info_json_parsed": (mint,),
        "get_balance": (address,),
        "get_block": (slot, "json", 0, None, None, Confirmed),
        "get_block_commitment": (slot,),
        "get_block_height": (),
        "get_block_time": (slot,),
        "get_blocks": (slot, slot + 2),
        "get_cluster_nodes": (),
        "get_epoch_info": (),
        "get_epoch_schedule": (),
        "get_fee_for_message": (message,),
        "get_first_available_block": (),
        "get_genesis_hash": (),
        "get_identity": (),
        "get_inflation_governor": (),
        "get_inflation_rate": (),
        "get_inflation_reward": ([address],),
        "get_largest_accounts": (),
        "get_latest_blockhash": (),
        "get_leader_schedule": (),
        "get_minimum_balance_for_rent_exemption": (165,),
        "get_minimum_ledger_slot": (),
        "get_multiple_accounts": ([address, mint, Pubkey.new_unique()],),
        "get_multiple_accounts_json_parsed": ([mint, purse],),
        "get_program_accounts": (PROGRAM_ID, Confirmed, "base64"),
        "get_program_accounts_json_parsed": (TOKEN_PROGRAM_ID,),
        "get_recent_performance_samples": (3,),
        "get_recent_prioritization_fees": ([address],),
        "get_signature_statuses": ([signature],),
        "get_signatures_for_address": (address,),
        "get_slot": (),
        "get_slot_leader": (),
        "get_slot_leaders": (slot, 3),
        "get_supply": (),
        "get_token_account_balance": (purse,),
        "get_token_accounts_by_delegate": (address, by_program),
        "get_token_accounts_by_delegate_json_parsed": (address, by_program),
        "get_token_accounts_by_owner": (address, TokenAccountOpts(mint=mint)),
        "get_token_accounts_by_owner_json_parsed": (address, by_program),
        "get_token_largest_accounts": (mint,),
        "get_token_supply": (mint,),
        "get_transaction": (signature, "json", Confirmed, 0),
        "get_transaction_count": (),
        "get_version": (),
        "get_vote_accounts": (),
        "is_connected": (),
    }
    readers = {name for name in dir(AsyncClient) if name.startswith(("get_", "is_"))}
    assert readers - set(questions) - NOT_FOR_CLIENTS == set()
    refused = {}
    for name, parameters in questions.items():
        try:
            answer = await getattr(client, name)(*parameters)
        except Exception as error:
            refused[name] = repr(error)
            continue
        assert answer, name
    # Nobody was rewarded before the end of the first epoch.
    assert "BlockNotAvailable" in refused.pop("get_inflation_reward")
    assert refused == {}
    block = await client.get_block(slot, "json", 0, commitment=Confirmed)
    assert isinstance(block, GetBlockResp)
    assert block.value is not None
    assert str(signature) in {str(each.transaction.signatures[0]) for each in block.value.transactions or ()}


async def test_the_positions_of_the_program_are_filtered_and_sliced(wallet: Wallet) -> None:
    accounts = (
        await wallet.client.get_program_accounts(PROGRAM_ID, Confirmed, "base64", filters=[120])
    ).value
    assert accounts
    first = decode_position(accounts[0].pubkey, bytes(accounts[0].account.data), 1)
    own = MemcmpOpts(offset=8, bytes=str(first.owner))
    found = await wallet.client.get_program_accounts(
        PROGRAM_ID, Confirmed, "base64", DataSliceOpts(offset=8, length=32), [120, own]
    )
    assert {bytes(each.account.data) for each in found.value} == {bytes(first.owner)}


async def a_token(wallet: Wallet) -> tuple[Pubkey, Pubkey]:
    """A mint of 6 decimals, and the wallet's associated account with 5 of it."""
    client, mint = wallet.client, Keypair()
    rent = (await client.get_minimum_balance_for_rent_exemption(MINT_LEN)).value
    program, owner, address = TOKEN_PROGRAM_ID, wallet.address, mint.pubkey()
    account = CreateAccountParams(
        from_pubkey=owner, to_pubkey=address, lamports=rent, space=MINT_LEN, owner=program
    )
    purse = token.get_associated_token_address(owner, address)
    await wallet.send(
        create_account(account),
        token.initialize_mint2(
            InitializeMint2Params(decimals=6, program_id=program, mint=address, mint_authority=owner)
        ),
        token.create_associated_token_account(owner, owner, address),
        token.mint_to(
            MintToParams(program_id=program, mint=address, dest=purse, mint_authority=owner, amount=5_000_000)
        ),
        others=(mint,),
    )
    return address, purse


async def test_a_token_is_minted_transferred_burnt_and_its_account_closed(wallet: Wallet) -> None:
    mint, purse = await a_token(wallet)
    other_owner, program, owner = Pubkey.new_unique(), TOKEN_PROGRAM_ID, wallet.address
    other = token.get_associated_token_address(other_owner, mint)
    signature = await wallet.send(
        token.create_idempotent_associated_token_account(owner, other_owner, mint),
        token.transfer_checked(
            TransferCheckedParams(
                program_id=program,
                source=purse,
                mint=mint,
                dest=other,
                owner=owner,
                amount=1_250_000,
                decimals=6,
            )
        ),
    )
    assert (await wallet.client.get_token_account_balance(other)).value.ui_amount_string == "1.25"
    landed = (await wallet.client.get_transaction(signature, "jsonParsed", Confirmed, 0)).value
    assert landed is not None
    assert landed.transaction.meta is not None
    after = {
        str(each.owner): each.ui_token_amount.amount
        for each in landed.transaction.meta.post_token_balances or ()
    }
    assert after == {str(owner): "3750000", str(other_owner): "1250000"}
    await wallet.send(
        token.burn(BurnParams(program_id=program, account=purse, mint=mint, owner=owner, amount=3_750_000)),
        token.close_account(CloseAccountParams(program_id=program, account=purse, dest=owner, owner=owner)),
    )
    assert (await wallet.client.get_account_info(purse)).value is None
    assert (await wallet.client.get_token_supply(mint)).value.amount == "1250000"


async def test_accounts_signatures_and_logs_are_heard_of(wallet: Wallet, sockets: SolanaWsClient) -> None:
    receiver = Pubkey.new_unique()
    transaction = await wallet.signed(wallet.pays(receiver, SOL_LAMPORTS))
    account = await sockets.account_subscribe(pubkey=receiver, commitment=Confirmed, encoding="base64")
    signature = await sockets.signature_subscribe(signature=transaction.signatures[0], commitment=Finalized)
    logs = await sockets.logs_subscribe(
        filter_=RpcTransactionLogsFilterMentions(receiver), commitment=Processed
    )
    await wallet.client.send_transaction(transaction, TxOpts(preflight_commitment=Confirmed))
    wanted = {account.subscription_id, signature.subscription_id, logs.subscription_id}
    seen: dict[int, Any] = {}
    while set(seen) != wanted:
        notification = await heard(sockets, lambda each: each.subscription in wanted)
        seen[notification.subscription] = notification.result
    assert seen[account.subscription_id].value.lamports == SOL_LAMPORTS
    assert seen[signature.subscription_id].value.err is None
    assert seen[logs.subscription_id].value.signature == transaction.signatures[0]
    await sockets.unsubscribe(account)
    await sockets.unsubscribe(logs)


async def test_slots_their_updates_and_roots_are_heard_of(sockets: SolanaWsClient) -> None:
    slots, roots = await sockets.slot_subscribe(), await sockets.root_subscribe()
    updates = await sockets.slots_updates_subscribe()
    slot = await heard(sockets, lambda each: each.subscription == slots.subscription_id)
    root = await heard(sockets, lambda each: each.subscription == roots.subscription_id)
    await heard(sockets, lambda each: each.subscription == updates.subscription_id)
    assert slot.result.parent < slot.result.slot
    assert 0 <= slot.result.slot - root.result <= 64


async def test_a_price_account_s_changes_are_heard_of_as_its_program_s(sockets: SolanaWsClient) -> None:
    everything = await sockets.program_subscribe(
        program_id=PYTH_RECEIVER, commitment=Processed, encoding="base64", filters=[134]
    )
    change = await heard(sockets, lambda each: each.subscription == everything.subscription_id)
    assert change.result.value.pubkey in {feed.account for feed in FEEDS.values()}
    assert change.result.value.account.owner == PYTH_RECEIVER


@pytest.mark.parametrize("kind", ["block", "vote"])
async def test_what_a_node_offers_only_when_it_is_told_to_is_said_to_be_missing(
    sockets: SolanaWsClient, kind: str
) -> None:
    with pytest.raises(SolanaJsonRpcError) as refusal:
        await getattr(sockets, f"{kind}_subscribe")()
    assert refusal.value.code == -32601
