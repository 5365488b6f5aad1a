"""Laws of the interface: signature, docstring, and one sentence for every bad argument."""

import contextlib
import functools
import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np

from laws.operations import ANY_RANK, FROM_PAPERS, REQUIRED, RGB_ONLY, Operation, pictures

KEY = jax.random.key(0)


@contextlib.contextmanager
def annotations_unchecked() -> Iterator[None]:
    """Runs the library as its users do: beartype, which the tests switch on, would refuse before the library can."""
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


def key_arrays_then_keyword_options(operation: Operation) -> None:
    """`f(key, images, *, ...)` or `f(key, images, labels, *, ...)`, annotated, options with defaults."""
    parameters = list(operation.parameters.values())
    leading = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    # What is no image goes by another name.
    arrays = "inputs" if leading[1:2] == ["inputs"] and operation.name in ANY_RANK else "images"
    assert leading in (["key", arrays], ["key", arrays, "labels"]), f"{operation.name} starts with {leading}"
    for p in parameters:
        assert p.annotation is not p.empty, f"{p.name} has no annotation"
        if p.name in leading:
            assert p.default is p.empty, f"{p.name} has a default"
        else:
            assert p.kind is p.KEYWORD_ONLY, f"{p.name} is not keyword-only"
            assert p.default is not p.empty or p.name in REQUIRED, f"{p.name} has no default"
    assert inspect.signature(operation.function).return_annotation is not inspect.Signature.empty


def docstring_is_complete(name: str, function: Callable[..., Any], paper: bool = False) -> None:
    """One line, every argument, what is returned, a doctest, and the paper where there is one."""
    text = inspect.getdoc(function) or ""
    first, _, rest = text.partition("\n")
    assert first.endswith("."), f"{name}: the first line is not a sentence: {first!r}"
    assert not rest or rest.startswith("\n"), f"{name}: the summary is longer than a line"
    sections = dict(re.findall(r"^(\w+):\n((?:(?:[ \t].*)?(?:\n|$))+)", text, re.M))
    parameters = inspect.signature(function).parameters
    for section in (*(["Args"] if parameters else []), "Returns", "Example", *(["References"] if paper else [])):
        assert sections.get(section, "").strip(), f"{name}: no section {section}"
    assert ">>> " in sections["Example"], f"{name}: the example is no doctest"
    for parameter in parameters:
        found = re.search(rf"^\s+\*{{0,2}}(\w+, )*\*{{0,2}}{parameter}(, \w+)*: \S", sections["Args"], re.M)
        assert found, f"{name}: {parameter} is not documented"


def operation_is_documented(operation: Operation) -> None:
    docstring_is_complete(operation.name, operation.function, operation.mixes or operation.name in FROM_PAPERS)


def bad_calls(operation: Operation) -> Iterator[tuple[str, tuple[Any, ...], dict[str, Any]]]:
    """Yields what is wrong, the arrays, and the options of calls that must be refused."""
    # Cut and cast by NumPy, which compiles nothing.
    images, labels = np.asarray(pictures((3, 8, 12, 3))), np.eye(3, dtype=np.float32)

    def arrays(key: Any = KEY, images: Any = images, labels: Any = labels) -> tuple[Any, ...]:
        return tuple(map(jnp.asarray, (key, images, labels) if operation.mixes else (key, images)))

    yield "a raw key", arrays(key=np.zeros(2, np.uint32)), {}
    yield "a number for a key", arrays(key=np.float32(0)), {}
    yield "several keys", arrays(key=jax.random.split(KEY, 3)), {}
    yield "integer images", arrays(images=(images * 255).astype(np.uint8)), {}
    yield "no images", arrays(images=images[:0], labels=labels[:0]), {}
    if operation.name in ANY_RANK:
        yield "a scalar", arrays(images=np.float32(0)), {}
    else:
        yield "one image", arrays(images=images[0]), {}
        yield "a batch of batches", arrays(images=images[None]), {}
    if operation.name in RGB_ONLY:
        yield "one channel", arrays(images=images[..., :1]), {}
    if operation.mixes:
        yield "class indices", arrays(labels=np.arange(3)), {}
        yield "integer labels", arrays(labels=labels.astype(np.int32)), {}
        yield "one row of labels", arrays(labels=labels[0]), {}
        yield "more labels than images", arrays(labels=np.eye(4, dtype=np.float32)), {}
    if operation.has_prob:
        for prob in (-0.1, 1.5, float("nan")):
            yield f"prob={prob}", arrays(), {"prob": prob}


def bad_arguments_get_one_sentence(operation: Operation) -> None:
    """Each bad call raises `ValueError` or `TypeError` with one sentence that names the function, under jit too."""
    for what, arrays, options in bad_calls(operation):
        function = functools.partial(operation.function, **{**operation.settings, **options})
        for run in (function, jax.jit(function)):
            message = refusal(run, arrays)
            assert message, f"{operation.name} accepts {what}"
            assert operation.name in message, f"{what}: {message!r} does not name {operation.name}"
            assert "\n" not in message, f"{what}: {message!r} is longer than a line"
            assert message.endswith((".", "?")), f"{what}: {message!r} is no sentence"


def refusal(function: Callable[..., Any], arrays: tuple[Any, ...]) -> str:
    """Returns the message of the `ValueError` or `TypeError` that the call raises, empty if it raises none."""
    try:
        with annotations_unchecked():
            function(*arrays)
    except (ValueError, TypeError) as error:
        return str(error) or "(an error without a message)"
    return ""


def options_go_by_name(operation: Operation) -> None:
    """An option given by position is refused."""
    arrays = (pictures((3, 8, 12, 3)), jnp.asarray(np.eye(3, dtype=np.float32)))[: 1 + operation.mixes]
    assert refusal(operation.function, (KEY, *arrays, 0.5)), f"{operation.name} takes an option by position"
