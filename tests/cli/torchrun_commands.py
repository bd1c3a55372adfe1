"""Runs several commands one after another on every rank: `torchrun … torchrun_commands.py FILE`.

FILE holds a list of command lines in JSON. Every process imports torch once for all of them.
"""

import json
import sys
from pathlib import Path

from typer.testing import CliRunner

from gencheck.cli.app import app


def main() -> None:
    """Each command, with its exit code and its output in a file beside the list, by rank 0 alone."""
    from gencheck.cli.launch import launch

    source = Path(sys.argv[1])
    runner, found = CliRunner(), []
    for command in json.loads(source.read_text(encoding="utf-8")):
        done = runner.invoke(app, command)
        assert launch().rank == 0 or not done.stdout, done.stdout
        found.append({"code": done.exit_code, "stdout": done.stdout, "stderr": done.stderr})
    if launch().rank == 0:
        source.with_suffix(".found").write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
