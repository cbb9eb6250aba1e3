"""The dashboard for Grafana: what an import needs is there, and the engine can answer every query."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from promql import families, metrics_in, samples, wrong_matchers
from test_alert_rules import promtool

DASHBOARD: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "monitoring" / "grafana-dashboard.json").read_text()
)
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
CHARTS = [panel for panel in PANELS if panel["type"] != "row"]
QUERIES = [
    *(target["expr"] for panel in CHARTS for target in panel["targets"]),
    *(each["expr"] for each in DASHBOARD["annotations"]["list"] if "expr" in each),
    *(each["query"]["query"] for each in DASHBOARD["templating"]["list"] if each["type"] == "query"),
]
ANY_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


def test_it_imports_as_a_new_dashboard_that_refreshes_every_five_seconds() -> None:
    assert DASHBOARD["id"] is None  # a number would overwrite whatever dashboard has it
    assert DASHBOARD["refresh"] == "5s"
    assert "5s" in DASHBOARD["timepicker"]["refresh_intervals"]
    for needed, kind in {
        "uid": str,
        "title": str,
        "schemaVersion": int,
        "version": int,
        "time": dict,
        "templating": dict,
        "annotations": dict,
        "panels": list,
        "editable": bool,
        "graphTooltip": int,
    }.items():
        assert isinstance(DASHBOARD[needed], kind), needed
    assert DASHBOARD["schemaVersion"] >= 36  # from there on a data source is an object


def test_the_data_source_is_chosen_at_the_import_and_every_query_uses_it() -> None:
    variables = {each["name"]: each for each in DASHBOARD["templating"]["list"]}
    assert (variables["datasource"]["type"], variables["datasource"]["query"]) == ("datasource", "prometheus")
    for panel in CHARTS:
        assert panel["datasource"] == ANY_DATASOURCE
        assert all(target["datasource"] == ANY_DATASOURCE for target in panel["targets"])


def test_every_panel_has_an_id_a_title_a_known_kind_and_a_place_of_its_own() -> None:
    ids = [panel["id"] for panel in PANELS]
    assert len(set(ids)) == len(ids)
    taken: dict[tuple[int, int], str] = {}
    for panel in PANELS:
        assert panel["title"]
        assert panel["type"] in {"row", "stat", "gauge", "timeseries"}
        place = panel["gridPos"]
        assert place["x"] >= 0
        assert place["x"] + place["w"] <= 24
        columns = range(place["x"], place["x"] + place["w"])
        for cell in itertools.product(columns, range(place["y"], place["y"] + place["h"])):
            assert cell not in taken, f"{panel['title']} lies on {taken[cell]}"
            taken[cell] = panel["title"]


def test_every_target_of_a_panel_has_a_letter_of_its_own() -> None:
    for panel in CHARTS:
        letters = [target["refId"] for target in panel["targets"]]
        assert letters
        assert len(set(letters)) == len(letters), panel["title"]


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_names_only_metrics_and_labels_that_there_are(query: str) -> None:
    assert metrics_in(query.replace(", job)", ")").replace(", instance)", ")")) - samples().keys() == set()
    assert wrong_matchers(query) == []


def test_every_query_is_promql(tmp_path: Path) -> None:
    plain = [query.replace("$__rate_interval", "1m") for query in QUERIES if "label_values" not in query]
    records = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(plain)]
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": records}]}))
    assert f"{len(plain)} rules found" in promtool("check", "rules", str(file))


def test_a_counter_is_shown_as_a_rate_and_never_as_it_is() -> None:
    counters = {name + "_total" for name, family in families().items() if family.type == "counter"}
    for query in QUERIES:
        for name in metrics_in(query) & counters:
            before = query.split(name)[0]
            assert before.rstrip().endswith(("rate(", "increase(")), query


def test_what_the_guide_wants_to_see_is_there() -> None:
    titles = {panel["title"] for panel in CHARTS}
    assert {"Active positions", "At-risk positions", "Insurance fund", "Liquidations per minute"} <= titles
