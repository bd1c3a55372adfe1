"""Shared fixtures: real data where the environment names it, and the command line as a process."""

import os
import subprocess
import sys
from pathlib import Path

import hypothesis
import pytest

# no test's verdict depends on how fast a machine is
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


@pytest.fixture
def mnist() -> Path:
    """The MNIST archive in the folder that GENCHECK_DATA names."""
    folder = os.environ.get("GENCHECK_DATA")
    if not folder:
        pytest.skip("GENCHECK_DATA names no folder of real data")
    path = Path(folder) / "mnist.npz"
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    return path


@pytest.fixture
def cifar10() -> Path:
    """The test set of CIFAR-10 as a table of JPEG images, in the folder that GENCHECK_DATA names."""
    folder = os.environ.get("GENCHECK_DATA")
    if not folder:
        pytest.skip("GENCHECK_DATA names no folder of real data")
    path = Path(folder) / "cifar10-jpeg-test.parquet"
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    return path


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
