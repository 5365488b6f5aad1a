"""What a result holds, as text: its plain figures, and the tables inside it."""

import re
from typing import Any

_MOST_NUMBERS = 12


def plain_figures(result: dict[str, Any]) -> dict[str, str]:
    """Returns the entries of a result that fit into a cell, as text by their names."""
    return {name: text(value) for name, value in result.items() if not isinstance(value, dict)}


def tables(result: dict[str, Any]) -> dict[str, list[list[str]]]:
    """Returns the entries of a result that are dictionaries as tables: a header, then a row for each key."""
    return {name: table(value) for name, value in result.items() if isinstance(value, dict) and value}


def table(rows: dict[str, Any]) -> list[list[str]]:
    """Returns a dictionary as a table; where its values are dictionaries, their keys are the columns."""
    if not all(isinstance(row, dict) for row in rows.values()):
        return [["", "value"], *([str(name), text(value)] for name, value in rows.items())]
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    cells = ([text(row[column]) if column in row else "" for column in columns] for row in rows.values())
    return [["", *map(str, columns)], *([str(name), *row] for name, row in zip(rows, cells, strict=True))]


def text(value: Any) -> str:
    """Returns a value as it is printed: four digits of a number, and no more than a dozen numbers of a list."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list | tuple):
        shown = ", ".join(map(text, value[:_MOST_NUMBERS]))
        return shown if len(value) <= _MOST_NUMBERS else f"{shown}, ... ({len(value)} in all)"
    if isinstance(value, dict):
        return ", ".join(f"{name} {text(entry)}" for name, entry in value.items())
    return re.sub(r"\s+", " ", str(value)).strip()


def words(name: str) -> str:
    """Returns the name of a figure as words."""
    return name.replace("_", " ")
