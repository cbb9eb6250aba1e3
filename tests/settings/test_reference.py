"""The manual's table of settings is made of the settings, and nothing is written there by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.cli.main import main
from engine.settings import NAMES

TEXT = (Path(__file__).parents[2] / "docs" / "settings.md").read_text()


def test_the_manual_has_the_table_that_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["config", "reference"])
    assert not ended.value.code
    printed = capsys.readouterr().out
    written = TEXT[TEXT.index("| setting | default |") :].split("\n\n")[0]
    assert written == printed.rstrip("\n"), "make it anew: liquidation-engine config reference"


def test_every_setting_has_its_row_with_a_default_bounds_and_a_sentence() -> None:
    rows = [line.strip("|").split(" | ") for line in TEXT.splitlines() if line.startswith("| `")]
    told = {cells[0].strip(" `"): cells[1:] for cells in rows if len(cells) == 4}
    assert set(NAMES) <= set(told)
    for name in NAMES:
        default, bounds, meaning = (cell.strip() for cell in told[name])
        assert default and bounds and "not '" not in bounds, name
        assert meaning[0].isupper() and meaning.endswith("."), name
