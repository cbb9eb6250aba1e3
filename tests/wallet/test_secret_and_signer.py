"""The key signs and does nothing else: no text, copy or pickle of it gives it away."""

from __future__ import annotations

import base64
import copy
import io
import json
import pickle
import sys
import traceback

import pytest
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import Message, MessageV0
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer

from engine.errors import WalletError
from engine.wallet import KeypairSigner, Signer
from engine.wallet.secret import NotAKey, SecretKey

KEY = Keypair.from_seed(bytes(range(32)))
ARRAY = json.dumps(list(bytes(KEY)))


def every_form_of_the_key() -> list[str]:
    """The ways in which a key shows up in logs: whole, and its secret half alone."""
    whole, seed = bytes(KEY), bytes(KEY)[:32]
    forms = [ARRAY[1:-1], ARRAY[1:-1].replace(" ", ""), str(KEY), str(Pubkey(seed))]  # JSON and base58
    for raw in (whole, seed):
        forms += [raw.hex(), base64.b64encode(raw).decode()]
    return [*forms, ", ".join(str(byte) for byte in seed)]


def signer() -> Signer:
    return KeypairSigner(SecretKey.parse(ARRAY.encode()), "test")


def test_every_way_of_printing_a_key_gives_the_same_fixed_words() -> None:
    secret = SecretKey.parse(ARRAY.encode())
    texts = {
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret!r}",
        format(secret, ">20"),
        f"{[secret]}"[1:-1],
    }
    assert texts == {"<secret key>"}


def test_no_text_of_a_signer_holds_any_form_of_its_key() -> None:
    text = repr(signer()) + str(vars(signer())) + f"{signer()}"
    assert [form for form in every_form_of_the_key() if form in text] == []


def test_a_traceback_with_local_variables_does_not_show_the_key() -> None:
    def fault(secret: SecretKey) -> None:
        raise RuntimeError("boom")

    try:
        fault(SecretKey.parse(ARRAY.encode()))
    except RuntimeError as error:
        report = traceback.TracebackException.from_exception(error, capture_locals=True)
    text = "".join(report.format())
    frame_text = text[text.index("in fault") :]
    assert "<secret key>" in frame_text
    assert [form for form in every_form_of_the_key() if form in frame_text] == []


def test_a_key_can_neither_be_pickled_nor_copied() -> None:
    secret = SecretKey.parse(ARRAY.encode())
    for attempt in (lambda: pickle.dumps(secret), lambda: copy.copy(secret), lambda: copy.deepcopy(secret)):
        with pytest.raises(TypeError, match="neither pickled nor copied"):
            attempt()
    with pytest.raises(TypeError):
        pickle.Pickler(io.BytesIO()).dump(signer())


def test_a_key_gives_no_bytes() -> None:
    secret = SecretKey.parse(ARRAY.encode())
    with pytest.raises(TypeError):
        bytes(secret)  # type: ignore[call-overload]  # the attempt is the test
    with pytest.raises(TypeError):
        json.dumps(secret)


def test_the_signature_is_the_one_that_the_wallet_would_make() -> None:
    message = b"a message"
    assert signer().address == KEY.pubkey()
    assert signer().sign_message(message) == KEY.sign_message(message)
    assert signer().sign_message(message).verify(KEY.pubkey(), message)


@pytest.mark.parametrize("generation", ["legacy", "v0"])
def test_a_transaction_that_the_wallet_pays_alone_is_signed_and_verifies(generation: str) -> None:
    payer = KEY.pubkey()
    pay = transfer(TransferParams(from_pubkey=payer, to_pubkey=Pubkey.new_unique(), lamports=1))
    message = (
        Message.new_with_blockhash([pay], payer, Hash.new_unique())
        if generation == "legacy"
        else MessageV0.try_compile(payer, [pay], [], Hash.new_unique())
    )
    transaction = signer().sign_transaction(message)
    assert transaction.verify_with_results() == [True]
    assert transaction.message == message


def test_a_transaction_that_somebody_else_pays_or_signs_too_is_refused() -> None:
    other = Pubkey.new_unique()
    both = Instruction(
        Pubkey.new_unique(), b"", [AccountMeta(KEY.pubkey(), True, True), AccountMeta(other, True, True)]
    )
    for payer in (other, KEY.pubkey()):
        message = Message.new_with_blockhash([both], payer, Hash.default())
        with pytest.raises(WalletError, match="does not pay alone"):
            signer().sign_transaction(message)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (b"", "not a JSON array"),
        (b"not json", "not a JSON array"),
        (b"{}", "not a JSON array"),
        (b"[" * 100_000, "not a JSON array"),
        (ARRAY[:40].encode(), "not a JSON array"),
        (b'["1","2"]', "not a JSON array"),
        (b"[true]", "not a JSON array"),
        (json.dumps(list(bytes(KEY))[:63]).encode(), "63 numbers instead of 64"),
        (json.dumps([*list(bytes(KEY))[:63], 256]).encode(), "do not belong"),
        (json.dumps([*list(bytes(KEY))[:63], -1]).encode(), "do not belong"),
        (json.dumps(list(bytes(KEY)[:32] + bytes(32))).encode(), "do not belong"),
        (b"\xff\xfe\x00", "not a JSON array"),
    ],
)
def test_anything_else_than_a_key_is_refused_without_repeating_it(text: bytes, what: str) -> None:
    with pytest.raises(NotAKey) as caught:
        SecretKey.parse(text)
    assert what in str(caught.value)
    assert len(str(caught.value)) < 80
    assert caught.value.__context__ is None or caught.value.__suppress_context__


def test_the_wrapped_pair_cannot_be_reached_by_a_plain_name() -> None:
    secret = SecretKey.parse(ARRAY.encode())
    assert not hasattr(secret, "__dict__")
    public_names = [name for name in dir(secret) if not name.startswith("_")]
    assert sorted(public_names) == ["address", "is_same", "new", "parse", "reveal", "sign"]
    assert sys.getsizeof(secret) < 200
