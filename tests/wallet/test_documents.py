"""The commands of the documents that keep a wallet, with a real keyring."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

# What the documents have in their fences is read by a module of tests/guide; test folders are no packages.
sys.path.insert(0, str(Path(__file__).parents[1] / "guide"))
from documents import fences

WALLET = re.compile(r"^liquidation-engine wallet")


@pytest.mark.long
def test_the_commands_that_keep_a_wallet_work_with_a_real_keyring(session: Any) -> None:
    commands = list(dict.fromkeys(c for fence in fences() for c in fence.commands if WALLET.match(c)))
    assert len(commands) == 12
    commands.sort(key=lambda command: command != "liquidation-engine wallet new")  # the others need a key
    before = {
        "new --file ~/": "rm -f ~/liquidator-keypair.json",
        "import ": "echo remove | $LE wallet remove || true; cp wallet.json liquidator-keypair.json",
    }
    typed = {"backup ": "long enough words\nlong enough words", "restore": "long enough words"}
    typed |= {"verify --backup": "long enough words", "export": "export", "remove": "remove"}
    script = ["set -e"]
    for command in commands:
        arguments = command.removeprefix("liquidation-engine wallet ")
        script += [first for word, first in before.items() if arguments.startswith(word)]
        words = next((text for word, text in typed.items() if arguments.startswith(word)), "")
        script.append(f"printf '%s\\n' '{words}' | $LE wallet {arguments}")
    done = session.run("open", *script)
    assert done.returncode == 0, done.stdout + done.stderr
