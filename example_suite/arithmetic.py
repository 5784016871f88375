"""Arithmetic problems: what they look like, how they are drawn, which of them training never sees."""

import hashlib
import random
from dataclasses import dataclass

OPERATIONS = {"addition": "+", "subtraction": "-"}
TRAINED_DIGITS = (1, 2, 3)
EVALUATED_DIGITS = (1, 2, 3, 4)


@dataclass(frozen=True)
class Problem:
    """One sum or difference of two numbers; a difference is never negative.

    ``carries`` counts the columns that carry (addition) or borrow (subtraction).
    """

    operation: str
    left: int
    right: int

    @property
    def prompt(self) -> str:
        return f"{self.left}{OPERATIONS[self.operation]}{self.right}="

    @property
    def answer(self) -> str:
        return str(self.left + self.right if self.operation == "addition" else self.left - self.right)

    @property
    def carries(self) -> int:
        # A column carries where the digits of the result sum to less than those of the operands: each carry
        # trades ten units of one column for one of the next, so the digit sum falls by nine. A borrow is the
        # carry of adding the difference back to what was taken away.
        if self.operation == "addition":
            total, parts = self.left + self.right, (self.left, self.right)
        else:
            total, parts = self.left, (self.right, self.left - self.right)
        return (sum(map(digit_sum, parts)) - digit_sum(total)) // 9

    @property
    def is_held_out(self) -> bool:
        """Whether training never sees the problem: one in ten of those with an operand above 9.

        The hash ignores the order of the operands, or ``12+34`` could be learnt from ``34+12``. The few
        problems with two one-digit operands are all trained on and all evaluated.
        """
        if max(self.left, self.right) < 10:
            return False
        low, high = sorted((self.left, self.right))
        key = f"{low}{OPERATIONS[self.operation]}{high}"
        return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4]) % 10 == 0


def digit_sum(number: int) -> int:
    """Add up the decimal digits of a number."""
    return sum(map(int, str(number)))


def draw(rng: random.Random, operation: str, left_digits: int, right_digits: int) -> Problem:
    """Draw one problem, uniformly among the operands of the given lengths."""
    left, right = (
        rng.randrange(10 ** (digits - 1) if digits > 1 else 0, 10**digits) for digits in (left_digits, right_digits)
    )
    if operation == "subtraction" and left < right:
        left, right = right, left
    return Problem(operation, left, right)
