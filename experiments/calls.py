"""Library functions named on the command line, written as they are called: `cutout(size=8)`."""

import ast
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from jaxaug.checks import nearest


def parsed_call(text: str) -> tuple[str, dict[str, Any]]:
    """Returns the name and the options of `name` or `name(option=literal, ...)`; nothing is evaluated.

    A name may have a dot, as the constructor of a class does.
    """
    form = f"name or name(option=value, ...) is expected; got {text!r}."
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        function, arguments = (tree.func, tree.keywords) if isinstance(tree, ast.Call) else (tree, [])
        dotted = isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name)
        if not (isinstance(function, ast.Name) or dotted) or (isinstance(tree, ast.Call) and tree.args):
            raise ValueError(form)
        if any(keyword.arg is None for keyword in arguments):
            raise ValueError(form)
        return ast.unparse(function), {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in arguments}
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise ValueError(form) from None


def named_function(
    text: str, functions: Mapping[str, Callable[..., Any]], what: str
) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Returns the function that a call names, and its options, checked against the function's signature."""
    name, options = parsed_call(text)
    if name not in functions:
        raise ValueError(nearest(name, functions, what))
    parameters = inspect.signature(functions[name]).parameters.values()
    # The fields of a Linen module are its options, but for the two that say where it hangs.
    fields = {p.name for p in parameters if inspect.isclass(functions[name])} - {"parent", "name"}
    known = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY or p.name in fields]
    for option in options:
        if option not in known:
            raise ValueError(nearest(option, known, f"option of {name}"))
    return functions[name], options
