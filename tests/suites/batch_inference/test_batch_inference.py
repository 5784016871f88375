"""Batch inference over four GPUs: a list is split over up to four containers, and joined here in its order.

Each container loads the model once. What must not depend on how many there are is compared with a pilot that one of
them computes alone.
"""

from __future__ import annotations

import random
from itertools import accumulate, chain
from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd
import pytest

import pytest_modal

TOPICS = {
    "space": "orbit rocket planet comet launch crater telescope eclipse",
    "kitchen": "oven butter whisk simmer garlic pastry skillet recipe",
    "court": "verdict appeal judge lawyer clause witness hearing jury",
}
BATCH, BUCKETS = 32, 4096
COMMON = ["the", "of", "and", "a", "in", "that", "it", "was", "for", "on"]


@pytest.fixture(scope="session")
def documents() -> list[dict[str, str]]:
    """Short texts on three topics, in no order."""
    rng = random.Random(0)
    rows = []
    for number in range(240):
        topic = rng.choice(list(TOPICS))
        words = rng.choices(TOPICS[topic].split(), k=5) + rng.choices(COMMON, k=6)
        rows.append({"id": f"doc-{number}", "topic": topic, "text": " ".join(rng.sample(words, len(words)))})
    return rows


@pytest.fixture(scope="session")
def pilot_documents(documents: list[dict[str, str]]) -> list[dict[str, str]]:
    """A few of them, from everywhere."""
    return documents[::40]


@pytest_modal.fixture(scope="container", gpu="T4", timeout=600)
def encoder() -> Any:
    """The mean of random vectors, one a word: texts that share words are near."""
    import torch

    torch.manual_seed(0)
    return torch.nn.EmbeddingBag(BUCKETS, 64).to("cuda" if torch.cuda.is_available() else "cpu").eval()


def embed(encoder: Any, documents: list[dict[str, str]]) -> list[dict[str, Any]]:
    """Return one row a document, computed in batches."""
    import torch

    rows = []
    for start in range(0, len(documents), BATCH):
        batch = documents[start : start + BATCH]
        tokens = [[crc32(word.encode()) % BUCKETS for word in each["text"].split()] for each in batch]
        offsets = accumulate(map(len, tokens[:-1]), initial=0)
        inputs = [torch.tensor([*each], device=encoder.weight.device) for each in (chain(*tokens), offsets)]
        with torch.inference_mode():
            rows += [{"id": each["id"], "embedding": one} for each, one in zip(batch, encoder(*inputs), strict=True)]
    return rows


@pytest_modal.fixture(scope="session", shard="documents", max_containers=4)
def embeddings(encoder: Any, documents: list[dict[str, str]]) -> list[dict[str, Any]]:
    """All documents, a part of them in each container."""
    return embed(encoder, documents)


@pytest_modal.fixture(max_containers=4)
def pilot(encoder: Any, pilot_documents: list[dict[str, str]]) -> list[dict[str, Any]]:
    """A few documents, in one container."""
    return embed(encoder, pilot_documents)


def test_parts_are_joined_in_order(embeddings: Any, documents: Any) -> None:
    assert [row["id"] for row in embeddings] == [row["id"] for row in documents]


def test_splitting_changes_no_embedding(embeddings: Any, pilot: Any) -> None:
    by_id = {row["id"]: row["embedding"] for row in embeddings}
    for row in pilot:
        np.testing.assert_allclose(by_id[row["id"]], row["embedding"], rtol=1e-5, err_msg=row["id"])


def test_neighbours_share_the_topic(embeddings: Any, documents: Any, save_csv: Any) -> None:
    vectors = np.array([row["embedding"] for row in embeddings])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -1)
    table = pd.DataFrame(documents).assign(neighbour=similarity.argmax(axis=1))
    table["found"] = table.topic.to_numpy()[table.neighbour]
    save_csv("neighbours.csv", table)
    assert (table.found == table.topic).mean() > 0.9
