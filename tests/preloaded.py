"""What the server of `tests.processes` has loaded and called once before it forks."""

import contextlib
import gc
import tempfile

import numpy as np
import torch
from typer.testing import CliRunner

from gencheck.cli.app import app
from gencheck.spectral.kernel.executors import compiled_loops_are_there

# a thread that computed would be missing after the fork
torch.set_num_threads(1)

# most of what commands need is loaded when it is first called: by torch.export, by numba, by themselves
_TRAIN = "train --data d.npz --arch mlp:2 --out run --two-phase --epochs 1 --holdout 0.5"
_AUDIT = "concentrate run d.npz --json --permutations 1"
with tempfile.TemporaryDirectory() as _folder, contextlib.chdir(_folder):
    np.savez("d.npz", x=np.eye(12, 2, dtype=np.float32), y=np.arange(12) % 2)
    for _command in (_TRAIN, _AUDIT):
        _done = CliRunner().invoke(app, _command.split())
        assert _done.exit_code == 0, _done.output
compiled_loops_are_there()

# what was made so far is no garbage: looked through, its pages would be copied in every process
gc.collect()
gc.freeze()
