"""Library functions named on the command line, written as they are called: `cutout(size=8)`."""

import ast
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from jaxaug.checks import nearest


def parsed_call(text: str) -> tuple[str, dict[str, Any]]:
    """Returns the name and the options of `name` or `name(option=literal, ...)`; nothing is evaluated."""
    form = f"name or name(option=value, ...) is expected; got {text!r}."
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        if isinstance(tree, ast.Name):
            return tree.id, {}
        if not isinstance(tree, ast.Call) or not isinstance(tree.func, ast.Name) or tree.args:
            raise ValueError(form)
        if any(keyword.arg is None for keyword in tree.keywords):
            raise ValueError(form)
        return tree.func.id, {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in tree.keywords}
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise ValueError(form) from None


def named_function(
    text: str, functions: Mapping[str, Callable[..., Any]], what: str
) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Returns the function that a call names, and its options, checked against the function's signature."""
    name, options = parsed_call(text)
    if name not in functions:
        raise ValueError(nearest(name, functions, what))
    known = [
        parameter.name
        for parameter in inspect.signature(functions[name]).parameters.values()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    ]
    for option in options:
        if option not in known:
            raise ValueError(nearest(option, known, f"option of {name}"))
    return functions[name], options
