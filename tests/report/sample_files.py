"""Files that the tests of the sample wrote: figures, tables, and one that is gone."""

from __future__ import annotations

import hashlib
import math
import random
from pathlib import Path
from typing import Any

from pytest_modal.report.record import ArtifactEntry


def write_files(root: Path) -> list[ArtifactEntry]:
    """Write the files of the sample below `root` and return what a record says of them; one is missing."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    entries: list[ArtifactEntry] = []

    def note(path: str, test: str, kind: str) -> None:
        content = (root / path).read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        entries.append({"path": path, "test": test, "kind": kind, "bytes": len(content), "sha256": digest})

    def draw(path: str, test: str, title: str, **options: Any) -> None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        rng = random.Random(path)
        with plt.rc_context(
            {"axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.3}
        ):
            figure, axes = plt.subplots(figsize=(4.4, 3.2), layout="constrained")
            for seed, marker in enumerate("os^"):
                points = [3.2 * math.exp(-step / 9) + 0.4 + rng.uniform(-0.06, 0.06) for step in range(30)]
                axes.plot(points, marker=marker, markersize=3, label=f"seed {seed}")
            axes.set(title=title, xlabel="step (hundreds)", ylabel="loss (nats)")
            axes.legend(frameon=False)
            figure.savefig(root / path, **options)
            plt.close(figure)
        note(path, test, "figure")

    def table(path: str, test: str, rows: list[str]) -> None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("\n".join(rows) + "\n", encoding="utf-8")
        note(path, test, "csv")

    training = "evals/test_training.py::test_loss_falls"
    draw("test_training/test_loss_falls/loss.png", training, "Loss of three seeds", dpi=150)
    draw("test_training/test_loss_falls/loss-by-token.svg", training, "Loss by token")
    draw("test_training/test_loss_falls/loss.pdf", training, "Loss of three seeds")
    rng = random.Random(1)
    rows = []
    for step in range(300):
        loss, rate = 3.2 * math.exp(-step / 90) + 0.4 + rng.uniform(-0.05, 0.05), 0.001 - step / 3e5
        rows.append(f"{step},{loss:.5f},{rate:.6f},{step % 7 == 0},seed {step % 3}")
    table("test_training/test_loss_falls/loss.csv", training, ["step,loss,learning_rate,evaluated,run", *rows])
    calibration = "evals/test_calibration.py::test_calibration_error_is_small"
    draw("test_calibration/test_calibration_error_is_small/reliability.png", calibration, "Reliability", dpi=110)
    bins = [
        f"{index / 10:.1f},{index / 10 + rng.uniform(-0.2, 0.05):.3f},{rng.randint(20, 400)}" for index in range(10)
    ]
    table(
        "test_calibration/test_calibration_error_is_small/bins.csv", calibration, ["confidence,accuracy,count", *bins]
    )
    gone: ArtifactEntry = {
        "path": "test_calibration/test_calibration_error_is_small/gone.png",
        "test": calibration,
        "kind": "figure",
        "bytes": 18_200,
        "sha256": "",
    }
    return [*entries, gone]
