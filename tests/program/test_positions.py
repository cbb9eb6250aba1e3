"""Opening positions: both generations, what they record, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer

from engine.domain import Generation, Position, Side
from engine.protocol import instructions
from engine.protocol.addresses import PROGRAM_ID, position_address
from engine.protocol.margin import maintenance_margin_e6

TERMS: dict[str, Any] = {
    "size_e6": 2_000_001,
    "collateral_e6": 400_000_003,
    "entry_price_e6": 3_000_000_007,
    "leverage": 50,
}
NOW_S = 1_760_000_000


def with_account(call: Instruction, index: int, **changes: Any) -> Instruction:
    """The instruction with one of its account metas changed."""
    metas = list(call.accounts)
    old = metas[index]
    metas[index] = AccountMeta(
        changes.get("pubkey", old.pubkey),
        changes.get("is_signer", old.is_signer),
        changes.get("is_writable", old.is_writable),
    )
    return Instruction(call.program_id, bytes(call.data), metas)


def with_data(call: Instruction, data: bytes) -> Instruction:
    return Instruction(call.program_id, data, call.accounts)


def opened(chain: Any, symbol: str = "ETH/USD", **changes: Any) -> Instruction:
    return instructions.open_position(chain.payer.pubkey(), symbol, **(TERMS | changes))


def created(chain: Any, account: Keypair, symbol: str = "ETH/USD", **changes: Any) -> Instruction:
    terms = TERMS | {"is_long": True} | changes
    return instructions.create_position(account.pubkey(), chain.payer.pubkey(), symbol, **terms)


def test_open_position_records_a_long_of_the_deployed_generation(chain: Any) -> None:
    result = chain.succeed(opened(chain))
    owner = chain.payer.pubkey()
    address = position_address(owner, "ETH/USD")
    assert "Program log: Instruction: OpenPosition" in result.logs
    assert chain.position(address) == Position(
        address=address,
        owner=owner,
        symbol="ETH/USD",
        side=Side.LONG,
        maintenance_margin_e6=maintenance_margin_e6(2_000_001, 3_000_000_007, 50),
        is_liquidated=False,
        created_at_s=0,
        generation=Generation.DEPLOYED,
        slot=0,
        **TERMS,
    )
    account = chain.svm.get_account(address)
    assert account.owner == PROGRAM_ID
    assert len(account.data) == 85
    assert account.lamports == chain.rent(85)


@pytest.mark.parametrize("is_long", [True, False])
def test_create_position_records_its_direction_and_time(chain: Any, is_long: bool) -> None:
    account = Keypair()
    result = chain.succeed(created(chain, account, is_long=is_long), signers=(account,))
    assert "Program log: Instruction: CreatePosition" in result.logs
    position = chain.position(account.pubkey())
    assert position.generation is Generation.DOCUMENTED
    assert position.side is (Side.LONG if is_long else Side.SHORT)
    assert (position.created_at_s, position.is_liquidated) == (NOW_S, False)
    assert position.maintenance_margin_e6 == maintenance_margin_e6(2_000_001, 3_000_000_007, 50)
    assert chain.lamports(account.pubkey()) == chain.rent(120)


@pytest.mark.parametrize("leverage", [1, 20, 21, 50, 51, 100, 101, 500, 501, 1000])
def test_every_leverage_from_1_to_1000_records_the_margin_of_its_tier(chain: Any, leverage: int) -> None:
    chain.succeed(opened(chain, leverage=leverage))
    position = chain.position(position_address(chain.payer.pubkey(), "ETH/USD"))
    assert position.maintenance_margin_e6 == maintenance_margin_e6(2_000_001, 3_000_000_007, leverage)


@pytest.mark.parametrize(
    "symbol", ["X", "BTC/USD", "S" * 32, "Ü" * 16, "€" * 10, "😀" * 8, "\u07ff\u0800\uffff\U0010ffff"]
)
def test_any_symbol_of_up_to_32_utf8_bytes_can_be_opened(chain: Any, symbol: str) -> None:
    chain.succeed(opened(chain, symbol))
    data = chain.svm.get_account(position_address(chain.payer.pubkey(), symbol)).data
    assert len(data) == 78 + len(symbol.encode())
    assert data[44 : 44 + len(symbol.encode())].decode() == symbol


@pytest.mark.parametrize(
    ("changes", "code", "name"),
    [
        ({"leverage": 0}, 6000, "InvalidLeverage"),
        ({"leverage": 1001}, 6000, "InvalidLeverage"),
        ({"leverage": 65535}, 6000, "InvalidLeverage"),
        ({"size_e6": 0}, 6001, "InvalidSize"),
        ({"collateral_e6": 0}, 6002, "InvalidCollateral"),
        ({"size_e6": 2**64 - 1, "entry_price_e6": 2**64 - 1}, 6006, "Overflow"),
    ],
)
def test_terms_that_no_position_may_have_are_refused(
    chain: Any, changes: dict[str, int], code: int, name: str
) -> None:
    account = Keypair()
    for result in (
        chain.send(opened(chain, **changes)),
        chain.send(created(chain, account, **changes), signers=(account,)),
    ):
        assert (result.code, result.name) == (code, name)
    assert chain.svm.get_account(account.pubkey()) is None


def raw_symbol(symbol: bytes, length: int | None = None) -> bytes:
    """open_position's data with a symbol that Python could not encode."""
    head = instructions.discriminator(instructions.Name.OPEN_POSITION)
    size = len(symbol) if length is None else length
    numbers = b"".join(number.to_bytes(8, "little") for number in (1, 2, 3)) + (20).to_bytes(2, "little")
    return head + size.to_bytes(4, "little") + symbol + numbers


