"""The import rules: arrows point down only, and heavy libraries stay where they belong."""

import ast
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "gencheck"

# What each room may import from the others: arrows point down only. Anyone may import what is FREE.
ALLOWED: dict[str, set[str]] = {
    "arguments": set(),
    "errors": set(),
    "atomic": set(),
    "element_types": set(),
    "memory": set(),
    "printable": set(),
    "progress": set(),
    "version": set(),
    "bounds": set(),
    "load": set(),
    "network": set(),
    "spectral": {"network"},
    "training": {"bounds", "load", "network", "spectral"},
    "audit": {"bounds", "load", "network", "spectral"},
    "guarantees": {"audit", "bounds", "load", "network", "spectral"},
    "comparison": {"audit", "bounds", "network"},
    "experiments": {"audit", "bounds", "guarantees", "load", "network", "training"},
    "report": {
        *("audit", "bounds", "comparison", "experiments", "guarantees", "load", "training"),
    },
    "cli": {
        *("audit", "bounds", "comparison", "experiments", "guarantees", "load", "network"),
        *("report", "training"),
    },
    "interactive": {"audit", "report"},
    "__init__": {"audit", "bounds", "guarantees", "interactive", "spectral", "training"},
    "__main__": {"cli"},
}
FREE = {
    "element_types",
    "arguments",
    "atomic",
    "errors",
    "memory",
    "printable",
    "progress",
    "version",
}


def modules() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def part_of(path: Path) -> str:
    relative = path.relative_to(ROOT)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


@cache
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
        assert own == "cli" or path.is_relative_to(ROOT / "report" / "terminal")
    if "torch" in heads:
        assert own not in {"arguments", "bounds", "report"}
        assert path not in {ROOT / "audit" / "result.py", ROOT / "guarantees" / "validation.py"}


# Lines of a module; in the compiled loops, a function takes every array on its own, one a line.
LINES = 300
NO_LIMIT = {"spectral/kernel/bits/loops.py"}


def test_sizes() -> None:
    long = {}
    for path in modules():
        name = path.relative_to(ROOT).as_posix()
        count = len(path.read_text(encoding="utf-8").splitlines())
        if count > LINES and name not in NO_LIMIT:
            long[name] = count
    assert not long


# Lines of a function after its signature and its docstring.
BODY = 60


def long_bodies(text: str) -> dict[str, int]:
    """The functions of a module's text whose bodies have more lines, and how many."""
    found = {}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[ast.get_docstring(node) is not None :]
            lines = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
            if lines > BODY:
                found[node.name] = lines
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_bodies_are_short(path: Path) -> None:
    assert not long_bodies(path.read_text(encoding="utf-8"))


def test_long_bodies_are_found() -> None:
    described = 'def f(\n    x,\n):\n    """A line.\n\n    And another.\n    """\n'
    lines = "    x + 1\n" * BODY
    assert not long_bodies(described + lines)
    assert long_bodies(f"{described}{lines}    return x\n") == {"f": BODY + 1}
    method = (
        f"class A:\n    def g(self, x):\n        return [\n{lines.replace('1', '1,')}        ]\n"
    )
    assert long_bodies(method) == {"g": BODY + 2}


# Callables that take any number of values of one kind, which no swap can hurt.
ANY_NUMBER = {"Group", "nn.Sequential", "zip"}

# Compiled functions take every array on its own, and their compiler no keywords.
COMPILED = {
    f"spectral/kernel/{name}.py"
    for name in ("bits/engine", "bits/loops", "bits/vector_loops", "fused_loops", "product_loops")
}


def long_calls(text: str) -> list[str]:
    """Each call of a module's text that passes more than five positional arguments."""
    return [
        f"{ast.unparse(node.func)} in line {node.lineno}"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call)
        and len(node.args) > 5
        and ast.unparse(node.func) not in ANY_NUMBER
    ]


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_at_most_five_positional_arguments_in_a_call(path: Path) -> None:
    name = path.relative_to(ROOT).as_posix()
    if name not in COMPILED:
        found = long_calls(path.read_text(encoding="utf-8"))
        assert not found


def test_long_calls_are_found() -> None:
    assert long_calls("f(1, 2, 3, 4, 5, key=6)\ng(1, 2, 3, 4, 5, 6)") == ["g in line 2"]


# Scripts that no other test runs.
SCRIPTS = sorted([*ROOT.parent.glob("tests/benchmarks/*.py"), *ROOT.parent.glob("docs/*.py")])


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: p.name)
def test_scripts_import_what_is_there(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("gencheck"):
            module = import_module(str(node.module))
            for alias in node.names:
                there = hasattr(module, alias.name)
                assert there or find_spec(f"{node.module}.{alias.name}"), alias.name


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
