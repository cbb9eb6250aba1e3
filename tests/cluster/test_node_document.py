"""The page about the node says of every method what it is like, and of none that is not there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engine.sandbox.cluster import Genesis, Ledger, rpc_errors
from engine.sandbox.cluster.ledger.leader import Leader
from engine.sandbox.cluster.ledger.view import View
from engine.sandbox.cluster.rpc.method_table import methods_of
from engine.sandbox.cluster.serving.subscriptions import Subscriptions

PAGE = (Path(__file__).parents[2] / "docs" / "node.md").read_text()


def _rows(heading: str) -> dict[str, list[str]]:
    """The rows of the table under a heading, by what their first column names."""
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if re.match(r"\| (`|-\d)", line)]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0].strip("`"): row[1:] for row in cells}


@pytest.fixture
def view() -> View:
    """A node of a cluster that has just begun."""
    return View(Ledger(Genesis.from_seed(b"page"), lambda: 1.0))


def test_the_page_names_the_methods_that_are_served_and_no_others(view: View) -> None:
    assert sorted(_rows("HTTP methods")) == sorted(methods_of(view, Leader(view.ledger)))


def test_the_page_names_the_subscriptions_that_are_served_and_no_others(view: View) -> None:
    served = [f"{kind}Subscribe" for kind in Subscriptions(view).kinds()]
    assert sorted(_rows("WebSocket methods")) == sorted(served)


def test_the_page_says_of_each_method_whether_its_shape_is_a_real_nodes() -> None:
    for name, (_, answer) in (_rows("HTTP methods") | _rows("WebSocket methods")).items():
        assert answer.startswith("**same**") or len(answer) > 40, name


def test_the_page_names_every_code_that_the_node_refuses_with() -> None:
    codes = {str(value) for value in vars(rpc_errors).values() if isinstance(value, int)}
    assert set(_rows("Refusals")) == codes
