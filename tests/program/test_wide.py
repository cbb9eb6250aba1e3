"""The 256-bit integers are exact, each operation alone in the VM, with limbs that carry and borrow."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from solders.instruction import Instruction
from solders.pubkey import Pubkey

from engine.sandbox.program.build import COMPILER, FLAGS, FOLDER
from engine.sandbox.program.linker import link

pytestmark = pytest.mark.skipif(
    shutil.which(COMPILER) is None, reason="the Debian package clang-19 is not installed"
)

PROBE = Pubkey.from_bytes(bytes([77] * 32))
# data: operation, signs, left, right; answer: sign, 256-bit result, remainder.
PROBE_SOURCE = """
#include "input.h"
#include "wide.h"
extern void sol_set_return_data(const u8 *data, u64 length);

u64 entrypoint(const u8 *input) {
    Call call;
    SignedWide left, right;
    u64 remainder = 0;
    read_call(input, &call);
    for (u64 i = 0; i < 4; i++) {
        left.magnitude.limb[i] = read_number(call.data + 3 + 8 * i, 8);
        right.magnitude.limb[i] = read_number(call.data + 35 + 8 * i, 8);
    }
    left.is_negative = call.data[1];
    right.is_negative = call.data[2];
    u8 operation = call.data[0];
    u64 small = right.magnitude.limb[0];
    if (operation == '+') {
        wide_add(&left.magnitude, &right.magnitude);
    } else if (operation == '-') {
        wide_subtract(&left.magnitude, &right.magnitude);
    } else if (operation == '*') {
        wide_scale(&left.magnitude, small);
    } else if (operation == '/') {
        remainder = wide_divide(&left.magnitude, small);
    } else if (operation == 'u') {
        wide_divide_up(&left.magnitude, small);
    } else if (operation == 'a') {
        signed_add(&left, &right);
    } else if (operation == 'd') {
        signed_divide_up(&left, small);
    } else if (operation == '<') {
        remainder = (u64)(wide_compare(&left.magnitude, &right.magnitude) + 1);
    } else {
        return 1;
    }
    u8 answer[41];
    answer[0] = left.is_negative;
    for (u64 i = 0; i < 4; i++) {
        write_number(answer + 1 + 8 * i, left.magnitude.limb[i], 8);
    }
    write_number(answer + 33, remainder, 8);
    sol_set_return_data(answer, sizeof(answer));
    return 0;
}
"""

EDGES = (
    0,
    1,
    2,
    10**9,
    2**31,
    2**32 - 1,
    2**32,
    2**32 + 1,
    2**63 - 1,
    2**63,
    2**64 - 2**32,
    2**64 - 2,
    2**64 - 1,
)
limbs = st.one_of(st.sampled_from(EDGES), st.integers(0, 2**64 - 1))
divisors = limbs.map(lambda limb: limb or 3)
thorough = settings(max_examples=400, deadline=None, database=None, derandomize=True)


@st.composite
def wides(draw: st.DrawFn, most_limbs: int = 4) -> int:
    parts = [draw(limbs) for _ in range(draw(st.integers(1, most_limbs)))]
    return sum(limb << (64 * i) for i, limb in enumerate(parts))


signed = st.builds(lambda magnitude, sign: sign * magnitude, wides(3), st.sampled_from((1, -1)))


@dataclass(frozen=True)
class Answer:
    """What the probe made of its operands."""

    value: int
    is_negative: bool
    remainder: int

    @property
    def signed(self) -> int:
        assert not (self.is_negative and self.value == 0), "zero is never negative"
        return -self.value if self.is_negative else self.value


Ask = Callable[[str, int, int], Answer]


@pytest.fixture(scope="module")
def ask(new_chain: Callable[[], Any], tmp_path_factory: pytest.TempPathFactory) -> Ask:
    """Runs one operation of wide.h in the VM."""
    folder: Path = tmp_path_factory.mktemp("probe")
    (folder / "probe.c").write_text(PROBE_SOURCE)
    flags = [*FLAGS, f"-I{FOLDER}"]
    subprocess.run([COMPILER, *flags, "-c", "probe.c", "-o", "probe.o"], cwd=folder, check=True)
    chain = new_chain()
    chain.svm.add_program(PROBE, link((folder / "probe.o").read_bytes()))

    def run(operation: str, left: int, right: int) -> Answer:
        operands = abs(left).to_bytes(32, "little") + abs(right).to_bytes(32, "little")
        data = operation.encode() + bytes([left < 0, right < 0]) + operands
        answer = chain.succeed(Instruction(PROBE, data, [])).return_data.ljust(41, b"\0")
        return Answer(
            int.from_bytes(answer[1:33], "little"), bool(answer[0]), int.from_bytes(answer[33:], "little")
        )

    return run


@thorough
@given(left=wides(), right=wides())
def test_sums_differences_and_comparisons_carry_through_every_limb(ask: Ask, left: int, right: int) -> None:
    high, low = max(left, right), min(left, right)
    assert ask("+", left, right).value == (left + right) % 2**256
    assert ask("-", high, low).value == high - low
    assert ask("<", left, right).remainder == (left > right) - (left < right) + 1


@thorough
@given(left=wides(3), factor=limbs)
def test_a_product_carries_through_every_limb(ask: Ask, left: int, factor: int) -> None:
    assert ask("*", left, factor).value == left * factor


@thorough
@given(left=wides(), divisor=divisors)
def test_a_quotient_and_its_remainder_are_exact(ask: Ask, left: int, divisor: int) -> None:
    answer = ask("/", left, divisor)
    assert (answer.value, answer.remainder) == divmod(left, divisor)
    if left < 2**256 - 1:
        assert ask("u", left, divisor).value == -(-left // divisor)


@thorough
@given(left=signed, right=signed, divisor=divisors)
def test_signs_are_kept_and_zero_has_none(ask: Ask, left: int, right: int, divisor: int) -> None:
    assert ask("a", left, right).signed == left + right
    assert ask("a", left, -left).signed == 0
    assert ask("d", left, divisor).signed == -(-left // divisor)


@pytest.mark.parametrize("right", [2**64 - 1, 2**128 - 1])
def test_a_carry_into_a_full_limb_is_not_lost(ask: Ask, right: int) -> None:
    """Random operands nearly never meet these: a full limb that receives a carry."""
    assert ask("+", 2**192 - 1, right).value == 2**192 - 1 + right
    assert ask("-", 2**192, right).value == 2**192 - right
    full = 2**64 - 1
    for factor in (3, 2**32 + 1, full):
        low_that_fills = pow(factor, -1, 2**64) * full % 2**64
        left = low_that_fills << 64 | full
        assert ask("*", left, factor).value == left * factor
