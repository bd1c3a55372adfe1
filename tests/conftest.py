"""How tests run side by side, and shared fixtures: real data, and the command line as a process."""

import gc
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from typer.testing import CliRunner

# No verdict depends on speed: neither a deadline nor the health check that times the drawing.
settings.register_profile(
    "gencheck", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("gencheck")

# Workers side by side share the cores: each would otherwise start a thread for every core. torch and
# the BLAS of numpy read this when they are imported, the programs that tests start inherit it.
if _workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    _share = max(1, (os.cpu_count() or 1) // int(_workers))
    os.environ.setdefault("OMP_NUM_THREADS", str(_share))


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """`-n auto`: three workers for two cores, since tests wait for processes and clocks.

    None for tests named one by one, for which workers take longer to start than run.
    """
    if config.args and all("::" in str(argument) for argument in config.args):
        return 0
    cores = os.cpu_count() or 1
    return cores + cores // 2


def pytest_collection_finish() -> None:
    """What was loaded and collected stays: it is not searched for garbage again, and tests less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


def real_data(name: str) -> Path:
    """A file in the folder that GENCHECK_DATA names; the test is skipped where it is absent."""
    folder = os.environ.get("GENCHECK_DATA")
    if not folder:
        pytest.skip("GENCHECK_DATA names no folder of real data")
    path = Path(folder) / name
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    return path


@pytest.fixture
def mnist() -> Path:
    """The MNIST archive."""
    return real_data("mnist.npz")


@pytest.fixture
def cifar10() -> Path:
    """The test set of CIFAR-10 as a table of JPEG images."""
    return real_data("cifar10-jpeg-test.parquet")


def printed(columns: str, *arguments: str | Path) -> Any:
    """A command in this process, as if the terminal had so many columns."""
    from gencheck.cli.app import app

    return CliRunner().invoke(app, [*map(str, arguments)], env={"COLUMNS": columns})


class Program:
    """The `gencheck` program as a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(
        self, *arguments: str | Path, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "gencheck", *map(str, arguments)],
            cwd=self.folder,
            env={**os.environ, "COLUMNS": "100", **environment},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """The program, run in a folder of the test's own."""
    return Program(tmp_path)
