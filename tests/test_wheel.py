"""What `.ci/run` asks of a wheel: every file of the package and nothing else."""

import runpy
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CHECK = runpy.run_path(str(ROOT / ".ci" / "check_wheel.py"))["missing_and_foreign"]
INFO = "gencheck-0.1.0.dist-info"


def contents() -> set[str]:
    made = {f"{INFO}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt")}
    made |= {f"{INFO}/licenses/LICENSE", f"{INFO}/licenses/gencheck/data/LICENSE-digits.txt"}
    for pattern in ("*.py", "*.json", "*.html", "*.npz", "*.txt", "py.typed"):
        made |= {path.relative_to(ROOT).as_posix() for path in (ROOT / "gencheck").rglob(pattern)}
    return made


def written(folder: Path, names: set[str]) -> Path:
    wheel = folder / "gencheck-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in names:
            archive.writestr(name, "")
    return wheel


def test_a_whole_wheel_passes(tmp_path: Path) -> None:
    assert CHECK(written(tmp_path, contents())) == ([], [])


@pytest.mark.parametrize(
    "lost",
    [
        "gencheck/py.typed",
        "gencheck/data/digits.npz",
        "gencheck/report/schemas/concentrate.json",
        "gencheck/audit/run.py",
        f"{INFO}/entry_points.txt",
        f"{INFO}/licenses/gencheck/data/LICENSE-digits.txt",
    ],
)
def test_a_file_that_lacks_is_named(lost: str, tmp_path: Path) -> None:
    assert lost in contents()
    assert CHECK(written(tmp_path, contents() - {lost})) == ([lost], [])


def test_a_file_too_many_is_named(tmp_path: Path) -> None:
    assert CHECK(written(tmp_path, contents() | {"tests/cases.py"})) == ([], ["tests/cases.py"])
