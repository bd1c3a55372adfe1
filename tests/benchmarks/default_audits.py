"""What default audits of usual networks take, in seconds of the whole process.

    GENCHECK_DATA=FOLDER python -m tests.benchmarks.default_audits [--clock]

One thread and its own time, so that a machine that others keep busy tells nearly what a quiet one does;
with --clock all threads, and seconds of the clock.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from gencheck.load.dataset import load_dataset
from tests.architectures import initialised, lenet_like, vit_tiny

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
    photos = load_dataset(DATA / "cifar10-jpeg-test.parquet").main.taken(np.arange(1000)).loaded()
    x, y = photos.items, photos.targets
    for name, half in (("cifar", 200), ("photos", 500)):
        train, test = slice(half), slice(half, 2 * half)
        parts = {"x_train": x[train], "y_train": y[train], "x_test": x[test], "y_test": y[test]}
        np.savez(folder / f"{name}.npz", **parts)
    models = {
        "lenet": (trained_lenet(mnist["x_train"][:10_000], mnist["y_train"][:10_000]), (1, 28, 28)),
        "resnet18": (initialised("resnet18"), (3, 32, 32)),
        "vit": (vit_tiny().eval(), (3, 32, 32)),
    }
    for name, (module, shape) in models.items():
        batch = {0: torch.export.Dim("batch", min=1, max=4096)}
        # the transformer's own forward fixes the batch
        sizes = None if name == "vit" else (batch,)
        made = torch.export.export(module, (torch.zeros(2, *shape),), dynamic_shapes=sizes)
        torch.export.save(made, folder / f"{name}.pt2")
    lenet, resnet, vit = (str(folder / f"{name}.pt2") for name in models)
    digits, images, photos = (str(folder / f"{n}.npz") for n in ("mnist", "cifar", "photos"))
    return [
        ("concentrate, LeNet-like, 500 + 500", ["concentrate", lenet, digits, "--limit", "500"]),
        ("concentrate, ResNet-18, 200 + 200", ["concentrate", resnet, images]),
        ("compare, LeNet-like, 1000 + 1000", ["compare", lenet, digits]),
        ("concentrate, ViT-tiny, 500 + 500", ["concentrate", vit, photos]),
    ]


def main() -> None:
    """Print one row a command."""
    clock = sys.argv[1:] == ["--clock"]
    print(f"| command | {'s of the clock' if clock else 'processor s'} |")
    print("|---|---|")
    with tempfile.TemporaryDirectory() as name:
        for title, words in written(Path(name)):
            before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "gencheck", *words, "--json"],
                capture_output=True,
                check=True,
                env=os.environ if clock else os.environ | {"OMP_NUM_THREADS": "1"},
            )
            took = time.perf_counter() - started
            if not clock:
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                took = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            print(f"| {title} | {took:.1f} |", flush=True)


if __name__ == "__main__":
    main()
