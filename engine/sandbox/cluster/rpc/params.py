"""Reading JSON-RPC parameters, with the refusals of a node for what it cannot use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Literal, TypeAlias, TypeVar

import msgspec
from solders.hash import Hash
from solders.pubkey import Pubkey
from solders.signature import Signature

from engine.sandbox.cluster.blocks.banks import Bank, Commitment
from engine.sandbox.cluster.encoding import AccountEncoding, DataSlice, base58_decode
from engine.sandbox.cluster.ledger.view import View
from engine.sandbox.cluster.rpc_errors import RpcError, invalid_params, min_context_slot_not_reached

UnsignedType: TypeAlias = Literal["u8", "u64", "usize"]
"""The types that a node has for its integers; its refusals name them."""

U64_MAX = 2**64 - 1
_MOST: dict[UnsignedType, int] = {"u8": 2**8 - 1, "u64": U64_MAX, "usize": U64_MAX}
_SHOWN_CHARACTERS = 64
Word = TypeVar("Word", bound=StrEnum)
Form = TypeVar("Form")


def parse_pubkey(text: object) -> Pubkey:
    """An address; raises RpcError as a node words it."""
    return Pubkey.from_bytes(_fixed_bytes(_text(text), 32, "Invalid param: "))


def parse_signature(text: object) -> Signature:
    """A signature; raises RpcError as a node words it."""
    return Signature.from_bytes(_fixed_bytes(_text(text), 64, "Invalid param: "))


def parse_hash(text: object) -> Hash:
    """A blockhash; raises RpcError as a node words it."""
    return Hash.from_bytes(_fixed_bytes(_text(text), 32, ""))


def parse_word(value: object, words: type[Word]) -> Word:
    """One of the words of an enumeration."""
    text = _text(value)
    try:
        return words(text)
    except ValueError:
        expected = ", ".join(f"`{word.value}`" for word in words)
        raise invalid_params(
            f"Invalid params: unknown variant `{text[:_SHOWN_CHARACTERS]}`, expected one of {expected}."
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
            raise wrong_type(value, "a boolean")
        return value

    def integer(self, name: str, kind: UnsignedType = "u64") -> int | None:
        """An unsigned integer option."""
        value = self._options.get(name)
        return None if value is None else _unsigned(value, kind)

    def words(self, name: str, words: type[Word], default: Word) -> Word:
        """An option that is one of some words."""
        value = self._options.get(name)
        return default if value is None else parse_word(value, words)

    def commitment(self, name: str = "commitment", default: Commitment = Commitment.FINALIZED) -> Commitment:
        """The commitment level; finalized unless given."""
        return self.words(name, Commitment, default)

    def at_least_confirmed(self) -> Commitment:
        """The commitment level of methods that speak of blocks; raises RpcError for processed."""
        return at_least_confirmed(self.commitment())

    def nested(self, name: str, struct: str, required: Sequence[str] = ()) -> Config | None:
        """An option that is an object of its own; None when absent."""
        value = self._options.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise wrong_type(value, f"struct {struct}")
        for field in required:
            if value.get(field) is None:
                raise missing_field(field)
        return Config(value)

    def account_encoding(self) -> AccountEncoding:
        """The encoding of account data."""
        return self.words("encoding", AccountEncoding, AccountEncoding.BINARY)

    def data_slice(self) -> DataSlice | None:
        """The part of account data that is wanted."""
        value = self._options.get("dataSlice")
        if value is None:
            return None
        if not isinstance(value, dict):
            raise wrong_type(value, "struct UiDataSliceConfig")
        for name in ("offset", "length"):
            if name not in value:
                raise missing_field(name)
        return DataSlice(_unsigned(value["offset"], "usize"), _unsigned(value["length"], "usize"))

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
        return _text(self.raw(index))

    def pubkey(self, index: int) -> Pubkey:
        """A required address."""
        return parse_pubkey(self.raw(index))

    def signature(self, index: int) -> Signature:
        """A required signature."""
        return parse_signature(self.raw(index))

    def integer(self, index: int, kind: UnsignedType = "u64") -> int:
        """A required unsigned integer."""
        return _unsigned(self.raw(index), kind)

    def optional(self, index: int) -> object:
        """A parameter as it came, None when it is absent or null."""
        return self._values[index] if index < len(self._values) else None

    def sequence(self, index: int, most: int | None = None) -> list[object]:
        """A required list of at most `most` entries."""
        value = self.raw(index)
        if not isinstance(value, list):
            raise wrong_type(value, "a sequence")
        if most is not None and len(value) > most:
            raise invalid_params(f"Too many inputs provided; max {most}")
        return value

    def config(self, index: int, struct: str = "RpcContextConfig") -> Config:
        """The options object, empty when absent; `struct` is what a node's refusals call it."""
        value = self.optional(index)
        if value is None:
            return Config({})
        if not isinstance(value, dict):
            raise wrong_type(value, f"struct {struct}")
        return Config(value)

    def commitment(self, index: int) -> Commitment:
        """The level of methods whose options object knows nothing else, and must then have it."""
        config = self.config(index, "CommitmentConfig")
        if self.optional(index) is not None and "commitment" not in config:
            raise missing_field("commitment")
        return config.commitment()


