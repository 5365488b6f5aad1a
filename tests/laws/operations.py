"""The operations under law: found by introspection, with the few settings that some of them need."""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

# The tables of exceptions. A new function needs a row only if it differs from the others.

# Options that have no default, by name.
REQUIRED: Mapping[str, Any] = {
    "prob": 0.5,
    "strength": 0.4,
    "brightness": 0.4,
    "contrast": 0.4,
    "saturation": 0.4,
    "hue": 0.1,
    "threshold": 0.5,
    "bits": 4,
    "sigma": 1.0,
    "stddev": 0.1,
}
# Options that suit the small images used here, where the default would not.
SETTINGS: Mapping[str, Mapping[str, Any]] = {"cutout": {"size": 4}}
# Functions of fixed values: the key changes nothing.
DRAW_NOTHING = frozenset({"solarize", "posterize", "gaussian_blur"})
# Functions that also take feature vectors [B, D].
ANY_RANK = frozenset({"gaussian_noise", "mixup"})
# Functions whose channels are red, green and blue.
RGB_ONLY = frozenset({"saturation", "hue", "color_jitter", "grayscale"})
# Functions with a paper to name, beside all those that mix.
FROM_PAPERS = frozenset({"cutout", "random_erasing", "rand_augment", "trivial_augment"})
# Public names that are no f(key, images, ...): they have tests of their own.
NOT_OPERATIONS = frozenset({"RicapPlan", "ricap_plan", "apply_ricap", "mix_labels"})


@dataclasses.dataclass(frozen=True, eq=False)
class Operation:
    """A function `f(key, images, *, ...)`, or `f(key, images, labels, *, ...)`, and the options it is tested with."""

    name: str
    function: Callable[..., Any]
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __call__(self, key: Any, images: Any, **options: Any) -> Any:
        """Returns what the function returns; where it mixes, each example has a class of its own."""
        arrays = (images, jnp.asarray(np.eye(images.shape[0], dtype=np.float32))) if self.mixes else (images,)
        return self.function(key, *arrays, **{**self.settings, **options})

    @functools.cached_property
    def parameters(self) -> Mapping[str, inspect.Parameter]:
        return inspect.signature(self.function).parameters

    @property
    def mixes(self) -> bool:
        return "labels" in self.parameters

    @property
    def random(self) -> bool:
        return self.name not in DRAW_NOTHING

    @property
    def has_prob(self) -> bool:
        return "prob" in self.parameters

    @property
    def even_coin(self) -> dict[str, float]:
        """The option under which examples are changed or not with equal chances, where there is one."""
        return {"prob": 0.5} if self.has_prob else {}

    @property
    def options(self) -> dict[str, Any]:
        """All options with the values under test: the defaults, and the settings over them."""
        defaults = {name: p.default for name, p in self.parameters.items() if p.kind is p.KEYWORD_ONLY}
        return {**defaults, **self.settings}

    @property
    def numbers(self) -> dict[str, Any]:
        """The options that may be traced: floats and tuples of floats; whole numbers fix shapes."""
        return {
            name: value
            for name, value in self.options.items()
            if isinstance(value, float) or (isinstance(value, tuple) and any(isinstance(v, float) for v in value))
        }

    @property
    def variants(self) -> list[dict[str, bool]]:
        """The default, and each switch turned."""
        switches = {name: value for name, value in self.options.items() if isinstance(value, bool)}
        return [{}, *({name: not value} for name, value in switches.items())]


def public_functions(module: ModuleType) -> dict[str, Callable[..., Any]]:
    """Returns what the module's `__all__` names, less what is no function."""
    return {name: item for name in module.__all__ if inspect.isfunction(item := getattr(module, name))}


def operations(*modules: ModuleType) -> list[Operation]:
    """Returns every public function of the modules as an operation."""
    found = []
    for module in modules:
        for name, function in public_functions(module).items():
            if name in NOT_OPERATIONS:
                continue
            parameters = inspect.signature(function).parameters.values()
            needed = {p.name: REQUIRED[p.name] for p in parameters if p.default is p.empty and p.name in REQUIRED}
            found.append(Operation(name, function, {**needed, **SETTINGS.get(name, {})}))
    return found


def pictures(shape: tuple[int, ...], dtype: Any = jnp.float32, seed: int = 0) -> jax.Array:
    """Returns images without symmetry, inside (0.1, 0.9) so that every operation has room to change them."""
    return jnp.asarray(np.random.default_rng(seed).uniform(0.1, 0.9, shape).astype(dtype))


def lower_value(value: Any) -> Any:
    """Returns another allowed value of a numeric option: half of it, or a quarter in place of zero."""
    if isinstance(value, tuple):
        return tuple(map(lower_value, value))
    return value / 2 if value else 0.25
