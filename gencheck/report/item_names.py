"""What an item of a document is called, for those who read a report."""

from typing import Any


def named(item: dict[str, Any]) -> str:
    """The names of an item's class and file, after its label; empty where it has none."""
    kind = f" ({item['class_name']})" if "class_name" in item else ""
    return kind + (f", {item['file']}" if "file" in item else "")
