"""Reads PromQL as far as is needed to know which metrics, and which of their labels, a query names."""

from __future__ import annotations

import re
from dataclasses import replace

from figured import WELL, stage
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from engine.domain import OutcomeClass
from engine.telemetry.figures import Figures
from engine.telemetry.metrics import Metrics

_WORDS = {
    *("sum", "min", "max", "rate", "increase", "histogram_quantile", "time", "label_values"),
    *("by", "and", "or", "bool", "on"),
}
_SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)\s*\{([^}]*)\}")
_MATCHER = re.compile(r'(\w+)\s*(=~|!=|!~|=)\s*"([^"]*)"')
SCRAPED = {"job", "instance"}  # labels that Prometheus adds


class Kept:
    """Figures as the engine's watch keeps them, with something under every label."""

    def __init__(self) -> None:
        self.figures: Figures = replace(
            WELL,
            failed_by_outcome={outcome.value: 1 for outcome in OutcomeClass},
            undecidable={"layout": 1},
            holds={("SOL/USD", "stale"): 1},
            stages={name: stage(3, 1)["detect_to_submit"] for name in ("detect_to_submit", "finality_wait")},
        )
        self.counts = {"danger": 1}


def exposition(kept: Kept | None = None) -> str:
    """What an engine with these figures answers."""
    metrics = Metrics(
        kept or Kept(), lambda: {("1 webhook", "delivered"): 2}, version="1.0", is_dry_run=False
    )
    return metrics.render().decode()


def families() -> dict[str, Metric]:
    """The metrics by their names."""
    return {family.name: family for family in text_string_to_metric_families(exposition())}


def samples() -> dict[str, list[dict[str, str]]]:
    """The labels of each sample, by the sample's name."""
    found: dict[str, list[dict[str, str]]] = {}
    for family in families().values():
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample.labels)
    return found


def metrics_in(query: str) -> set[str]:
    """The names of the metrics that a query reads."""
    bare = re.sub(r'"[^"]*"', "", query)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\bby\s*\([^)]*\)", " ", bare)
    words = re.findall(r"(?<![\w.])[a-zA-Z_:][\w:]*", bare)
    return {word for word in words if word not in _WORDS}


def wrong_matchers(query: str) -> list[str]:
    """Matchers of labels, or of values, that the metric never has."""
    known = samples()
    wrong = []
    for name, inside in _SELECTOR.findall(query):
        for label, operator, value in _MATCHER.findall(inside):
            if label in SCRAPED:
                continue
            values = {labels.get(label) for labels in known.get(name, [])}
            wanted = set(value.split("|")) if operator == "=~" else {value}
            if not wanted <= values:
                wrong.append(f'{name}{{{label}{operator}"{value}"}}')
    return wrong
