"""Whether the engine has recovered from its troubles, or says why it has not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.stopping.sentinel import Cause
from sim.observer import RECOVERS

if TYPE_CHECKING:
    from sim.world import World


class Ending:
    """Looked at with each slot once it is calm."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.is_over = False

    def look(self) -> None:
        """End the run when nothing is left to do."""
        life = self._world.life
        if life is None or not life.is_ready or not life.is_alive:
            return
        if not self.unfinished():
            self.is_over = True
            self._world.timeline.note("recovered")
            life.loop.stop()

    def unfinished(self) -> list[str]:
        """What the engine has not finished, and gives no reason for."""
        world, life = self._world, self._world.life
        if life is None or life.parts is None or life.shipper is None:
            return ["no engine runs"]
        found = []
        journal = life.parts.journal
        if intents := journal.open_intents():
            found.append(f"open intents: {[str(each.signature)[:8] for each in intents]}")
        if journal.backlog():
            found.append(f"{journal.backlog()} records are not shipped")
        if not life.parts.gate.state.is_running:
            says_why = any(
                check.name == "fees" and not check.ok for check in life.parts.commands.resume_checks()
            )
            says_why |= life.parts.gate.state.reason.startswith(Cause.BUDGET.value)
            waits = world.operator.resumes and not says_why
            return [*found, "the operator is about to resume"] if waits else found
        if life.parts.funds.why_short():
            return found  # it says so, and goes on by itself once it is funded
        if waiting := [each.stage.value for each in life.parts.queue]:
            found.append(f"in the queue: {waiting}")
        if found:
            return found  # who is liquidatable takes longer to say
        excused = {failed.position for failed in life.parts.failures.rows}
        left = [each for each in world.market.liquidatable() if each.address not in excused]
        if left:
            found.append(f"liquidatable: {[str(each.address)[:8] for each in left]}")
        return found

    def judge(self) -> None:
        """The verdict at the end."""
        world = self._world
        if not self.is_over:
            reasons = self.unfinished()
            world.observer.blame(RECOVERS, "; ".join(reasons) or "it did not settle")
        world.observer.judge_records(world.tables.rows["insert_liquidation"])
