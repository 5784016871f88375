"""The pattern that the rules teach: its good code is clean, its bad code is found at its lines."""

from __future__ import annotations

import pytest

from pytest_modal.checks.engine import check_source
from pytest_modal.checks.script.source import parse

GOOD_SCRIPT = '''\
import modal
import os

# 1. Create Modal app
app = modal.App("my-experiment")

# 2. Define image with ONLY the packages needed for GPU computation
image = modal.Image.debian_slim().pip_install(
    "transformers",
    "torch",
    "numpy"
)

# 3. Modal functions return DATA, not files
@app.function(gpu="T4", timeout=1800, image=image)
def run_model_evaluation(problems):
    """Run GPU computation and return results as data structures.

    NO file I/O here - just return the data!
    """
    import torch
    from transformers import GPT2LMHeadModel, GPT2Tokenizer

    # Load model (happens on GPU)
    tokenizer = GPT2Tokenizer.from_pretrained("gpt2")
    model = GPT2LMHeadModel.from_pretrained("gpt2")
    model = model.to("cuda")

    # Run computation
    results = []
    for problem in problems:
        # ... do inference ...
        results.append({
            "input": problem,
            "output": predicted_text,
            "correct": correct_answer,
            "time": inference_time
        })

    # Return data structures (lists, dicts, primitives)
    return results

# 4. Main execution: Modal for compute, local for I/O
if __name__ == "__main__":
    import pandas as pd
    import matplotlib.pyplot as plt
    import time

    print("Generating test problems...")
    problems = generate_test_problems()

    print("Running evaluation on Modal GPU...")
    start = time.time()

    # This is the ONLY Modal interaction - get data back
    with app.run():
        results = run_model_evaluation.remote(problems)

    eval_time = time.time() - start
    print(f"Evaluation completed in {eval_time:.2f}s")

    # 5. ALL file I/O happens locally using output_dir
    # (output_dir is pre-defined by the research framework)

    # Save results to CSV
    df = pd.DataFrame(results)
    df.to_csv(os.path.join(output_dir, "results.csv"), index=False)
    print(f"✓ Saved results.csv")

    # Generate figures locally
    fig, ax = plt.subplots(figsize=(10, 6))
    ax.plot(df['time'])
    ax.set_xlabel("Problem")
    ax.set_ylabel("Inference Time (s)")
    plt.savefig(os.path.join(output_dir, "timing.png"), dpi=300)
    plt.close()
    print(f"✓ Saved timing.png")

    # Calculate metrics locally
    accuracy = sum(1 for r in results if r['output'] == r['correct']) / len(results)
    print(f"Final accuracy: {accuracy:.1%}")
'''

BAD = """\
# ❌ BAD: No if __name__ == "__main__" guard
import modal

app = modal.App("my-app")
image = modal.Image.debian_slim().pip_install("torch")

@app.function(gpu="T4", image=image)
def my_function(data):
    return process(data)

# This runs during Modal import and causes errors!
with app.run():  # ❌ InvalidError: Can not run an app in global scope within a container
    results = my_function.remote(data)

# ✅ CORRECT: Use if __name__ == "__main__" guard
if __name__ == "__main__":
    with app.run():
        results = my_function.remote(data)

# ❌ BAD: File I/O inside Modal function
@app.function(gpu="T4", image=image)
def bad_function(problems):
    results = run_inference(problems)

    # DON'T DO THIS - file paths won't work correctly
    pd.DataFrame(results).to_csv("results.csv")  # ❌
    plt.savefig("figure.png")  # ❌

    return results

# ❌ BAD: Multiple Modal sessions
with app.run():
    pilot = run_pilot.remote(small_set)

with app.run():  # This starts a NEW session (adds 2-3 min overhead)
    results = run_full.remote(full_set)

# ❌ BAD: Trying to pass output_dir to Modal
@app.function(gpu="T4", image=image)
def bad_function(output_dir):  # output_dir is local path!
    # This won't work - Modal container has different filesystem
    with open(os.path.join(output_dir, "file.txt"), "w") as f:
        f.write("data")
"""

