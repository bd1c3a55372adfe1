"""Runs several commands one after another on every rank: `torchrun … torchrun_commands.py FILE`.

FILE holds a list of command lines in JSON. Every process imports torch once for all of them. `SIZE` in
a line is the number of processes.
"""

import json
import os
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from typer.testing import CliRunner

from gencheck.cli import sharing
from gencheck.cli.app import app
from gencheck.training import path_ridge, whole_kernel


def few_items_are_many() -> None:
    """Have conjugate gradients solve a ridge regression of more than 700 items."""
    path_ridge.EXACT_LIMIT, whole_kernel.PRECONDITIONING = 700, 50


def on_rank(environment: Mapping[str, str], source: Path) -> None:
    """The same in a forked process, with what torchrun would have put into its environment."""
    os.environ.update(environment)
    run(source)


def on_slow_rank(environment: Mapping[str, str], source: Path) -> None:
    """The same on one that parts when the first has ended, and with it the store that it kept."""
    import torch.distributed as dist

    part = dist.destroy_process_group
    store = environment["MASTER_ADDR"], int(environment["MASTER_PORT"])

    def late() -> None:
        with suppress(ConnectionError):
            while True:
                socket.create_connection(store).close()
                time.sleep(0.05)
        # for several looks at the store
        time.sleep(5 * sharing._LOOK)
        part()

    dist.destroy_process_group = late
    on_rank(environment, source)


def run(source: Path) -> None:
    """Each command, with its exit code and its output in a file beside the list, by rank 0 alone."""
    from gencheck.cli.launch import launch

    few_items_are_many()
    runner, found = CliRunner(), []
    for command in json.loads(source.read_text(encoding="utf-8")):
        done = runner.invoke(app, [word.replace("SIZE", str(launch().size)) for word in command])
        assert launch().rank == 0 or not done.stdout, done.stdout
        found.append({"code": done.exit_code, "stdout": done.stdout, "stderr": done.stderr})
    if launch().rank == 0:
        source.with_suffix(".found").write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    run(Path(sys.argv[1]))
