"""The README's example of a client does what it says, on a sandbox started by the README's own line."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

from telling import ROOT, running_sandbox

DEFAULT_URL = "http://127.0.0.1:8899"


def test_the_readme_s_client_works_against_the_readme_s_sandbox(node: list[str], workshop: Path) -> None:
    section = (ROOT / "README.md").read_text().split("\n## Use your own client\n")[1].split("\n## ")[0]
    [command] = re.findall(r"^\.venv/bin/liquidation-engine sandbox (.*?)  +#", section, re.MULTILINE)
    [script] = re.findall(r"^```js\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    with running_sandbox(*shlex.split(command)) as where:
        # Where the usual ports are taken the sandbox has chosen two others, which are neighbours too.
        assert script.count(DEFAULT_URL) == 1
        (workshop / "readme.mjs").write_text(script.replace(DEFAULT_URL, where["rpc_url"]))
        done = subprocess.run(
            [*node, "readme.mjs"], cwd=workshop, capture_output=True, text=True, timeout=60, check=False
        )
    assert done.returncode == 0, done.stderr
    lamports, positions = re.findall(r": (\d+)$", done.stdout, re.MULTILINE)
    assert int(lamports) == 1_000_000_000
    assert 0 < int(positions) <= 100
