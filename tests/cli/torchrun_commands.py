"""Runs several commands one after another on every rank: `torchrun … torchrun_commands.py FILE`.

FILE holds a list of command lines in JSON. Every process imports torch once for all of them.
"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from typer.testing import CliRunner

from gencheck.cli.app import app


def on_rank(environment: Mapping[str, str], source: Path) -> None:
    """The same in a forked process, with what torchrun would have put into its environment."""
    os.environ.update(environment)
    run(source)


def run(source: Path) -> None:
    """Each command, with its exit code and its output in a file beside the list, by rank 0 alone."""
    from gencheck.cli.launch import launch

    runner, found = CliRunner(), []
    for command in json.loads(source.read_text(encoding="utf-8")):
        done = runner.invoke(app, command)
        assert launch().rank == 0 or not done.stdout, done.stdout
        found.append({"code": done.exit_code, "stdout": done.stdout, "stderr": done.stderr})
    if launch().rank == 0:
        source.with_suffix(".found").write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    run(Path(sys.argv[1]))
