"""Runs one seed again and prints its trace: `python tests/simulation/replay.py 1234`."""

from __future__ import annotations

import argparse
import sys

from sim.swarm import draw
from sim.world import simulate


def main() -> int:
    """0 when no promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seed", type=int)
    parser.add_argument("--quiet", action="store_true", help="no trace")
    parser.add_argument("--bug", help="plant one of the bugs of tests/simulation/bugs first")
    arguments = parser.parse_args()
    verdict = simulate(arguments.seed, bug=arguments.bug, keep_lines=not arguments.quiet)
    for line in verdict.lines or ():
        print(line)
    print(draw(arguments.seed))
    print(dict(verdict.counts))
    print(f"{verdict.virtual_s:.1f} s  {verdict.digest}")
    for violation in verdict.violations:
        print(f"{violation.at_s:.3f} s  {violation.invariant}: {violation.what}")
    return 1 if verdict.violations else 0


if __name__ == "__main__":
    sys.exit(main())
