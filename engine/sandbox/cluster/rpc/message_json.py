"""Messages and instructions in the JSON shapes of a node: as compiled, or in words (`jsonParsed`)."""

from __future__ import annotations

from collections.abc import Sequence

from solders.message import MessageV0
from solders.pubkey import Pubkey

from engine.sandbox.cluster import parsed
from engine.sandbox.cluster.encoding import base58_encode
from engine.sandbox.cluster.transactions.transaction_accounts import TransactionAccounts, is_static_writable
from engine.sandbox.cluster.transactions.wire_transaction import AnyMessage

# Instructions of the transaction itself are at this height, what they call is above it.
TRANSACTION_STACK_HEIGHT = 1
_UPGRADEABLE_LOADER = Pubkey.from_string("BPFLoaderUpgradeab1e11111111111111111111111")
# Programs and sysvars of the runtime: whatever a message asks for, nobody writes to them.
_RESERVED_KEYS = frozenset(
    Pubkey.from_string(key)
    for key in (
        "11111111111111111111111111111111",
        "AddressLookupTab1e1111111111111111111111111",
        "BPFLoader1111111111111111111111111111111111",
        "BPFLoader2111111111111111111111111111111111",
        "BPFLoaderUpgradeab1e11111111111111111111111",
        "ComputeBudget111111111111111111111111111111",
        "Config1111111111111111111111111111111111111",
        "Ed25519SigVerify111111111111111111111111111",
        "Feature111111111111111111111111111111111111",
        "KeccakSecp256k11111111111111111111111111111",
        "LoaderV411111111111111111111111111111111111",
        "NativeLoader1111111111111111111111111111111",
        "Secp256r1SigVerify1111111111111111111111111",
        "Stake11111111111111111111111111111111111111",
        "StakeConfig11111111111111111111111111111111",
        "Vote111111111111111111111111111111111111111",
        "ZkE1Gama1Proof11111111111111111111111111111",
        "ZkTokenProof1111111111111111111111111111111",
        "Sysvar1111111111111111111111111111111111111",
        "Sysvar1nstructions1111111111111111111111111",
        "SysvarC1ock11111111111111111111111111111111",
        "SysvarEpochRewards1111111111111111111111111",
        "SysvarEpochSchedu1e111111111111111111111111",
        "SysvarFees111111111111111111111111111111111",
        "SysvarLastRestartS1ot1111111111111111111111",
        "SysvarRecentB1ockHashes11111111111111111111",
        "SysvarRent111111111111111111111111111111111",
        "SysvarRewards111111111111111111111111111111",
        "SysvarS1otHashes111111111111111111111111111",
        "SysvarS1otHistory11111111111111111111111111",
        "SysvarStakeHistory1111111111111111111111111",
    )
)


def message_json(message: AnyMessage) -> dict[str, object]:
    """A message as it was compiled: instructions name accounts by index."""
    header = message.header
    shown: dict[str, object] = {
        "accountKeys": [str(key) for key in message.account_keys],
        "header": {
            "numReadonlySignedAccounts": header.num_readonly_signed_accounts,
            "numReadonlyUnsignedAccounts": header.num_readonly_unsigned_accounts,
            "numRequiredSignatures": header.num_required_signatures,
        },
        "instructions": [
            instruction_json(entry.program_id_index, entry.accounts, entry.data, TRANSACTION_STACK_HEIGHT)
            for entry in message.instructions
        ],
        "recentBlockhash": str(message.recent_blockhash),
    }
    if isinstance(message, MessageV0):
        shown["addressTableLookups"] = _lookups_json(message)
    return shown


def parsed_message_json(message: AnyMessage, accounts: TransactionAccounts) -> dict[str, object]:
    """`jsonParsed`: accounts with what they are used for, instructions in words where there are words."""
    keys = accounts.every
    shown: dict[str, object] = {
        "accountKeys": parsed_keys_json(message, accounts),
        "instructions": [
            parsed_instruction_json(
                entry.program_id_index, entry.accounts, entry.data, TRANSACTION_STACK_HEIGHT, keys
            )
            for entry in message.instructions
        ],
        "recentBlockhash": str(message.recent_blockhash),
    }
    if isinstance(message, MessageV0):
        shown["addressTableLookups"] = _lookups_json(message)
    return shown


def parsed_keys_json(message: AnyMessage, accounts: TransactionAccounts) -> list[object]:
    """Each account of a transaction: whether it signed, whether it could be written, where it came from."""
    signers, count, keys = message.header.num_required_signatures, len(accounts.static), accounts.every
    called = {keys[entry.program_id_index] for entry in message.instructions}
    if _UPGRADEABLE_LOADER in keys:
        # Who names the loader may write to programs: to upgrade them.
        called = set()
    shown: list[object] = []
    for index, key in enumerate(keys):
        if index < count:
            asked, source = is_static_writable(message, index, count), "transaction"
        else:
            asked, source = index < count + len(accounts.loaded_writable), "lookupTable"
        writable = asked and key not in _RESERVED_KEYS and key not in called
        shown.append({"pubkey": str(key), "signer": index < signers, "source": source, "writable": writable})
    return shown


def instruction_json(
    program_index: int, accounts: bytes, data: bytes, stack_height: int | None
) -> dict[str, object]:
    """An instruction as it was compiled."""
    return {
        "programIdIndex": program_index,
        "accounts": list(accounts),
        "data": base58_encode(data),
        "stackHeight": stack_height,
    }


def parsed_instruction_json(
    program_index: int, accounts: bytes, data: bytes, stack_height: int | None, keys: Sequence[Pubkey]
) -> dict[str, object]:
    """An instruction in words; of programs that nobody here knows, with addresses instead of indexes."""
    program_id, addresses = keys[program_index], [keys[index] for index in accounts]
    words = parsed.instruction(program_id, addresses, data)
    if words is not None:
        return {
            "program": words["program"],
            "programId": str(program_id),
            "parsed": words["parsed"],
            "stackHeight": stack_height,
        }
    return {
        "programId": str(program_id),
        "accounts": [str(address) for address in addresses],
        "data": base58_encode(data),
        "stackHeight": stack_height,
    }


def _lookups_json(message: MessageV0) -> list[object]:
    return [
        {
            "accountKey": str(lookup.account_key),
            "writableIndexes": list(lookup.writable_indexes),
            "readonlyIndexes": list(lookup.readonly_indexes),
        }
        for lookup in message.address_table_lookups
    ]
