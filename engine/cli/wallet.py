"""`wallet`: makes, keeps, shows, copies and forgets the signing key; no command ever prints it."""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli.failures import BadUsage, say
from engine.cli.options import ProfileOption, checked_profile, given_settings
from engine.errors import WalletError

if TYPE_CHECKING:
    from engine.paths import ProfilePaths
    from engine.wallet.secret import SecretKey
    from engine.wallet.source import OpenedKey

app = typer.Typer(help="Makes, keeps, shows, backs up and forgets the key that the engine signs with.")

NO_NODE = {"SOLANA_RPC_URL": "http://not-set"}
FileOption = Annotated[
    Path | None,
    typer.Option(
        "--file", metavar="FILE", help="Keep it in this new file of mode 0600, not in the OS keyring."
    ),
]


@app.callback()
def wallet() -> None:
    """Makes, keeps, shows, backs up and forgets the key that the engine signs with."""


@app.command()
def new(context: typer.Context, file: FileOption = None, profile: ProfileOption = None) -> None:
    """Make a key and keep it in the OS keyring, or in a file; prints its address."""
    from engine.wallet.secret import SecretKey

    _keep(checked_profile(context, profile), SecretKey.new(), file)


@app.command("import")
def import_key(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="As solana-keygen writes it, of mode 0600.")],
    profile: ProfileOption = None,
) -> None:
    """Put the key of a file into the OS keyring, and read it back; the file stays."""
    from engine.wallet.key_file import read_key_file

    paths = checked_profile(context, profile)
    _forbid_memory_reading()
    _keep(paths, read_key_file(file), None)
    say(f"{file} still holds the key too: back the key up, then remove the file or lock it away")


@app.command()
def show(context: typer.Context, profile: ProfileOption = None) -> None:
    """The wallet's address, and where its key comes from."""
    opened = _opened(context, checked_profile(context, profile))
    print(f"address  {opened.secret.address()}\nsource   {opened.source}")


@app.command()
def export(
    context: typer.Context,
    file: Annotated[Path | None, typer.Argument(help="A new file; else ~/liquidator-keypair.json.")] = None,
    profile: ProfileOption = None,
) -> None:
    """Write the key, in the clear, to a new file of mode 0600, as solana-keygen would."""
    from engine.wallet.key_file import write_new_file

    path = file or Path.home() / "liquidator-keypair.json"
    opened = _opened(context, checked_profile(context, profile))
    _confirm("export", f"The key of {opened.secret.address()} will lie in the clear in {path}.")
    write_new_file(path, opened.secret.reveal() + b"\n")
    print(f"Exported {opened.secret.address()} to {path}\nWhoever reads that file owns the wallet.")


@app.command()
def backup(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A new file; an existing one is kept.")],
    profile: ProfileOption = None,
) -> None:
    """Write the key, encrypted with a passphrase, to a new age file, and restore it from there as a proof."""
    from engine.wallet.backup import write_backup

    opened = _opened(context, checked_profile(context, profile))
    passphrase = _secret_word("Passphrase of the backup: ")
    if _secret_word("The same again: ") != passphrase:
        raise BadUsage("The two passphrases differ: nothing was written, try again")
    write_backup(file, opened.secret, passphrase)
    print(f"Backed up {opened.secret.address()} to {file}, and restored it from there.")


@app.command()
def restore(
    context: typer.Context,
    source: Annotated[Path, typer.Argument(metavar="FILE", help="What `wallet backup` wrote.")],
    *,
    address: Annotated[
        str | None, typer.Option("--address", metavar="ADDRESS", help="Refuse another wallet than this.")
    ] = None,
    file: FileOption = None,
    profile: ProfileOption = None,
) -> None:
    """Put the key of a backup into the OS keyring, or into a file, if it is the wallet that is meant."""
    from engine.wallet.backup import read_backup

    paths = checked_profile(context, profile)
    _forbid_memory_reading()
    secret = read_backup(source, _secret_word("Passphrase of the backup: "))
    if address is not None and str(secret.address()) != address:
        raise WalletError(
            f"The backup is of wallet {secret.address()}, not of {address!a}: nothing was restored"
        )
    _keep(paths, secret, file)


@app.command()
def verify(
    context: typer.Context,
    copy: Annotated[
        Path | None, typer.Option("--backup", metavar="FILE", help="See that this backup is of the same key.")
    ] = None,
    profile: ProfileOption = None,
) -> None:
    """Open the key as the engine would, sign something with it, and check the signature."""
    from engine.wallet.backup import read_backup

    opened = _opened(context, checked_profile(context, profile))
    address, challenge = opened.secret.address(), os.urandom(32)
    if not opened.secret.sign(challenge).verify(address, challenge):
        raise WalletError(f"The key of {address} does not sign: restore it from its backup")
    print(f"The key of {address} signs; it comes from: {opened.source}")
    if copy is None:
        return
    restored = read_backup(copy, _secret_word("Passphrase of the backup: "))
    if not restored.is_same(opened.secret):
        raise WalletError(f"{copy} is a backup of {restored.address()}: make one of {address}")
    print(f"{copy} restores it")


@app.command()
def remove(context: typer.Context, profile: ProfileOption = None) -> None:
    """Forget the profile's key in the OS keyring; files, credentials and backups stay."""
    from engine.wallet.os_keyring import read_keyring, remove_from_keyring

    paths = checked_profile(context, profile)
    _forbid_memory_reading()
    address = read_keyring(paths.profile).address()
    _confirm("remove", f"Without a backup, what wallet {address} holds is lost with its key.")
    remove_from_keyring(paths.profile)
    print(f"Removed the key of {address} from the keyring")


def _keep(paths: ProfilePaths, secret: SecretKey, file: Path | None) -> None:
    """In a new file, or in the keyring, where it is read back; says the address."""
    _forbid_memory_reading()
    if file is None:
        from engine.wallet.os_keyring import SERVICE, store_in_keyring

        store_in_keyring(paths.profile, secret)
        print(f"{secret.address()}\nKept in the keyring as {SERVICE}/{paths.profile}")
    else:
        from engine.wallet.key_file import write_new_file

        write_new_file(file, secret.reveal() + b"\n")
        print(f"{secret.address()}\nKept in {file}: set WALLET_PATH to it")
    say("back it up: `liquidation-engine wallet backup FILE`, and send 0.5 to 1 SOL to it for fees")


def _opened(context: typer.Context, paths: ProfilePaths) -> OpenedKey:
    """The key as an engine of this profile would have it; that needs no node."""
    from engine.wallet.source import open_key

    given = given_settings(context, paths)
    settings = (given if "SOLANA_RPC_URL" in given.values else given.under(NO_NODE, "not set")).settings()
    return open_key(settings.wallet_path, paths.profile, source=settings.wallet_source)


def _forbid_memory_reading() -> None:
    from engine.wallet.process import forbid_memory_reading

    forbid_memory_reading()


def _confirm(word: str, consequence: str) -> None:
    """Have the word typed. Raises BadUsage for anything else."""
    print(f"{consequence} Type {word} to go on: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip() != word:
        raise BadUsage(f"{word!a} was not typed: nothing was done")


def _secret_word(prompt: str) -> str:
    """One line that the terminal does not show; from a pipe as it comes. Raises BadUsage when it ends."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    try:
        return getpass.getpass(prompt)
    except EOFError:
        raise BadUsage("Nothing was typed: nothing was done") from None
