"""`concentrate --plan` against the runs that it speaks of, by the stage.

    GENCHECK_DATA=FOLDER OMP_NUM_THREADS=1 python -m tests.benchmarks.plan [NAME ...]

Each plan is made right before its run, in the same process. Seconds are those of the processor, of one
thread: on a machine with nothing else to do they are seconds on the clock, and on a busy one they can
still be compared.
"""

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn

from gencheck.audit.model import model_of_module
from gencheck.audit.options import AuditOptions
from gencheck.audit.plan import plan_audit
from gencheck.audit.question import Labelled, Question
from gencheck.audit.run import audit_of
from gencheck.load.dataset import load_dataset
from gencheck.training.loop import Training, fit
from tests.architectures import initialised, lenet_like, vit_tiny


def mnist(count: int) -> tuple[Tensor, Tensor]:
    with np.load(Path(os.environ["GENCHECK_DATA"]) / "mnist.npz") as arrays:
        x = torch.from_numpy(arrays["x_train"][:count].astype(np.float32) / 255).flatten(1)
        y = torch.from_numpy(arrays["y_train"][:count]).long()
    return x, torch.eye(10, dtype=torch.float64)[y]


def digits(count: int) -> tuple[Tensor, Tensor]:
    x, y = mnist(count)
    return x.view(-1, 1, 28, 28), y


def cifar(count: int) -> tuple[Tensor, Tensor]:
    rows = load_dataset(Path(os.environ["GENCHECK_DATA"]) / "cifar10-jpeg-test.parquet").main
    split = rows.taken(np.arange(count)).loaded()
    items = torch.from_numpy(split.items).permute(0, 3, 1, 2).float() / 255
    return items, torch.eye(10, dtype=torch.float64)[torch.from_numpy(split.targets).long()]


def fully_connected() -> nn.Module:
    """784-256-256-10, trained for two epochs on 10,000 items."""
    torch.manual_seed(0)
    module = nn.Sequential(
        *(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10))
    )
    x, y = mnist(10_000)
    fit(module, x, y.float(), Training(2), seed=0)
    return module


def lenet() -> nn.Module:
    torch.manual_seed(0)
    return lenet_like()


Case = tuple[Callable[[], nn.Module], Callable[[int], tuple[Tensor, Tensor]], int, AuditOptions]

# What, on which data, items of each set, and how: runs between 20 seconds and five minutes.
CASES: dict[str, Case] = {
    "784-256-256-10": (fully_connected, mnist, 25000, AuditOptions()),
    "784-256-256-10, p-values": (fully_connected, mnist, 5000, AuditOptions(permutations=200)),
    "784-256-256-10, recomputed": (fully_connected, mnist, 6000, AuditOptions(gram="recompute")),
    "LeNet-like": (lenet, digits, 5000, AuditOptions()),
    "LeNet-like, minutes": (lenet, digits, 10000, AuditOptions()),
    "ResNet-20": (lambda: initialised("resnet20"), cifar, 1500, AuditOptions()),
    "ViT-tiny": (vit_tiny, cifar, 350, AuditOptions()),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--share", type=float, default=1.0, help="of the items, for a quick look")
    parser.add_argument("--stages", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("| run | items | plan | truth | plan / truth | the plan itself |")
    print("|---|---|---|---|---|---|")
    for name in arguments.names or CASES:
        make, data, count, options = CASES[name]
        count = int(count * arguments.share)
        x, y = data(2 * count)
        model = model_of_module(make(), [tuple(x.shape[1:])])
        parts = Labelled(x[:count], y[:count]), Labelled(x[count:], y[count:])
        options = replace(options, beta2_budget=1.0)
        with patch.object(time, "perf_counter", time.process_time):
            question = Question(model, *parts, "classification", options)
            plan, found = plan_audit(question), audit_of(question)
        planned = {k: v for k, v in plan.seconds.items() if k != "load"}
        truth = {k: v for k, v in found.seconds.items() if k != "load"}
        total, real = sum(planned.values()), sum(truth.values())
        print(
            f"| {name} | {2 * count:,} | {total:.1f} | {real:.1f} | {total / real:.2f} "
            f"| {plan.measured.seconds:.1f} |",
            flush=True,
        )
        if arguments.stages:
            for stage, seconds in truth.items():
                print(f"    {stage}: {planned[stage]:.2f} for {seconds:.2f}", flush=True)
            print(f"    {plan.measured}; {found.beta1.iterations} steps", flush=True)


if __name__ == "__main__":
    main()