@pytest.mark.parametrize(
    "symbol",
    [
        b"",
        b"S" * 33,
        b"\x80",
        b"\xc1\xbf",
        b"\xc3",
        b"\xe0\x9f\xbf",
        b"\xed\xa0\x80",
        b"\xe2\x82",
        b"\xe2\x82A",
        b"\xf0\x8f\xbf\xbf",
        b"\xf4\x90\x80\x80",
        b"\xf5\x80\x80\x80",
        b"\xff",
        b"AB\xc3\x28",
    ],
)
def test_a_symbol_that_is_empty_too_long_or_no_utf8_does_not_deserialize(chain: Any, symbol: bytes) -> None:
    result = chain.send(with_data(opened(chain), raw_symbol(symbol)))
    assert (result.code, result.name) == (102, "InstructionDidNotDeserialize")


def test_a_symbol_cannot_borrow_the_end_of_a_character_from_the_next_field(chain: Any) -> None:
    """A euro sign cut after two bytes, with its third as the lowest byte of the size."""
    data = raw_symbol(b"\xe2\x82")
    at = data.index(b"\xe2\x82") + 2
    result = chain.send(with_data(opened(chain), data[:at] + b"\xac" + data[at + 1 :]))
    assert (result.code, result.name) == (102, "InstructionDidNotDeserialize")


@pytest.mark.parametrize("length", [2**32 - 1, 2**31, 40])
def test_a_symbol_length_beyond_the_data_does_not_deserialize(chain: Any, length: int) -> None:
    result = chain.send(with_data(opened(chain), raw_symbol(b"BTC/USD", length)))
    assert result.code == 102


def test_every_truncation_of_the_arguments_does_not_deserialize(chain: Any) -> None:
    account = Keypair()
    for call in (opened(chain), created(chain, account)):
        data = bytes(call.data)
        signers = (account,) if len(call.accounts) and call.accounts[0].is_signer else ()
        for length in range(8, len(data)):
            assert chain.send(with_data(call, data[:length]), signers=signers).code == 102


def test_a_direction_that_is_no_bool_does_not_deserialize(chain: Any) -> None:
    account = Keypair()
    call = created(chain, account)
    result = chain.send(with_data(call, bytes(call.data)[:-1] + b"\x02"), signers=(account,))
    assert result.code == 102


def test_an_address_that_is_not_the_owners_for_the_symbol_is_refused(chain: Any) -> None:
    other = position_address(chain.payer.pubkey(), "BTC/USD")
    result = chain.send(with_account(opened(chain), 0, pubkey=other))
    assert (result.code, result.account) == (2006, "position")
    expected = position_address(chain.payer.pubkey(), "ETH/USD")
    start = result.logs.index("Program log: Left:")
    assert result.logs[start : start + 4] == [
        "Program log: Left:",
        f"Program log: {other}",
        "Program log: Right:",
        f"Program log: {expected}",
    ]


