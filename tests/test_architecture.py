"""The import rules: arrows point down only, and heavy libraries stay where they belong."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "gencheck"

# What each part may import from the rest of the package. Errors, progress and the version are free.
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "atomic": set(),
    "progress": set(),
    "memory": set(),
    "checks": set(),
    "gate": set(),
    "bounds": set(),
    "network": set(),
    "load": set(),
    "picture": set(),
    "result": {"bounds", "picture"},
    "theory": {"bounds", "result"},
    "spectral": {"network"},
    "train": {"checks", "load", "network", "spectral"},
    "subject": {"network", "load"},
    "plan": {"network", "spectral", "memory"},
    "selfcheck": {"bounds", "network", "result", "subject"},
    "declarations": {"checks", "network"},
    "certificate": {"bounds", "declarations", "network", "spectral", "result"},
    "settings": {"declarations"},
    "moments": {"bounds", "network", "result", "spectral"},
    "assembly": {"bounds", "certificate", "moments", "network", "spectral", "result", "subject"},
    "blame": {"moments", "network", "picture", "result", "spectral"},
    "noise": {"bounds", "network", "result", "spectral"},
    "audit": {
        *("assembly", "blame", "bounds", "certificate", "declarations", "moments", "network"),
        *("noise", "picture", "plan", "result", "selfcheck", "settings", "spectral", "subject"),
    },
    "theories": {"bounds", "network", "result", "theory"},
    "comparison": {
        *(
            "assembly",
            "audit",
            "declarations",
            "network",
            "result",
            "selfcheck",
            "settings",
            "subject",
            "theories",
        ),
        "theory",
    },
    "case": {"load", "subject", "audit"},
    "modules": {"load", "subject", "audit", "result", "settings"},
    "trainrun": {"bounds", "load", "network", "spectral", "train"},
    "pathweights": {"bounds", "network"},
    "independent": {"bounds", "load", "network", "pathweights", "spectral", "subject"},
    "validation": {"bounds", "checks", "load"},
    "demo": {"load", "report", "subject", "train", "trainrun"},
    "experiments": {
        *("bounds", "load", "modules", "network", "result", "settings", "train"),
    },
    "report": {
        *(
            "bounds",
            "experiments",
            "gate",
            "independent",
            "load",
            "picture",
            "result",
            "theory",
            "trainrun",
            "validation",
        ),
    },
    "cli": {
        *("audit", "bounds", "case", "checks", "comparison", "declarations", "demo"),
        *("experiments", "gate"),
        *("independent", "load", "memory", "network", "report", "result", "settings", "train"),
        *("theory", "trainrun", "validation"),
    },
    "__init__": {"settings", "bounds", "modules", "train"},
    "__main__": {"cli"},
}
FREE = {"atomic", "errors", "progress", "__version__"}


def modules() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def part_of(path: Path) -> str:
    relative = path.relative_to(ROOT)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imports_of(path: Path) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_down(path: Path) -> None:
    own = part_of(path)
    for name in imports_of(path):
        head, *rest = name.split(".")
        if head == "gencheck" and rest and rest[0] not in FREE | {own}:
            assert rest[0] in ALLOWED[own], f"{own} may not import {name}"


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_libraries_stay_where_they_belong(path: Path) -> None:
    own = part_of(path)
    heads = {name.split(".")[0] for name in imports_of(path)}
    if "typer" in heads:
        assert own == "cli"
    if "rich" in heads:
        assert own == "cli" or path.name.startswith("terminal")
    if "torch" in heads:
        assert own not in {"bounds", "result", "report", "validation", "checks"}


def test_sizes() -> None:
    long = {
        str(path.relative_to(ROOT)): count
        for path in modules()
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > 320
    }
    # the reason for the exception: a compiled function takes every array on its own, one a line
    assert not set(long) - {"spectral/bitloops.py"}, long


def test_no_vague_names() -> None:
    banned = {"utils", "helpers", "base", "manager"}
    assert not banned & {path.stem for path in modules()}


def test_public_names_are_few_and_there() -> None:
    import gencheck

    assert len(gencheck.__all__) <= 15
    for name in gencheck.__all__:
        assert getattr(gencheck, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = gencheck.nonsense
