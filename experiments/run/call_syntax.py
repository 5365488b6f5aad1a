"""Library functions named on the command line, written as they are called: `cutout(size=8)`."""

import ast
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from jaxaug.checks import nearest, one_line

# Longer texts are no calls that anyone writes, and what is nested deeply in them costs the parser its stack.
_LONGEST = 10_000


def parse_call(text: str) -> tuple[str, dict[str, Any]]:
    """Returns the name and the options of `name` or `name(option=literal, ...)`; nothing is evaluated.

    A name may have a dot, as the constructor of a class does.
    """
    form = f"name or name(option=value, ...) is expected; got {one_line(repr(text[:_LONGEST]))}."
    if len(text) > _LONGEST:
        raise ValueError(form)
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        function, arguments = (tree.func, tree.keywords) if isinstance(tree, ast.Call) else (tree, [])
        dotted = isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name)
        if not (isinstance(function, ast.Name) or dotted) or (isinstance(tree, ast.Call) and tree.args):
            raise ValueError(form)
        options = {keyword.arg: keyword.value for keyword in arguments}
        if None in options or len(options) < len(arguments):  # f(**x), or an option that is there twice
            raise ValueError(form)
        return ast.unparse(function), {str(name): ast.literal_eval(value) for name, value in options.items()}
    # Literals that are none: {[]: 1} raises a TypeError, an integer beyond floats with an imaginary part overflows.
    except (SyntaxError, ValueError, TypeError, OverflowError, MemoryError, RecursionError):
        raise ValueError(form) from None


def named_function(
    text: str, functions: Mapping[str, Callable[..., Any]], what: str
) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Returns the function that a call names, and its options, checked against the function's signature."""
    name, options = parse_call(text)
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
