"""Fail where a wheel lacks a file of the package, or holds one that is not the package's.

python .ci/check_wheel.py dist/gencheck-*.whl
"""

import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def missing_and_foreign(wheel: Path, root: Path = ROOT) -> tuple[list[str], list[str]]:
    """The files of the package that the wheel lacks, and the files of the wheel that are not its.

    The package's are the modules, `py.typed`, the data and the schemas, and both licences.
    """
    files = {
        path.relative_to(root).as_posix()
        for path in (root / "gencheck").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    info = next(iter({name.split("/")[0] for name in names if ".dist-info/" in name}), "dist-info")
    licences = ("LICENSE", "gencheck/data/LICENSE-digits.txt")
    about = {f"{info}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt")}
    about |= {f"{info}/licenses/{name}" for name in licences}
    return sorted((files | about) - names), sorted(names - files - about)


def main(wheel: str) -> None:
    """Print what differs; exit 1 where anything does."""
    missing, foreign = missing_and_foreign(Path(wheel))
    for word, names in (("lacks", missing), ("should not hold", foreign)):
        for name in names:
            print(f"{wheel} {word} {name}", file=sys.stderr)
    sys.exit(1 if missing or foreign else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
