"""Reading JSON-RPC parameters, with the refusals of a node for what it cannot use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import TypeAlias, TypeVar

from solders.hash import Hash
from solders.pubkey import Pubkey
from solders.signature import Signature

from engine.sandbox.cluster.banks import Bank, Commitment
from engine.sandbox.cluster.encoding import AccountEncoding, DataSlice, base58_decode
from engine.sandbox.cluster.rpc_errors import invalid_params, min_context_slot_not_reached
from engine.sandbox.cluster.view import View

U64_MAX = 2**64 - 1
Word = TypeVar("Word", bound=StrEnum)


def parse_pubkey(text: object) -> Pubkey:
    """An address; raises RpcError as a node words it."""
    if not isinstance(text, str):
        raise invalid_params(f"Invalid params: invalid type: {_type_name(text)}, expected a string.")
    return Pubkey.from_bytes(_fixed_bytes(text, 32))


def parse_signature(text: object) -> Signature:
    """A signature; raises RpcError as a node words it."""
    if not isinstance(text, str):
        raise invalid_params(f"Invalid params: invalid type: {_type_name(text)}, expected a string.")
    return Signature.from_bytes(_fixed_bytes(text, 64))


def parse_hash(text: object) -> Hash:
    """A blockhash; raises RpcError as a node words it."""
    if not isinstance(text, str):
        raise invalid_params(f"Invalid params: invalid type: {_type_name(text)}, expected a string.")
    return Hash.from_bytes(_fixed_bytes(text, 32))


def parse_word(value: object, words: type[Word]) -> Word:
    """One of the words of an enumeration."""
    if not isinstance(value, str):
        raise invalid_params(f"Invalid params: invalid type: {_type_name(value)}, expected a string.")
    try:
        return words(value)
    except ValueError:
        expected = ", ".join(f"`{word.value}`" for word in words)
        raise invalid_params(
            f"Invalid params: unknown variant `{value[:64]}`, expected one of {expected}."
        ) from None


class Config:
    """The options object that most methods take last; absent and null options have the node's defaults."""

    def __init__(self, options: dict[str, object]) -> None:
        self._options = options

    def __contains__(self, name: str) -> bool:
        return self._options.get(name) is not None

    def raw(self, name: str) -> object:
        """An option as it came."""
        return self._options.get(name)

    def flag(self, name: str, default: bool = False) -> bool:
        """A boolean option."""
        value = self._options.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise invalid_params(f"Invalid params: invalid type: {_type_name(value)}, expected a boolean.")
        return value

    def integer(self, name: str) -> int | None:
        """An unsigned integer option."""
        value = self._options.get(name)
        return None if value is None else _unsigned(value)

    def words(self, name: str, words: type[Word], default: Word) -> Word:
        """An option that is one of some words."""
        value = self._options.get(name)
        return default if value is None else parse_word(value, words)

    def commitment(self, name: str = "commitment", default: Commitment = Commitment.FINALIZED) -> Commitment:
        """The commitment level; finalized unless given."""
        return self.words(name, Commitment, default)

    def account_encoding(self) -> AccountEncoding:
        """The encoding of account data."""
        return self.words("encoding", AccountEncoding, AccountEncoding.BINARY)

    def data_slice(self) -> DataSlice | None:
        """The part of account data that is wanted."""
        value = self._options.get("dataSlice")
        if value is None:
            return None
        if not isinstance(value, dict) or "offset" not in value or "length" not in value:
            raise invalid_params("Invalid params: dataSlice: missing field `offset` or `length`.")
        return DataSlice(_unsigned(value["offset"]), _unsigned(value["length"]))

    def bank(self, view: View, commitment: Commitment | None = None) -> Bank:
        """The bank of the asked commitment; raises RpcError when it is older than minContextSlot."""
        bank = view.bank(self.commitment() if commitment is None else commitment)
        at_least = self.integer("minContextSlot")
        if at_least is not None and bank.slot < at_least:
            raise min_context_slot_not_reached(bank.slot)
        return bank


class Params:
    """The positional parameters of one call."""

    def __init__(self, values: Sequence[object]) -> None:
        self._values = values

    def __len__(self) -> int:
        return len(self._values)

    def as_list(self) -> list[object]:
        """All of them as they came."""
        return list(self._values)

    def raw(self, index: int) -> object:
        """A required parameter as it came."""
        if index >= len(self._values):
            raise invalid_params(f"`params` should have at least {index + 1} argument(s)")
        return self._values[index]

    def text(self, index: int) -> str:
        """A required string."""
        value = self.raw(index)
        if not isinstance(value, str):
            raise invalid_params(f"Invalid params: invalid type: {_type_name(value)}, expected a string.")
        return value

    def pubkey(self, index: int) -> Pubkey:
        """A required address."""
        return parse_pubkey(self.raw(index))

    def signature(self, index: int) -> Signature:
        """A required signature."""
        return parse_signature(self.raw(index))

    def integer(self, index: int) -> int:
        """A required unsigned integer."""
        return _unsigned(self.raw(index))

    def sequence(self, index: int, most: int) -> list[object]:
        """A required list of at most `most` entries."""
        value = self.raw(index)
        if not isinstance(value, list):
            raise invalid_params(f"Invalid params: invalid type: {_type_name(value)}, expected a sequence.")
        if len(value) > most:
            raise invalid_params(f"Too many inputs provided; max {most}")
        return value

    def config(self, index: int) -> Config:
        """The options object, empty when absent."""
        value = self._values[index] if index < len(self._values) else None
        if value is None:
            return Config({})
        if not isinstance(value, dict):
            raise invalid_params(f"Invalid params: invalid type: {_type_name(value)}, expected a map.")
        return Config(value)


Method: TypeAlias = Callable[[Params], object]
"""One RPC method: positional parameters in, a JSON result out; raises RpcError."""


def _fixed_bytes(text: str, length: int) -> bytes:
    # A base58 digit carries 5.86 bits: longer text cannot fit, and decoding it would cost squared time.
    if len(text) > length * 11 // 8:
        raise invalid_params("Invalid param: WrongSize")
    try:
        data = base58_decode(text)
    except ValueError:
        raise invalid_params("Invalid param: Invalid") from None
    if len(data) != length:
        raise invalid_params("Invalid param: WrongSize")
    return data


def _unsigned(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise invalid_params(f"Invalid params: invalid type: {_type_name(value)}, expected u64.")
    if not 0 <= value <= U64_MAX:
        raise invalid_params(f"Invalid params: invalid value: integer `{value}`, expected u64.")
    return value


def _type_name(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return f"boolean `{str(value).lower()}`"
    if isinstance(value, int):
        return f"integer `{value}`"
    if isinstance(value, float):
        return f"floating point `{value}`"
    if isinstance(value, str):
        return "string"
    return "sequence" if isinstance(value, list) else "map"
