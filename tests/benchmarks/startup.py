"""How fast `gencheck val-bound` starts, against importing typer, rich and numpy.

python -m tests.benchmarks.startup

Both sides are compiled beforehand, as `pip install` does it.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BASE = [sys.executable, "-c", "import typer, rich.console, numpy"]
FOLDER = Path(tempfile.mkdtemp())
# where the compiled modules go, also where the environment asks for none
INSTALLED = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
INSTALLED["PYTHONPYCACHEPREFIX"] = str(FOLDER / "compiled")
SCORES = FOLDER / "scores.csv"
SCORES.write_text("loss\n" + "0\n1\n" * 50)
COMMON = ["val-bound", "--m-val", "10000", "--n-models", "1e9", "--val-error", "0.02"]
OURS = {
    "val-bound": COMMON,
    "val-bound --json": [*COMMON, "--json"],
    "compare-scores": ["compare-scores", str(SCORES), str(SCORES)],
    "compare-scores --json": ["compare-scores", str(SCORES), str(SCORES), "--json"],
    "data-indep": ["data-indep", "--m-sigma", "10", "--d-y", "2", "--c-sigma", "1", "--c-w", "1"],
    "--help": ["--help"],
    "--version": ["--version"],
}


def seconds(command: list[str]) -> float:
    """Wall-clock seconds of one run."""
    started = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True, env=INSTALLED)
    return time.perf_counter() - started


def main() -> None:
    """Print the median of ratios of runs made in turn."""
    for name, arguments in OURS.items():
        ours = [sys.executable, "-m", "gencheck", *arguments]
        seconds(ours), seconds(BASE)
        pairs = [(seconds(ours), seconds(BASE)) for _ in range(15)]
        ratio = statistics.median(a / b for a, b in pairs)
        print(f"{name:22} {statistics.median(a for a, _ in pairs):.3f} s, ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
