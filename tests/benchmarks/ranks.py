"""Two processes of one thread against one process of one thread, on one machine.

    GENCHECK_DATA=FOLDER python -m tests.benchmarks.ranks [--items 10000] [--repeats 3]

784-256-256-10 and MNIST, half of the items the sample; 200 relabellings. One process and two take turns,
so that a busy moment hits neither alone, and the least seconds of each stage count. The whole run is the
sum of all stages but loading, which every rank does for itself.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from tests.benchmarks.plan import fully_connected, mnist


def written(folder: Path, count: int) -> list[str]:
    """What `concentrate` is to read."""
    program = torch.export.export(fully_connected(), (torch.zeros(3, 784),))
    torch.export.save(program, folder / "m.pt2")
    x, y = (tensor.numpy() for tensor in mnist(count))
    labels, half = y.argmax(1), count // 2
    arrays = {"x_train": x[:half], "x_test": x[half:]}
    np.savez(folder / "d.npz", **arrays, y_train=labels[:half], y_test=labels[half:])
    return [str(folder / "m.pt2"), str(folder / "d.npz"), "--json", "--output"]


def seconds(words: list[str], target: Path, processes: int) -> dict[str, float]:
    """Of each stage."""
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = [sys.executable, *(launcher if processes > 1 else []), "-m", "gencheck"]
    subprocess.run(
        [*command, "concentrate", *words, str(target)],
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    found: dict[str, float] = json.loads(target.read_text())["timing"]["seconds"]
    return {stage: taken for stage, taken in found.items() if stage != "load"}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        words = written(folder, arguments.items)
        runs: dict[int, list[dict[str, float]]] = {1: [], 2: []}
        for _ in range(arguments.repeats):
            for processes, made in runs.items():
                made.append(seconds(words, folder / "found.json", processes))
    least = {
        processes: {stage: min(run[stage] for run in made) for stage in made[0]}
        for processes, made in runs.items()
    }
    print("| stage | one process | two | ratio |")
    print("|---|---|---|---|")
    for stage, one in least[1].items():
        print(f"| {stage} | {one:.2f} | {least[2][stage]:.2f} | {one / least[2][stage]:.2f} |")
    one, two = (sum(each.values()) for each in least.values())
    print(f"| all | {one:.2f} | {two:.2f} | {one / two:.2f} |")


if __name__ == "__main__":
    main()
