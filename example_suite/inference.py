"""What runs on the GPU besides the fixtures: what it needs of this folder travels with it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

LONGEST_ANSWER = 7


def by_length(problems: list[dict[str, Any]], batch: int) -> Iterator[list[int]]:
    """Group problems whose prompts have one length: without padding a batch gives what single problems give."""
    order = sorted(range(len(problems)), key=lambda index: (len(problems[index]["input"]), index))
    group: list[int] = []
    for index in order:
        if group and (len(group) == batch or len(problems[group[0]]["input"]) != len(problems[index]["input"])):
            yield group
            group = []
        group.append(index)
    if group:
        yield group


def answer_all(model: Any, problems: list[dict[str, Any]], batch: int = 256) -> list[dict[str, Any]]:
    """Decode greedily; return one row a problem, in their order, with the seconds of its share of a batch."""
    import time

    import torch

    network, vocabulary = model
    rows: list[Any] = [None] * len(problems)
    for group in by_length(problems, batch):
        tokens = [[vocabulary.index(character) for character in problems[index]["input"]] for index in group]
        inputs = torch.tensor(tokens, device=network.device)
        started = time.perf_counter()
        with torch.inference_mode():
            outputs = network.generate(
                inputs,
                attention_mask=torch.ones_like(inputs),
                max_new_tokens=LONGEST_ANSWER,
                do_sample=False,
            )
        generated = outputs[:, inputs.shape[1] :].tolist()
        seconds = (time.perf_counter() - started) / len(group)
        for index, ids in zip(group, generated, strict=True):
            text = "".join(vocabulary[token] for token in ids).split("\n")[0].strip()
            rows[index] = {**problems[index], "output": text, "time": seconds}
    return rows


def answer_logits(model: Any, problems: list[dict[str, Any]], batch: int = 256) -> dict[str, Any]:
    """Return the logits of each character of the true answers.

    Returns
    -------
    dict
        ``logits``: array (problems, LONGEST_ANSWER, vocabulary); ``targets``: array (problems,
        LONGEST_ANSWER) of tokens, -1 where the answer has ended.
    """
    import numpy as np
    import torch

    network, vocabulary = model
    end = vocabulary.index("\n")
    logits = np.full((len(problems), LONGEST_ANSWER, len(vocabulary)), math.nan, dtype=np.float32)
    targets = np.full((len(problems), LONGEST_ANSWER), -1, dtype=np.int64)
    for group in by_length(problems, batch):
        prompts = [[vocabulary.index(character) for character in problems[index]["input"]] for index in group]
        answers = [[*map(vocabulary.index, problems[index]["correct"]), end] for index in group]
        longest = max(map(len, answers))
        padded = [answer + [end] * (longest - len(answer)) for answer in answers]
        rows = [prompt + answer for prompt, answer in zip(prompts, padded, strict=True)]
        inputs = torch.tensor(rows, device=network.device)
        with torch.inference_mode():
            # What stands at a position predicts the next character.
            logits_of_all = network(inputs, attention_mask=torch.ones_like(inputs)).logits
        predicted = logits_of_all[:, len(prompts[0]) - 1 : -1].float().cpu().numpy()
        for row, (index, answer) in enumerate(zip(group, answers, strict=True)):
            logits[index, : len(answer)] = predicted[row, : len(answer)]
            targets[index, : len(answer)] = answer
    return {"logits": logits, "targets": targets}
