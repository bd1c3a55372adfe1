"""What the server of `tests.processes` has loaded and called once before it forks."""

import tempfile
from pathlib import Path

import torch
from torch import nn

# what the commands load when they run
import gencheck.audit.run
import gencheck.cli.concentrate_audit
import gencheck.cli.concentrate_delivery
import gencheck.cli.train
import gencheck.report.terminal.concentrate
import gencheck.training.run  # noqa: F401
from gencheck.audit.model import load_model
from gencheck.spectral.kernel.executors import compiled_loops_are_there

# a thread that computed would be missing after the fork
torch.set_num_threads(1)

# torch.export loads most of what it needs, and numba all of it, when it is first called
with tempfile.TemporaryDirectory() as _folder:
    _path = Path(_folder) / "m.pt2"
    _module = nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU(), nn.Flatten(), nn.Linear(1, 1))
    torch.export.save(torch.export.export(_module, (torch.zeros(2, 1, 1, 1),)), _path)
    load_model(_path, None, [(1, 1, 1)])
compiled_loops_are_there()
