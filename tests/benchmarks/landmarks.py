"""How wide β1's interval from landmarks is, and what it costs beside the exact value.

    GENCHECK_DATA=FOLDER python -m tests.benchmarks.landmarks [--items 10000] [--landmarks 500,2000]

A 784-256-256-10 network trained for two epochs on 10,000 MNIST items, audited on the same number of
its training items and of others: β1 exactly, then as an interval.
"""

import argparse
import os
from pathlib import Path

import numpy as np
import torch
from torch import nn

from gencheck.audit.model import model_of_module
from gencheck.audit.options import AuditOptions
from gencheck.audit.question import Labelled
from gencheck.audit.run import audit
from gencheck.training.loop import Training, fit


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--landmarks", default="500,1000,2000,4000")
    arguments = parser.parse_args()
    m = arguments.items
    with np.load(Path(os.environ["GENCHECK_DATA"]) / "mnist.npz") as arrays:
        x = torch.from_numpy(arrays["x_train"].astype(np.float32) / 255).flatten(1)
        y = torch.eye(10, dtype=torch.float64)[torch.from_numpy(arrays["y_train"]).long()]
    torch.manual_seed(0)
    module = nn.Sequential(
        *(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10))
    )
    fit(module, x[:10_000], y[:10_000].float(), Training(2), seed=0)
    subject = model_of_module(module, [(784,)])
    sample, reference = (
        Labelled(x[start : start + m], y[start : start + m]) for start in (0, 30_000)
    )
    print("| landmarks | lower | upper | upper / lower | exact | seconds |")
    print("|---|---|---|---|---|---|")
    exact = None
    for count in [None, *map(int, arguments.landmarks.split(","))]:
        options = AuditOptions(landmarks=count, beta2_budget=0.0, top=0)
        result = audit(subject, sample, reference, "classification", options)
        low, high = float(result.beta1.lower), float(result.beta1.upper)
        exact = low if exact is None else exact
        seconds = result.seconds["gram"] + result.seconds["beta1"]
        name = "none" if count is None else str(count)
        print(
            f"| {name} | {low:.5g} | {high:.5g} | {high / low:.3f} | {exact:.5g} | {seconds:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