Method: TypeAlias = Callable[[Params], object]
"""One RPC method: positional parameters in, a JSON result out; raises RpcError."""


def at_least_confirmed(commitment: Commitment) -> Commitment:
    """The level itself; raises RpcError for processed, of which methods about blocks do not speak."""
    if commitment is Commitment.PROCESSED:
        raise invalid_params("Method does not support commitment below `confirmed`")
    return commitment


def encoding_or_config(params: Params, index: int, read: Callable[[Config], Form]) -> Form:
    """What `read` makes of the options of a method whose old form names an encoding alone.

    As a node, it does not say what is wrong with options that cannot be read.
    """
    value = params.optional(index)
    if isinstance(value, str):
        value = {"encoding": value}
    if value is not None and not isinstance(value, dict):
        raise no_variant("RpcEncodingConfigWrapper")
    try:
        return read(Config(value or {}))
    except RpcError:
        raise no_variant("RpcEncodingConfigWrapper") from None


def missing_field(name: str) -> RpcError:
    """An options object lacks what it must have."""
    return invalid_params(f"Invalid params: missing field `{name}`.")


def no_variant(enumeration: str) -> RpcError:
    """A parameter has none of the forms that it may have; a node does not say which it tried."""
    return invalid_params(f"Invalid params: data did not match any variant of untagged enum {enumeration}.")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise wrong_type(value, "a string")
    return value


def _fixed_bytes(text: str, length: int, prefix: str) -> bytes:
    # A base58 digit carries 5.86 bits: longer text cannot fit, and decoding it would cost squared time.
    if len(text) > length * 11 // 8:
        raise invalid_params(f"{prefix}WrongSize")
    try:
        data = base58_decode(text)
    except ValueError:
        raise invalid_params(f"{prefix}Invalid") from None
    if len(data) != length:
        raise invalid_params(f"{prefix}WrongSize")
    return data


def _unsigned(value: object, kind: UnsignedType) -> int:
    # What no 64 bits hold is a floating-point number to a node.
    if isinstance(value, bool) or not isinstance(value, int) or not -(2**63) <= value <= U64_MAX:
        raise wrong_type(value, kind)
    if not 0 <= value <= _MOST[kind]:
        raise invalid_params(f"Invalid params: invalid value: integer `{value}`, expected {kind}.")
    return value


def wrong_type(value: object, expected: str) -> RpcError:
    """A parameter or option of another type than `expected`."""
    return invalid_params(f"Invalid params: invalid type: {_shown(value)}, expected {expected}.")


def _shown(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return f"boolean `{str(value).lower()}`"
    if isinstance(value, int) and -(2**63) <= value <= U64_MAX:
        return f"integer `{value}`"
    if isinstance(value, int | float):
        return f"floating point `{_plain(value)}`"
    if isinstance(value, str):
        return f"string {msgspec.json.encode(value[:_SHOWN_CHARACTERS]).decode()}"
    return "sequence" if isinstance(value, list) else "map"


def _plain(value: float) -> str:
    """A floating-point number as Rust writes it: its shortest digits, without an exponent."""
    try:
        digits = format(Decimal(repr(float(value))), "f")
    except OverflowError:
        return "inf"
    return digits if "." in digits else f"{digits}.0"
