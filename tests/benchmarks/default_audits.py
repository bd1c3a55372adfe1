"""What default audits of two usual networks take, in processor seconds of the whole process.

GENCHECK_DATA=FOLDER python -m tests.benchmarks.default_audits

One thread and its own time, so that a machine that others keep busy tells nearly what a quiet one does.
"""

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import nn

from gencheck.load.dataset import load_dataset
from tests.architectures import initialised, lenet_like

DATA = Path(os.environ["GENCHECK_DATA"])


def trained_lenet(images: np.ndarray, labels: np.ndarray) -> nn.Module:
    """Two epochs: enough for gates that are not those of noise."""
    torch.manual_seed(0)
    module = lenet_like()
    x, y = torch.from_numpy(images).float()[:, None] / 255, torch.from_numpy(labels).long()
    optimiser = torch.optim.Adam(module.parameters(), 1e-3)
    for start in [*range(0, len(x), 100)] * 2:
        optimiser.zero_grad()
        some = slice(start, start + 100)
        nn.functional.cross_entropy(module(x[some]), y[some]).backward()
        optimiser.step()
    return module.eval()


def written(folder: Path) -> list[tuple[str, list[str]]]:
    """The commands, on models and items in `folder`."""
    mnist = np.load(DATA / "mnist.npz")
    items = {k: mnist[k][-1000:] for k in ("x_train", "y_train", "x_test", "y_test")}
    np.savez(folder / "mnist.npz", **items)
    photos = load_dataset(DATA / "cifar10-jpeg-test.parquet").main.taken(np.arange(400)).loaded()
    x, y = photos.items, photos.targets
    np.savez(folder / "cifar.npz", x_train=x[:200], y_train=y[:200], x_test=x[200:], y_test=y[200:])
    models = {
        "lenet": (trained_lenet(mnist["x_train"][:10_000], mnist["y_train"][:10_000]), (1, 28, 28)),
        "resnet18": (initialised("resnet18"), (3, 32, 32)),
    }
    for name, (module, shape) in models.items():
        batch = {0: torch.export.Dim("batch", min=1, max=4096)}
        made = torch.export.export(module, (torch.zeros(2, *shape),), dynamic_shapes=(batch,))
        torch.export.save(made, folder / f"{name}.pt2")
    lenet, resnet = (str(folder / f"{name}.pt2") for name in models)
    digits, images = str(folder / "mnist.npz"), str(folder / "cifar.npz")
    return [
        ("concentrate, LeNet-like, 500 + 500", ["concentrate", lenet, digits, "--limit", "500"]),
        ("concentrate, ResNet-18, 200 + 200", ["concentrate", resnet, images]),
        ("compare, LeNet-like, 1000 + 1000", ["compare", lenet, digits]),
    ]


def main() -> None:
    """Print one row a command."""
    print("| command | processor s |")
    print("|---|---|")
    with tempfile.TemporaryDirectory() as name:
        for title, words in written(Path(name)):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(
                [sys.executable, "-m", "gencheck", *words, "--json"],
                capture_output=True,
                check=True,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
            )
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            took = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            print(f"| {title} | {took:.1f} |", flush=True)


if __name__ == "__main__":
    main()
