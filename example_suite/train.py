"""Train the small character-level GPT-2 that the example suite evaluates, and write it to ``model/``.

    python example_suite/train.py

It takes about four minutes on two CPU cores and is reproducible on one machine: the seed is fixed. Problems
with `Problem.is_held_out` are never seen in training; neither is any number of four digits.
"""

import json
import math
import random
import time
from pathlib import Path

import torch
from arithmetic import OPERATIONS, TRAINED_DIGITS, Problem, draw
from transformers import GPT2Config, GPT2LMHeadModel

MODEL = Path(__file__).parent / "model"
VOCABULARY = "0123456789+-=\n "  # "\n" ends an answer, " " pads
LONGEST = len("999+999=1998\n")
STEPS, BATCH, LEARNING_RATE, WARMUP = 3000, 128, 2e-3, 100
SHORT_FIRST = 0.15  # share of the steps that see one and two digits only: the longer ones are learnt sooner then
WEIGHTS = (2, 3, 8)  # how often an operand has one, two, three digits


def encode(text: str) -> list[int]:
    """Return the token of each character."""
    return [VOCABULARY.index(character) for character in text]


def training_batch(rng: random.Random, digits: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw problems of up to so many digits that are not held out; the loss counts answers only."""
    inputs, labels = [], []
    while len(inputs) < BATCH:
        left_digits, right_digits = rng.choices(TRAINED_DIGITS[:digits], WEIGHTS[:digits], k=2)
        problem: Problem = draw(rng, rng.choice(list(OPERATIONS)), left_digits, right_digits)
        if problem.is_held_out:
            continue
        answer = encode(problem.answer + "\n")
        padding = LONGEST - len(problem.prompt) - len(answer)
        inputs.append(encode(problem.prompt) + answer + encode(" ") * padding)
        labels.append([-100] * len(problem.prompt) + answer + [-100] * padding)
    return torch.tensor(inputs), torch.tensor(labels)


def main() -> None:
    """Train and save."""
    rng = random.Random(0)
    torch.manual_seed(0)
    end, padding = VOCABULARY.index("\n"), VOCABULARY.index(" ")
    config = GPT2Config(
        vocab_size=len(VOCABULARY),
        n_positions=24,
        n_embd=96,
        n_layer=3,
        n_head=4,
        initializer_range=0.08,  # at the usual 0.02 so small a model learns far more slowly
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=None,
        eos_token_id=end,
        pad_token_id=padding,
    )
    model = GPT2LMHeadModel(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.01, betas=(0.9, 0.98))

    def rate(step: int) -> float:
        return min(1.0, (step + 1) / WARMUP) * 0.5 * (1 + math.cos(math.pi * step / STEPS))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    started = time.perf_counter()
    for step in range(STEPS):
        inputs, labels = training_batch(rng, digits=2 if step < SHORT_FIRST * STEPS else 3)
        loss = model(input_ids=inputs, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 200 == 0 or step == STEPS - 1:
            print(f"step {step}: loss {loss.item():.3f}, {time.perf_counter() - started:.0f} s", flush=True)
    model.save_pretrained(MODEL)
    (MODEL / "vocabulary.json").write_text(json.dumps(list(VOCABULARY)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
