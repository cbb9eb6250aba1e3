"""Which alerts are on: rules judge the engine's figures, and what holds long enough starts or ends an alert.

Nothing here waits, asks a clock or tells anybody: figures and their times go in, alerts that started or ended
come out. How long something holds is counted on the monotonic clock; when it began is of the Unix clock.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from engine.api.clean import clean
from engine.telemetry.figures import Figures

HISTORY = 100  # alerts that ended
SUBJECTS = 50  # of one rule: what it says of more of them is not told one by one
TEXT_LIMIT = 160
NAME_LIMIT = 60
WINDOW_S = 300
SAMPLE_S = 5
CLEAR_S = 10.0


class Severity(StrEnum):
    """How urgent an alert is: DANGER is for a person, now."""

    INFO = "info"
    WARNING = "warning"
    DANGER = "danger"


URGENCY = {Severity.DANGER: 0, Severity.WARNING: 1, Severity.INFO: 2}
"""The most urgent first."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a rule is given: the figures now, those of up to five minutes ago, what has an alert already."""

    now: Figures
    before: Figures
    firing: frozenset[str]

    def is_on(self, subject: str) -> bool:
        """Whether the rule has an alert on this subject already."""
        return subject in self.firing


Judge = Callable[[Look], Mapping[str, str] | None]
"""What is wrong, in words, by subject ("" where there is only one). None: not known, and nothing changes."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What is told as an alert once it held for `for_s`; it ends when it was gone for `clear_s`."""

    name: str
    severity: Severity
    judge: Judge
    for_s: float = 0.0
    clear_s: float = CLEAR_S


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One alert from its start to its end, in nanoseconds of the Unix clock; its number is used once."""

    number: int
    rule: str
    subject: str
    severity: Severity
    text: str
    since_ns: int
    acknowledged_by: str | None = None
    acknowledged_ns: int | None = None
    ended_ns: int | None = None


class UnknownAlert(LookupError):
    """No alert that is on has this number."""


class _Kept(msgspec.Struct, frozen=True):
    """What survives a restart."""

    next_number: int
    active: list[Alert]
    ended: list[Alert]


@dataclass(slots=True)
class _State:
    """One rule on one subject."""

    alert: Alert | None = None
    wrong_since_ns: int | None = None  # monotonic
    right_since_ns: int | None = None


class AlertBoard:
    """The alerts that are on, and the last hundred that were."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = tuple(rules)
        self._states: dict[tuple[str, str], _State] = {}
        self._ended: deque[Alert] = deque(maxlen=HISTORY)
        self._samples: deque[Figures] = deque(maxlen=WINDOW_S // SAMPLE_S + 1)
        self._next_number = 1

    @property
    def active(self) -> list[Alert]:
        """Those that are on: the most urgent first, of these the newest."""
        on = [state.alert for state in self._states.values() if state.alert is not None]
        return sorted(on, key=lambda alert: (URGENCY[alert.severity], -alert.since_ns, -alert.number))

    @property
    def ended(self) -> list[Alert]:
        """Those that are over, newest first."""
        return list(reversed(self._ended))

    def judge(self, figures: Figures) -> list[Alert]:
        """Apply every rule; returns the alerts that started and, with their end, those that ended."""
        before = self._sample(figures)
        changed: list[Alert] = []
        for rule in self._rules:
            firing = frozenset(
                subject
                for (name, subject), state in self._states.items()
                if name == rule.name and state.alert is not None
            )
            wrong = rule.judge(Look(figures, before, firing))
            if wrong is not None:
                changed += self._apply(rule, wrong, firing, figures)
        return changed

    def acknowledge(self, number: int, by: str, at_ns: int) -> Alert:
        """Note who has seen it; who was first stays. Raises UnknownAlert unless it is on."""
        for state in self._states.values():
            if state.alert is not None and state.alert.number == number:
                if state.alert.acknowledged_by is None:
                    state.alert = msgspec.structs.replace(
                        state.alert, acknowledged_by=clean(by, NAME_LIMIT), acknowledged_ns=at_ns
                    )
                return state.alert
        raise UnknownAlert(number)

    def kept(self) -> str:
        """All of it as text, for `restore`."""
        return msgspec.json.encode(_Kept(self._next_number, self.active, list(self._ended))).decode()

    def restore(self, text: str, at_ns: int) -> None:
        """Go on from `kept`: what was on stays on, and acknowledged, until its rule says that it is over.

        An alert of a rule that is no more ends at `at_ns`. Raises ValueError when it is no such text.
        """
        try:
            kept = msgspec.json.decode(text, type=_Kept)
        except msgspec.DecodeError as error:
            raise ValueError(f"not a record of alerts: {error}") from None
        self._next_number = kept.next_number
        self._ended.extend(kept.ended)
        names = {rule.name for rule in self._rules}
        for alert in kept.active:
            if alert.rule in names:
                self._states[alert.rule, alert.subject] = _State(alert)
            else:
                self._ended.append(msgspec.structs.replace(alert, ended_ns=at_ns))

    def _sample(self, figures: Figures) -> Figures:
        """Keep the figures now and then; returns the oldest of the last five minutes."""
        samples = self._samples
        if not samples or figures.monotonic_ns - samples[-1].monotonic_ns >= SAMPLE_S * 10**9:
            samples.append(figures)
        while samples[0].monotonic_ns < figures.monotonic_ns - WINDOW_S * 10**9 and len(samples) > 1:
            samples.popleft()
        return samples[0]

    def _apply(
        self, rule: Rule, wrong: Mapping[str, str], firing: frozenset[str], figures: Figures
    ) -> list[Alert]:
        """Move each subject of the rule on; what is neither wrong nor firing is forgotten."""
        changed: list[Alert] = []
        few = itertools.islice(sorted(wrong.items()), SUBJECTS)
        told = {clean(subject, NAME_LIMIT): text for subject, text in few}
        for subject, text in told.items():
            state = self._states.setdefault((rule.name, subject), _State())
            started = self._on_wrong(rule, state, subject, text, figures)
            if started is not None:
                changed.append(started)
        pending = {subject for name, subject in self._states if name == rule.name}
        for subject in sorted(pending - told.keys()):
            state = self._states[rule.name, subject]
            if subject in firing and state.alert is not None:
                changed += self._on_right(rule, state, state.alert, figures)
            if state.alert is None:
                del self._states[rule.name, subject]
        return changed

    def _on_wrong(self, rule: Rule, state: _State, subject: str, text: str, figures: Figures) -> Alert | None:
        now_ns, text = figures.monotonic_ns, clean(text, TEXT_LIMIT)
        state.right_since_ns = None
        if state.alert is not None:
            if state.alert.text != text:
                state.alert = msgspec.structs.replace(state.alert, text=text)
            return None
        if state.wrong_since_ns is None:
            state.wrong_since_ns = now_ns
        if now_ns - state.wrong_since_ns < rule.for_s * 1e9:
            return None
        state.alert = Alert(
            number=self._next_number,
            rule=rule.name,
            subject=subject,
            severity=rule.severity,
            text=text,
            since_ns=figures.at_ns - (now_ns - state.wrong_since_ns),
        )
        self._next_number += 1
        return state.alert

    def _on_right(self, rule: Rule, state: _State, alert: Alert, figures: Figures) -> list[Alert]:
        if state.right_since_ns is None:
            state.right_since_ns = figures.monotonic_ns
        if figures.monotonic_ns - state.right_since_ns < rule.clear_s * 1e9:
            return []
        ended = msgspec.structs.replace(alert, ended_ns=figures.at_ns)
        self._ended.append(ended)
        state.alert = None
        return [ended]
