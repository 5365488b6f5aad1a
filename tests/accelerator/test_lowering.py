"""Nothing that only a CPU can run slips in: all that is public lowers for CUDA and TPU, on this machine."""

import functools
import re
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from experiments.accelerator.check.cases import PACKAGES, Case, cases, inputs, packages
from experiments.accelerator.check.networks import SMALL, first_step
from jaxaug import layers
from jaxaug.models.families import FAMILIES

PLATFORMS = ("cuda", "tpu")
PUBLIC = [case for package in packages().values() for case in cases(package)]


def lowered_everywhere(function: Any, *arguments: Any) -> None:
    traced = jax.jit(function).trace(*arguments)
    for platform in PLATFORMS:
        assert traced.lower(lowering_platforms=(platform,)).as_text()


@functools.cache
def arrays(dtype: Any) -> dict[str, jax.Array]:
    return inputs(dtype)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("case", PUBLIC, ids=lambda case: case.name)
def test_public_function_lowers(case: Case, dtype: Any) -> None:
    lowered_everywhere(case.call, jax.random.key(0), arrays(dtype))


DEEP = ("densenet121", "resnext50_2x4d")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in DEEP else name for name in SMALL]
)
def test_training_step_of_a_network_lowers(name: str) -> None:
    lowered_everywhere(first_step(name, jnp.bfloat16), jax.random.key(0), jnp.zeros((2, 32, 32, 3)))


def test_a_function_of_one_platform_does_not_lower() -> None:
    def only_on_cpu(x: jax.Array) -> jax.Array:
        return jax.lax.platform_dependent(x, cpu=jnp.sin)

    with pytest.raises(NotImplementedError):
        lowered_everywhere(only_on_cpu, jnp.zeros(3))


def test_every_package_of_pure_functions_is_there_and_none_is_empty() -> None:
    assert {*PACKAGES} - {"targets"} <= packages().keys()
    assert all(cases(package) for package in packages().values())


def test_every_public_function_and_layer_has_a_case() -> None:
    named = {case.name for case in PUBLIC}
    for package in packages().values():
        for name in package.__all__:
            public = getattr(package, name)
            if not isinstance(public, type) or issubclass(public, nn.Module):
                assert name in named, name
    assert {"ricap", "crop", "ShakeDrop", "grad_cam"} <= named
    assert layers.ShakeDrop.__name__ in named


def test_an_argument_that_nobody_knows_is_named() -> None:
    class Package:
        __name__, __all__ = "jaxaug.augment", ["invented"]

        @staticmethod
        def invented(key: Any, wavelets: Any) -> None:
            """Stands for a new function."""

    with pytest.raises(ValueError, match="no value is known for the argument wavelets of invented"):
        cases(Package())  # pyright: ignore[reportArgumentType]


def test_every_way_to_build_a_network_is_among_the_small_ones() -> None:
    def function_of(build: Any) -> Any:
        return build.func if isinstance(build, functools.partial) else build

    def builders(name: str) -> set[Any]:
        patterns = (re.sub(r"<\w+>", "[0-9]+", pattern) for pattern in FAMILIES)
        rows = zip(patterns, FAMILIES.values(), strict=True)
        return {function_of(family.build) for pattern, family in rows if re.fullmatch(pattern, name)}

    tried = set().union(*map(builders, SMALL))
    assert {function_of(family.build) for family in FAMILIES.values()} == tried