def test_the_trader_must_sign(chain: Any) -> None:
    stranger, account = Keypair(), Keypair()
    chain.svm.airdrop(stranger.pubkey(), 10**10)
    call = instructions.open_position(stranger.pubkey(), "ETH/USD", **TERMS)
    result = chain.send(with_account(call, 1, is_signer=False))
    assert (result.code, result.account) == (3010, "owner")
    call = instructions.create_position(account.pubkey(), stranger.pubkey(), "ETH/USD", is_long=True, **TERMS)
    result = chain.send(with_account(call, 1, is_signer=False), signers=(account,))
    assert (result.code, result.account) == (3010, "user")


def test_a_created_account_must_sign_for_itself(chain: Any) -> None:
    account = Keypair()
    result = chain.send(with_account(created(chain, account), 0, is_signer=False))
    assert (result.code, result.account) == (3010, "position")


def test_accounts_that_must_be_writable_are(chain: Any) -> None:
    account, stranger = Keypair(), Keypair()
    chain.svm.airdrop(stranger.pubkey(), 10**10)
    result = chain.send(with_account(opened(chain), 0, is_writable=False))
    assert (result.code, result.account) == (2000, "position")
    call = with_account(created(chain, account), 0, is_writable=False)
    result = chain.send(call, signers=(account,))
    assert (result.code, result.account) == (2000, "position")
    call = instructions.open_position(stranger.pubkey(), "ETH/USD", **TERMS)
    result = chain.send(with_account(call, 1, is_writable=False), signers=(stranger,))
    assert (result.code, result.account) == (2000, "owner")


def test_another_program_than_the_system_program_is_refused(chain: Any) -> None:
    result = chain.send(with_account(opened(chain), 2, pubkey=PROGRAM_ID))
    assert (result.code, result.account) == (3008, "system_program")


def test_too_few_accounts_are_refused(chain: Any) -> None:
    for call in (opened(chain), created(chain, chain.payer)):
        for count in range(3):
            short = Instruction(PROGRAM_ID, bytes(call.data), call.accounts[:count])
            assert chain.send(short).code == 3005


def test_an_open_position_cannot_be_opened_again(chain: Any) -> None:
    chain.succeed(opened(chain))
    result = chain.send(opened(chain, size_e6=5))
    assert result.code == 0
    assert any("already in use" in line for line in result.logs)
    account = Keypair()
    chain.succeed(created(chain, account), signers=(account,))
    assert chain.send(created(chain, account), signers=(account,)).code == 0


def test_lamports_sent_to_an_address_beforehand_do_not_block_it(chain: Any) -> None:
    payer = chain.payer.pubkey()
    address = position_address(payer, "ETH/USD")
    for gift in (1_000_000, 10_000_000):
        chain.svm.set_account(address, type(chain.svm.get_account(payer))(gift, b"", Pubkey.default()))
        before = chain.lamports(payer)
        result = chain.succeed(opened(chain))
        assert chain.position(address).size_e6 == TERMS["size_e6"]
        assert chain.lamports(address) == max(gift, chain.rent(85))
        assert before - chain.lamports(payer) - result.fee_lamports == max(0, chain.rent(85) - gift)


def test_the_payer_cannot_become_the_position(chain: Any) -> None:
    result = chain.send(created(chain, chain.payer))
    assert (result.code, result.name) == (4101, "TryingToInitPayerAsProgramAccount")


def test_opening_without_lamports_fails_as_the_system_program_says(chain: Any) -> None:
    poor = Keypair()
    chain.succeed(
        transfer(TransferParams(from_pubkey=chain.payer.pubkey(), to_pubkey=poor.pubkey(), lamports=890_880))
    )
    result = chain.send(instructions.open_position(poor.pubkey(), "ETH/USD", **TERMS), signers=(poor,))
    assert result.code == 1
    assert any("insufficient lamports" in line for line in result.logs)
