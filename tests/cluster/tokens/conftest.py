"""Tokens made by the real token programs through signed transactions, and what the node says of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pytest
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.system_program import CreateAccountParams, create_account
from spl.token import instructions as spl
from spl.token import models
from spl.token.constants import ACCOUNT_LEN, MINT_LEN, TOKEN_2022_PROGRAM_ID, TOKEN_PROGRAM_ID

from engine.sandbox.cluster import parsed

if TYPE_CHECKING:
    from conftest import Town

    from engine.sandbox.cluster.blocks.history import LandedTransaction

DECIMALS = 6
TOKEN = 10**DECIMALS


class Coins:
    """Mints and token accounts of one token program in a town, whose payer owns everything unless said."""

    def __init__(self, town: Town, program_id: Pubkey) -> None:
        self.town = town
        self.program_id = program_id
        self.owner = town.payer.pubkey()

    def run(self, *instructions: Instruction, signers: Sequence[Keypair] = ()) -> LandedTransaction:
        """Land a transaction that must succeed."""
        transaction = self.town.sign(*instructions, signers=signers)
        self.town.ledger.submit(bytes(transaction), skip_preflight=True)
        landed = self.town.ledger.history.get(transaction.signatures[0])
        assert landed is not None
        assert landed.fault is None, landed.metadata.logs()
        return landed

    def allocate(self, key: Keypair, size: int) -> Instruction:
        """A new account of the token program, with the rent of its size."""
        return create_account(
            CreateAccountParams(
                from_pubkey=self.owner,
                to_pubkey=key.pubkey(),
                lamports=self.town.ledger.rent_exempt_minimum_lamports(size),
                space=size,
                owner=self.program_id,
            )
        )

    def mint(
        self,
        *extensions: Instruction,
        key: Keypair | None = None,
        size: int = MINT_LEN,
        decimals: int = DECIMALS,
        freezer: Pubkey | None = None,
    ) -> Pubkey:
        """A new mint; `extensions` initialize what `size` has room for."""
        key = key or Keypair()
        initialize = self.ask(
            "initialize_mint2",
            mint=key.pubkey(),
            decimals=decimals,
            mint_authority=self.owner,
            freeze_authority=freezer,
        )
        self.run(self.allocate(key, size), *extensions, initialize, signers=[key])
        return key.pubkey()

    def account(self, mint: Pubkey, owner: Pubkey | None = None, size: int = ACCOUNT_LEN) -> Pubkey:
        """A new token account at an address of its own."""
        key = Keypair()
        initialize = self.ask(
            "initialize_account3", account=key.pubkey(), mint=mint, owner=owner or self.owner
        )
        self.run(self.allocate(key, size), initialize, signers=[key])
        return key.pubkey()

    def issue(self, mint: Pubkey, to: Pubkey, amount: int) -> LandedTransaction:
        """Mint so many of the smallest units."""
        return self.run(self.ask("mint_to", mint=mint, dest=to, mint_authority=self.owner, amount=amount))

    def ask(self, name: str, **fields: Any) -> Instruction:
        """An instruction as Solana's Python client builds it."""
        params = getattr(models, f"{name.title().replace('_', '')}Params")
        build: Callable[[Any], Instruction] = getattr(spl, name)
        return build(params(program_id=self.program_id, **fields))

    def call(self, data: bytes, *accounts: Pubkey, signed_by: Pubkey | None = None) -> Instruction:
        """An instruction of the token program that the Python client does not know: all accounts writable."""
        metas = [AccountMeta(key, key == signed_by, is_writable=True) for key in accounts]
        return Instruction(self.program_id, data, metas)

    def shown(self, address: Pubkey) -> dict[str, Any] | None:
        """An account in `jsonParsed`, None when it is not parsed."""
        account = self.town.ledger.account(address)
        assert account is not None
        return parsed.account_data(address, account.owner, account.data, self.town.ledger.account)

    def info(self, address: Pubkey) -> dict[str, Any]:
        """The inside of an account in `jsonParsed`."""
        shown = self.shown(address)
        assert shown is not None
        info: dict[str, Any] = shown["parsed"]["info"]
        return info


def in_words(landed: LandedTransaction) -> list[Any]:
    """A transaction's instructions, each as its program's name and its words; None where there are none."""
    keys = landed.accounts.every
    return [
        parsed.instruction(
            keys[entry.program_id_index], [keys[index] for index in entry.accounts], entry.data
        )
        for entry in landed.wire.message.instructions
    ]


@pytest.fixture(params=[TOKEN_PROGRAM_ID, TOKEN_2022_PROGRAM_ID], ids=["spl-token", "token-2022"])
def coins(request: pytest.FixtureRequest, town: Town) -> Iterator[Coins]:
    """Either token program in a town."""
    yield Coins(town, request.param)


@pytest.fixture
def coins_2022(town: Town) -> Coins:
    """The token program that has extensions."""
    return Coins(town, TOKEN_2022_PROGRAM_ID)


@pytest.fixture
def words() -> Any:
    """Reads a transaction's instructions in words."""
    return in_words
