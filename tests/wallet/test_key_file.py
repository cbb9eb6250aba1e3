"""A key file is read only when nobody else could read it; every refusal is one line with its remedy."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from solders.keypair import Keypair

from engine.errors import WalletError
from engine.wallet import open_signer
from engine.wallet.key_file import read_key_file

KEY = Keypair.from_seed(bytes(range(1, 33)))
CONTENT = json.dumps(list(bytes(KEY)))
WHITE_SPACE = CONTENT.replace(",", " ,\n  ")


def key_file(folder: Path, content: str = CONTENT, mode: int = 0o600) -> Path:
    path = folder / "id.json"
    path.write_text(content)
    path.chmod(mode)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(WalletError) as caught:
        read_key_file(path)
    line = str(caught.value)
    assert line.startswith(f"Failed to read keypair file {path}: ")
    assert line.isprintable()
    return line


@pytest.mark.parametrize("mode", [0o600, 0o400])
@pytest.mark.parametrize("content", [CONTENT, CONTENT + "\n", WHITE_SPACE])
def test_a_private_file_of_solana_keygen_is_read(tmp_path: Path, content: str, mode: int) -> None:
    assert read_key_file(key_file(tmp_path, content, mode)).address() == KEY.pubkey()


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o660, 0o604, 0o610, 0o666])
def test_a_file_that_others_may_read_is_refused_with_the_command_that_mends_it(
    tmp_path: Path, mode: int
) -> None:
    path = key_file(tmp_path, mode=mode)
    line = refusal(path)
    assert f"(mode {mode:04o})" in line
    command = line[line.index("`") + 1 : line.rindex("`")]
    subprocess.run(command, shell=True, check=True)
    assert read_key_file(path).address() == KEY.pubkey()


def test_the_command_is_right_for_a_path_with_a_space(tmp_path: Path) -> None:
    folder = tmp_path / "my keys"
    folder.mkdir()
    path = key_file(folder, mode=0o644)
    with pytest.raises(WalletError, match=f"run `chmod 600 '{path}'`"):
        read_key_file(path)


def test_a_missing_file_names_the_setting(tmp_path: Path) -> None:
    assert "no such file: set WALLET_PATH" in refusal(tmp_path / "absent.json")


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    link = tmp_path / "link.json"
    link.symlink_to(key_file(tmp_path))
    assert "it is a symbolic link" in refusal(link)


def test_a_directory_or_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    assert "not a regular file" in refusal(tmp_path)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    assert "not a regular file" in refusal(pipe)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    path = key_file(tmp_path)
    os.chown(path, 12345, 12345)
    assert "it belongs to user 12345: run `chown 0 " in refusal(path)


@pytest.mark.parametrize(
    "content",
    [
        "",
        CONTENT[: len(CONTENT) // 2],
        "hunter2 is my password",
        CONTENT * 20,
        "[1, 2, 3]",
        CONTENT[:-4] + "1]",
    ],
)
def test_what_a_wrong_file_holds_is_never_shown(tmp_path: Path, content: str) -> None:
    line = refusal(key_file(tmp_path, content))
    assert "solana-keygen file" in line
    assert "hunter2" not in line
    assert CONTENT[:30] not in line


def test_a_path_with_control_characters_stays_one_printable_line(tmp_path: Path) -> None:
    with pytest.raises(WalletError) as caught:
        read_key_file(tmp_path / "a\x1b[31m\nb")
    assert str(caught.value).isprintable()


def test_the_signer_says_where_its_key_came_from(tmp_path: Path) -> None:
    signer = open_signer(key_file(tmp_path), "default")
    assert signer.source == "file id.json"
    assert signer.address == KEY.pubkey()
