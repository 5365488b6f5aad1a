"""Parses library calls as typed on the command line: `cutout(size=8)`."""

import ast
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from jaxaug.checks import nearest, one_line

# No real call is longer, and deep nesting in a longer text would overflow the parser's stack.
_MAX_LENGTH = 10_000


def parse_call(text: str) -> tuple[str, dict[str, Any]]:
    """Returns the name and the options of `name` or `name(option=literal, ...)`; nothing is evaluated.

    A name may contain one dot, as in `ShakeDrop.with_final_relu`.
    """
    message = f"expected name or name(option=value, ...); got {one_line(repr(text[:_MAX_LENGTH]))}."
    if len(text) > _MAX_LENGTH:
        raise ValueError(message)
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        function, arguments = (tree.func, tree.keywords) if isinstance(tree, ast.Call) else (tree, [])
        dotted = isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name)
        if not (isinstance(function, ast.Name) or dotted) or (isinstance(tree, ast.Call) and tree.args):
            raise ValueError(message)
        options = {keyword.arg: keyword.value for keyword in arguments}
        if None in options or len(options) < len(arguments):  # f(**x), or a repeated option
            raise ValueError(message)
        return ast.unparse(function), {str(name): ast.literal_eval(value) for name, value in options.items()}
    # Some literals are invalid: {[]: 1} raises a TypeError, a huge integer with an imaginary part overflows.
    except (SyntaxError, ValueError, TypeError, OverflowError, MemoryError, RecursionError):
        raise ValueError(message) from None


def resolve_call(
    text: str, functions: Mapping[str, Callable[..., Any]], kind: str
) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Returns the function that a call names and its options, checked against the function's signature.

    Args:
      text: the call.
      functions: the allowed functions by name.
      kind: what they are, for error messages: "augmentation".
    """
    name, options = parse_call(text)
    if name not in functions:
        raise ValueError(nearest(name, functions, kind))
    parameters = inspect.signature(functions[name]).parameters.values()
    # The options of a Linen module are its fields, without the two that Linen adds.
    fields = {p.name for p in parameters if inspect.isclass(functions[name])} - {"parent", "name"}
    known = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY or p.name in fields]
    for option in options:
        if option not in known:
            raise ValueError(nearest(option, known, f"option of {name}"))
    return functions[name], options
