"""What the extras say where their library is absent."""

import importlib
import sys

import pytest

from gencheck.errors import MissingDependency


@pytest.mark.parametrize("library", ["lightning", "transformers"])
def test_missing_library_names_the_command(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # None in sys.modules makes an import fail, whether or not the library is installed
    for name in (library, f"{library}.pytorch"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, f"gencheck.training.regularisers.{library}", raising=False)
    with pytest.raises(MissingDependency, match=rf'pip install "gencheck\[{library}\]"'):
        importlib.import_module(f"gencheck.training.regularisers.{library}")
