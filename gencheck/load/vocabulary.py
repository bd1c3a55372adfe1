"""The words of a text model: which token each whole number of its items stands for."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gencheck.errors import InputError
from gencheck.load.digest import sha256_of
from gencheck.load.files import reading, suffix_of

# Under these names `save_pretrained` of a tokenizer writes it, the most complete first.
_IN_FOLDERS = ("tokenizer.json", "vocab.json", "vocab.txt")

_REQUIRED = (
    "one token a line (.txt), or a tokenizer.json or an object of tokens and their numbers (.json)"
)


@dataclass(frozen=True)
class Vocabulary:
    """Tokens by their number.

    Attributes
    ----------
    path, sha256
        The file that they were read from.
    tokens
        By number; a number may have none.
    """

    path: str
    sha256: str
    tokens: dict[int, str]

    def of(self, numbers: Iterable[float]) -> tuple[str, ...]:
        """The tokens of one item; a number without one in brackets."""
        places = (int(number) for number in numbers)
        return tuple(self.tokens.get(place, f"[{place}]") for place in places)

    def record(self) -> dict[str, str]:
        """What is recorded among a run's inputs."""
        return {"path": self.path, "sha256": self.sha256}


def read_vocabulary(path: Path) -> Vocabulary:
    """The tokens of a file: lines counted from 0, or JSON as tokenizers are saved.

    Raises
    ------
    InputError
        The file is none of these, or holds no token.
    """
    suffix = suffix_of(path, {".json", ".txt"}, "a vocabulary")
    with reading(path, _REQUIRED):
        text = path.read_text(encoding="utf-8")
        found = json.loads(text) if suffix == ".json" else None
    tokens = dict(enumerate(text.split("\n"))) if suffix == ".txt" else _of_json(found)
    if suffix == ".txt" and text.endswith("\n"):
        del tokens[len(tokens) - 1]
    tokens = {number: token.removesuffix("\r") for number, token in tokens.items()}
    if not any(tokens.values()):
        raise InputError(where=str(path), found="no token", required=_REQUIRED)
    return Vocabulary(str(path), sha256_of(path), tokens)


def vocabulary_of_folder(folder: Path) -> Vocabulary | None:
    """The vocabulary of a tokenizer that lies beside a model's weights; None where there is none."""
    for name in _IN_FOLDERS:
        if folder.is_dir() and (folder / name).is_file():
            return read_vocabulary(folder / name)
    return None


def _of_json(found: Any) -> dict[int, str]:
    """Tokens of a tokenizer.json (a table, or pairs with scores, and what was added), or of a table."""
    whole = found if isinstance(found, dict) else {}
    model = whole.get("model")
    table = model.get("vocab") if isinstance(model, dict) else whole
    if isinstance(table, list):
        pairs = [pair[0] for pair in table if isinstance(pair, list) and pair]
        tokens = {number: token for number, token in enumerate(pairs) if isinstance(token, str)}
    else:
        items = table.items() if isinstance(table, dict) else ()
        tokens = {number: token for token, number in items if type(number) is int}
    added = whole.get("added_tokens")
    for token in added if isinstance(added, list) else ():
        if isinstance(token, dict) and type(token.get("id")) is int:
            tokens[token["id"]] = str(token.get("content", ""))
    return tokens
