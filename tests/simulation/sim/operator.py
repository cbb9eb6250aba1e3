"""The operator: stops and resumes, retries, dismisses and clears, leaves a stop as a file, asks it to end."""

from __future__ import annotations

import json
from random import Random
from typing import TYPE_CHECKING

from engine.commands import CommandError
from engine.control import Gate, GateState
from engine.stopping.sentinel import Cause
from sim.observer import WHOLE

if TYPE_CHECKING:
    from sim.life import Life
    from sim.world import World

LOOK_S = 0.5


class Operator:
    """One person, who outlives every process; `wants_stop` is what they last decided."""

    def __init__(self, world: World, random: Random) -> None:
        self._world = world
        self._random = random
        self._plan = world.plan
        self.wants_stop = False
        self._may_be_forgotten = False
        self.stopped_version = 0  # of the newest stop that the disk or a process had
        # Whether a stop is lifted once everything else is in order, or stays.
        self.resumes = random.random() < 0.75
        self._is_resuming = False

    # --- what happens to the gate ---

    def on_gate_loaded(self, gate: Gate) -> None:
        """A process started: what it found on the disk is in force."""
        found = gate.state
        self._world.timeline.note(f"gate found {found.state} {found.version} by {found.by}: {found.reason}")
        if self._may_be_forgotten and gate.state.is_running:
            # It was said with the acknowledgement that this may happen.
            self._world.observer.stop_lifted()
            self._world.observer.count("a stop that was not on disk was forgotten")
        if found.is_running and found.by == "operator" and found.version > self.stopped_version:
            # A resume reached the disk, and then the process died before it could tell.
            self._world.observer.stop_lifted()
        self._may_be_forgotten = False
        self.stopped_version = max(self.stopped_version, 0 if found.is_running else found.version)
        gate.listen(self._on_change)
        if not gate.state.is_running and not self._world.observer.is_stopped:
            self._world.observer.stop_acknowledged(f"found at the start: {gate.state.reason}")

    def _on_change(self, state: GateState) -> None:
        self._world.timeline.note(f"gate {state.state} {state.version} by {state.by}")
        if not state.is_running:
            self.stopped_version = state.version
        if state.is_running:
            self._world.observer.stop_lifted()
        elif state.by == "engine":
            self._world.observer.stop_acknowledged(state.reason)
            if state.reason.startswith(Cause.BUDGET.value):
                self._world.observer.count("fee budget is small")
            else:  # nobody else has the key here, and nothing is broken on purpose
                self._world.observer.blame(WHOLE, f"it stopped itself: {state.reason}")

    # --- what the operator does ---

    def look(self) -> None:
        """Now and then the operator does something."""
        life = self._world.life
        if self._world.is_calm:
            self._settle(life)
            return
        random, plan = self._random, self._plan
        if random.random() < 0.12 * plan.intensity("operator stops"):
            self._stop(life)
        elif random.random() < 0.1 * plan.intensity("stop is left as a file"):
            self._leave_file(life)
        elif random.random() < 0.2 * plan.intensity("operator meddles"):
            self._meddle(life)
        elif random.random() < 0.08 * plan.intensity("process is restarted") and life and life.is_ready:
            self._world.observer.count("process is restarted")
            life.ending.set()
        elif random.random() < 0.15:
            self._resume(life)

    def _settle(self, life: Life | None) -> None:
        """Trouble is over: an operator who resumes at all does it now."""
        if self.resumes:
            self._resume(life)

    def _stop(self, life: Life | None) -> None:
        if life is None or life.parts is None:
            self._leave_file(life)
            return
        self._world.observer.count("operator stops")
        life.loop.create_task(self._press(life))

    async def _press(self, life: Life) -> None:
        assert life.parts is not None
        told = await life.parts.commands.stop("operator", "simulated")
        self._world.observer.stop_acknowledged("stop")
        self._may_be_forgotten = "NOT YET ON DISK" in told
        if self._may_be_forgotten:
            self._world.observer.count("a stop was not on disk in time")

    def _leave_file(self, life: Life | None) -> None:
        """As `liquidation-engine stop` does when nobody answers."""
        path = self._world.standing_stop
        if path.exists():
            return
        self._world.observer.count("stop is left as a file")
        path.write_text(json.dumps({"by": "operator", "at_ns": 0, "reason": "left as a file"}))
        if life is None or life.parts is None:
            self._world.observer.stop_acknowledged("a stop that was left while no engine ran")
            return
        parts = life.parts

        def notice() -> None:
            if life.is_alive and parts.gate.may_open:
                life.loop.create_task(parts.commands.emergency.press("operator", "left as a file"))

        # The engine looks for the file fifty times a second, in a thread of its own.
        self._world.timeline.after(self._random.uniform(0.0, 0.025), notice)

    def _resume(self, life: Life | None) -> None:
        if life is None or life.parts is None or self._is_resuming or life.parts.gate.state.is_running:
            return
        self._is_resuming = True
        life.loop.create_task(self._lift(life)).add_done_callback(lambda _: self._rest())

    def _rest(self) -> None:
        self._is_resuming = False

    async def _lift(self, life: Life) -> None:
        assert life.parts is not None
        version = life.parts.gate.state.version
        try:
            await life.parts.commands.resume("operator", "all is well", version)
        except CommandError as refusal:
            self._world.observer.count(f"resume refused: {refusal.code}")
        else:
            self._world.observer.count("operator resumes")

    def _meddle(self, life: Life | None) -> None:
        if life is None or life.parts is None:
            return
        self._world.observer.count("operator meddles")
        life.loop.create_task(self._command(life))

    async def _command(self, life: Life) -> None:
        parts = life.parts
        assert parts is not None
        failed = parts.failures.rows
        try:
            if failed and self._random.random() < 0.5:
                self._world.observer.count("operator retries")
                await parts.commands.retry("operator", failed[0].liquidation_id)
            elif failed and self._random.random() < 0.5:
                self._world.observer.count("operator dismisses")
                await parts.commands.dismiss("operator", failed[0].liquidation_id)
            else:
                self._world.observer.count("operator clears the queue")
                await parts.commands.clear_queue("operator")
        except CommandError:
            return

    def after_death(self) -> None:
        """The process is gone, and whatever the operator was waiting for with it."""
        self._is_resuming = False
        life = self._world.life
        if life is not None and life.parts is not None:
            gate = life.parts.gate
            # The engine's own stop has told nobody that it holds before it is on the disk.
            self._may_be_forgotten |= gate.state.by == "engine" and not gate.is_persisted


def damage_gate(world: World, random: Random) -> None:
    """While no engine runs, its gate file is lost or spoilt; once in a run, when there is a history."""
    likely = world.plan.intensity("gate file is damaged")
    if not likely or random.random() >= likely or world.is_gate_damaged or not world.gate_file.exists():
        return
    if not world.observer.has_history:
        return  # a first start knows of nothing that could be missing
    world.is_gate_damaged = True
    world.operator.stopped_version = 0  # whatever was kept is gone: versions begin anew
    world.observer.count("gate file is damaged")
    if random.random() < 0.5:
        world.gate_file.unlink()
    else:
        world.gate_file.write_bytes(random.choice((b"", b"{}", b"\0" * 64)))
    world.observer.stop_acknowledged("the gate file is damaged")
