"""Two processes of one thread against one process of one thread, on one machine.

    GENCHECK_DATA=FOLDER OMP_NUM_THREADS=1 torchrun --nproc-per-node 2 -m tests.benchmarks.ranks \\
        [--network dense] [--items 10000] [--relabellings 200] [--repeats 1]

784-256-256-10 or, with `--network lenet`, a LeNet-like network, and MNIST, half of the items the
sample. The two take turns in the same processes: an audit that all share, then one that the first does
alone while the others wait. Of each stage the least seconds of the repeats, after one without
relabellings that is not counted: on the clock, and of the processor, where the rank that took the most
counts. The second kind leaves out waiting for other ranks, and what other programs take of a busy
machine. What every process does for itself (starting, importing torch, reading files) is timed apart.
"""

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import torch
import torch.distributed as dist

from gencheck.audit.model import model_of_module
from gencheck.audit.options import AuditOptions
from gencheck.audit.question import Labelled
from gencheck.audit.ranks import ALONE, ProcessRanks, Ranks
from gencheck.audit.run import _Clock, audit
from gencheck.cli.launch import launch
from tests.architectures import lenet_like
from tests.benchmarks.plan import fully_connected, mnist

Seconds = dict[str, float]


class _Both(_Clock):
    """Seconds by stage on the clock, and those of the processor."""

    processor: Seconds

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        started = time.process_time()
        with super().stage(name):
            yield
        _Both.processor[name] = time.process_time() - started


def audited(network: str, items: int, relabellings: int, ranks: Ranks) -> tuple[Seconds, Seconds]:
    """Of each stage: on the clock, and of this process's processor."""
    x, y = mnist(items)
    if network == "lenet":
        x = x.reshape(-1, 1, 28, 28)
    # the same weights in every process
    torch.manual_seed(0)
    module = lenet_like().eval() if network == "lenet" else fully_connected()
    model, half = model_of_module(module, [tuple(x.shape[1:])]), items // 2
    parts = Labelled(x[:half], y[:half]), Labelled(x[half:], y[half:])
    options = AuditOptions(permutations=relabellings)
    _Both.processor = {}
    with patch("gencheck.audit.run._Clock", _Both):
        found = audit(model, *parts, "classification", options, ranks=ranks)
    clock = {stage: taken for stage, taken in found.seconds.items() if stage != "load"}
    return clock, _Both.processor


def most(processor: Seconds) -> Seconds:
    """What the rank that took the most took, by stage."""
    seconds = torch.tensor(list(processor.values()))
    dist.all_reduce(seconds, dist.ReduceOp.MAX)
    return dict(zip(processor, seconds.tolist(), strict=True))


def least(runs: list[Seconds]) -> Seconds:
    return {stage: min(run[stage] for run in runs) for stage in runs[0]}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--network", choices=("dense", "lenet"), default="dense")
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--relabellings", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    own, work = launch(), (arguments.network, arguments.items)
    started = time.process_time()
    ranks = ProcessRanks(own.rank, own.size, "cpu", own.local_size)
    # loops are compiled or read from their cache, and memory is touched
    for each in (ranks, ALONE):
        audited(*work, 0, each)
    runs: list[list[Seconds]] = [[], [], [], []]
    for _ in range(arguments.repeats):
        clock, processor = audited(*work, arguments.relabellings, ranks)
        shared = clock, most(processor)
        alone = audited(*work, arguments.relabellings, ALONE) if own.rank == 0 else shared
        dist.barrier()
        for kept, taken in zip(runs, (*alone, *shared), strict=True):
            kept.append(taken)
    ranks.leave()
    if own.rank == 0:
        _print(own.size, *(least(kept) for kept in runs))
        print(f"\nbefore the first audit, for each process: {started:.1f} s of the processor")


def _print(size: int, alone: Seconds, own: Seconds, shared: Seconds, longest: Seconds) -> None:
    """A line a stage, and one for all of them."""
    print(f"| stage | clock of 1 | of {size} | ratio | processor of 1 | of {size} | ratio |")
    print("|---|---|---|---|---|---|---|")
    totals = [sum(each.values()) for each in (alone, shared, own, longest)]
    lines = {stage: [e[stage] for e in (alone, shared, own, longest)] for stage in alone}
    for stage, (a, b, c, d) in [*lines.items(), ("all", totals)]:
        print(f"| {stage} | {a:.2f} | {b:.2f} | {a / b:.2f} | {c:.2f} | {d:.2f} | {c / d:.2f} |")


if __name__ == "__main__":
    main()
