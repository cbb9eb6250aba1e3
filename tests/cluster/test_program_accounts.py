"""getProgramAccounts in slices: one bank whatever is written meanwhile, and a bounded store of entries."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from solders.account import Account
from solders.pubkey import Pubkey

from engine.sandbox.cluster import Commitment, RpcError
from engine.sandbox.cluster.encoding import AccountEncoding, keyed_account_json
from engine.sandbox.cluster.ledger.view import View
from engine.sandbox.cluster.rpc.params import Params
from engine.sandbox.cluster.rpc.program_accounts import SLICE_ACCOUNTS, ProgramAccounts

if TYPE_CHECKING:
    from conftest import Town

SOL = 1_000_000_000
BASE64 = {"encoding": "base64"}
PROCESSED = {"encoding": "base64", "commitment": "processed"}


def address(number: int) -> Pubkey:
    return Pubkey.from_bytes(number.to_bytes(32, "big"))


def plant(town: Town, program_id: Pubkey, count: int, data: bytes = b"old") -> None:
    for number in range(count):
        town.plant(address(number + 1), SOL + number, data, program_id)


def whole(pieces: Iterator[bytes]) -> Any:
    return json.loads(b"".join(pieces))


def ask(accounts: ProgramAccounts, program_id: Pubkey, config: dict[str, Any]) -> Any:
    return whole(iter(accounts.answer(Params([str(program_id), config]))))


def contents(listed: list[Any]) -> set[bytes]:
    return {base64.b64decode(entry["account"]["data"][0]) for entry in listed}


@pytest.mark.parametrize("commitment", ["confirmed", "finalized"])
@pytest.mark.parametrize("warm", [False, True])
def test_an_answer_is_of_one_bank_whatever_is_written_while_it_is_made(
    town: Town, program_id: Pubkey, commitment: str, warm: bool
) -> None:
    accounts = ProgramAccounts(View(town.ledger))
    plant(town, program_id, 3 * SLICE_ACCOUNTS)
    town.advance(40)
    config = {**BASE64, "commitment": commitment}
    if warm:
        ask(accounts, program_id, config)
    pieces = iter(accounts.answer(Params([str(program_id), config])))
    begun = [next(pieces)]
    plant(town, program_id, 3 * SLICE_ACCOUNTS, b"new")
    town.plant(address(10**6), SOL, b"another", program_id)
    town.plant(address(5), 0)
    town.advance()
    begun.append(next(pieces))
    plant(town, program_id, 3 * SLICE_ACCOUNTS, b"newer")
    listed = json.loads(b"".join([*begun, *pieces]))
    assert len(listed) == 3 * SLICE_ACCOUNTS
    assert contents(listed) == {b"old"}
    assert contents(ask(accounts, program_id, PROCESSED)) == {b"newer", b"another"}


def test_an_answer_stays_of_its_bank_when_later_slots_are_finalized_before_it_ends(
    town: Town, program_id: Pubkey
) -> None:
    accounts = ProgramAccounts(View(town.ledger))
    plant(town, program_id, 2 * SLICE_ACCOUNTS)
    town.advance()
    plant(town, program_id, 2 * SLICE_ACCOUNTS, b"new")
    ask(accounts, program_id, PROCESSED)
    town.advance(30)
    pieces = iter(accounts.answer(Params([str(program_id), {**BASE64, "commitment": "finalized"}])))
    begun = next(pieces)
    town.advance(20)
    assert contents(json.loads(begun + b"".join(pieces))) == {b"old"}


def test_what_is_kept_is_never_older_than_the_bank_that_is_asked(town: Town, program_id: Pubkey) -> None:
    accounts = ProgramAccounts(View(town.ledger), max_cached_bytes=40_000)
    rng = Random(3)
    town.advance()
    for _ in range(400):
        number = rng.randrange(60)
        lamports = rng.choice([0, SOL, 2 * SOL])
        owner = program_id if rng.random() < 0.9 else Pubkey.default()
        town.plant(address(number), lamports, rng.randbytes(rng.randrange(40)), owner)
        if rng.random() < 0.3:
            town.advance()
        if rng.random() < 0.02:
            town.ledger.abandon(town.ledger.slot - 1)
        level = rng.choice(list(Commitment))
        bank = town.ledger.bank(level)
        expected = [
            json.loads(keyed_account_json(key, account, AccountEncoding.BASE64, None))
            for key, account in town.ledger.program_accounts_at(program_id, bank.slot)
        ]
        assert ask(accounts, program_id, {**BASE64, "commitment": level}) == expected
        assert accounts.cached_bytes <= 40_000


def test_the_store_of_written_accounts_is_bounded_and_gives_up_what_is_written_again(
    town: Town, program_id: Pubkey
) -> None:
    accounts = ProgramAccounts(View(town.ledger), max_cached_bytes=100_000)
    plant(town, program_id, 1_000)
    assert len(ask(accounts, program_id, PROCESSED)) == 1_000
    assert 90_000 < accounts.cached_bytes <= 100_000
    plant(town, program_id, 1_000, b"new")
    assert accounts.cached_bytes == 0


def test_many_accounts_come_in_many_pieces_and_rests_stand_for_slices_without_any(
    town: Town, program_id: Pubkey
) -> None:
    plant(town, program_id, 4 * SLICE_ACCOUNTS)
    accounts = ProgramAccounts(View(town.ledger))
    pieces = list(accounts.answer(Params([str(program_id), PROCESSED])))
    assert len(pieces) == 5
    one = {**PROCESSED, "filters": [{"memcmp": {"offset": 0, "bytes": "1111"}}]}
    assert list(accounts.answer(Params([str(program_id), one]))) == [b"", b"", b"", b"", b"[]"]
    with_context = ask(accounts, program_id, {**one, "withContext": True})
    assert with_context["value"] == []
    assert with_context["context"]["slot"] == town.ledger.slot


@pytest.mark.parametrize("encoding", ["base64", "base64+zstd", "base58", "binary", "jsonParsed"])
def test_every_form_says_the_same_as_for_one_account(town: Town, program_id: Pubkey, encoding: str) -> None:
    plant(town, program_id, 60, b"some data")
    accounts = ProgramAccounts(View(town.ledger))
    for data_slice in (None, {"offset": 2, "length": 3}):
        config = {"encoding": encoding, "commitment": "processed", "dataSlice": data_slice}
        listed = ask(accounts, program_id, config)
        expected = [
            json.loads(keyed_account_json(key, account, *_form(encoding, data_slice)))
            for key, account in town.ledger.program_accounts_at(program_id, town.ledger.slot)
        ]
        assert listed == expected


def _form(encoding: str, data_slice: dict[str, int] | None) -> tuple[Any, ...]:
    from engine.sandbox.cluster.encoding import DataSlice

    return AccountEncoding(encoding), None if data_slice is None else DataSlice(**data_slice)


def test_one_account_too_long_for_base58_refuses_the_answer_before_it_begins(
    town: Town, program_id: Pubkey
) -> None:
    plant(town, program_id, 600)
    town.ledger.set_account(address(10**9), Account(SOL, bytes(129), program_id))
    accounts = ProgramAccounts(View(town.ledger))
    config: dict[str, Any] = {"encoding": "base58", "commitment": "processed"}
    begun = []
    with pytest.raises(RpcError, match="Encoded binary"):
        for piece in accounts.answer(Params([str(program_id), config])):
            begun.append(piece)  # noqa: PERF402 - what came before the refusal counts
    assert set(begun) == {b""}
    assert len(ask(accounts, program_id, {**config, "dataSlice": {"offset": 0, "length": 128}})) == 601
    assert len(ask(accounts, program_id, {**config, "filters": [{"dataSize": 3}]})) == 600