GOOD_SESSION = '''\
# ✅ GOOD: Combine multiple operations in one Modal function
@app.function(gpu="T4", image=image)
def run_all_evaluations(pilot_problems, full_problems):
    """Do all GPU work in one function to avoid multiple sessions."""
    model = load_model()  # Load once

    pilot_results = [run_inference(model, p) for p in pilot_problems]
    full_results = [run_inference(model, p) for p in full_problems]

    return {
        "pilot": pilot_results,
        "full": full_results
    }

# ✅ GOOD: Single Modal session
with app.run():
    all_results = run_all_evaluations.remote(pilot_set, full_set)

# Then handle all I/O locally
save_results(all_results, output_dir)
create_figures(all_results, output_dir)
'''

GOOD_IMAGE = """\
import modal
import pandas as pd          # Used locally
import matplotlib.pyplot as plt  # Used locally

app = modal.App("experiment")

# Include ALL packages - even those only used locally!
image = modal.Image.debian_slim().pip_install(
    "transformers",
    "torch",
    "pandas",      # Must include!
    "matplotlib",  # Must include!
    "numpy"
)

@app.function(gpu="T4", timeout=1800, image=image)
def run_inference(problems):
    from transformers import GPT2LMHeadModel, GPT2Tokenizer

    # Modal caches model automatically after first download
    model = GPT2LMHeadModel.from_pretrained("gpt2")
    tokenizer = GPT2Tokenizer.from_pretrained("gpt2")

    # ... inference code ...
    return results  # Return data, not files
"""


def found(text: str) -> list[tuple[int, str]]:
    return [(finding.line, finding.code) for finding in check_source(parse(text, "pattern.py"))]


def line_of(text: str, start: str, nth: int = 0) -> int:
    return [number for number, line in enumerate(text.split("\n"), 1) if line.strip().startswith(start)][nth]


@pytest.mark.parametrize("text", [GOOD_SCRIPT, GOOD_SESSION, GOOD_IMAGE], ids=["script", "session", "image"])
def test_good_code_is_clean(text: str) -> None:
    assert found(text) == []


def test_bad_code_is_found_at_its_lines() -> None:
    first, pilot, full = (line_of(BAD, "with app.run():", nth) for nth in (0, 2, 3))
    assert found(BAD) == [
        (first, "PM103"),
        (line_of(BAD, "pd.DataFrame(results).to_csv"), "PM101"),
        (line_of(BAD, "plt.savefig"), "PM101"),
        (pilot, "PM103"),
        (pilot, "PM104"),
        (full, "PM103"),
        (full, "PM104"),
        (line_of(BAD, "def bad_function(output_dir)"), "PM102"),
        (line_of(BAD, "with open("), "PM101"),
    ]


def parts(text: str) -> list[str]:
    """Split a block at its headings; what the first part binds is known in each."""
    starts = [number for number, line in enumerate(text.split("\n")) if line.startswith(("# ❌ BAD", "# ✅"))]
    lines = text.split("\n")
    return ["\n".join(lines[start:end]) for start, end in zip(starts, [*starts[1:], len(lines)], strict=True)]


PRELUDE = 'import modal\napp = modal.App("my-app")\nimage = modal.Image.debian_slim().pip_install("torch")\n'


@pytest.mark.parametrize(
    ("part", "codes"),
    [
        (0, {"PM103"}),
        (1, set()),
        (2, {"PM101"}),
        (3, {"PM103", "PM104"}),
        (4, {"PM101", "PM102"}),
    ],
)
def test_each_part_shows_its_own_mistake(part: int, codes: set[str]) -> None:
    text = parts(BAD)[part]
    own = text if part == 0 else PRELUDE + text
    assert {code for _, code in found(own)} == codes
