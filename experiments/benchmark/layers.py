"""The cost of layers relative to the network without them: `python -m experiments.benchmark layers`."""

import dataclasses
import functools
import time
from collections.abc import Callable
from typing import Any, Literal, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp
import tyro

from experiments.benchmark.prior_layers import (
    CHANNELS,
    CONVS,
    DEPTHWISE,
    POOLS,
    SIDE,
    Contenders,
    forward_backward,
)
from experiments.benchmark.steps import abstract_state, random_batch, step_call
from experiments.benchmark.timing import header, keep_freed_memory, provenance, ratio_row, seconds_in_turns
from jaxaug import ShakeDrop, StochasticDepth, create_model, never
from jaxaug.training import make_optimizer, make_train_step

Part = Literal["regularizers", "poolings", "convolutions", "depthwise", "compilation"]
PARTS: tuple[Part, ...] = get_args(Part)


@dataclasses.dataclass(frozen=True)
class Command:
    """What to measure, and for how long."""

    parts: tuple[Part, ...] = PARTS
    """Tables to print."""
    repetitions: int = 25
    """Number of turns of each contender."""
    model: str = "pyramidnet14_24"
    """A network without a ReLU after the addition of its blocks."""
    batch_size: int = 128
    """Batch size of the network."""
    deep: tuple[str, ...] = ("pyramidnet272_200",)
    """Networks whose training step is compiled but not run."""
    layer_batch_size: int = 32
    """Batch size of single layers."""


CLASSES = 10
SHAKEDROP = ShakeDrop.without_final_relu
REGULARIZERS: dict[str, tuple[Callable[..., nn.Module], str]] = {
    "StochasticDepth": (StochasticDepth, "-"),
    "ShakeDrop, batch": (functools.partial(SHAKEDROP, gate_level="batch", noise_level="batch"), "-"),
    "ShakeDrop, example": (SHAKEDROP, "at most 1.05"),
    "ShakeDrop, channel": (functools.partial(SHAKEDROP, noise_level="channel"), "-"),
    "ShakeDrop, pixel": (functools.partial(SHAKEDROP, noise_level="pixel"), "at most 1.25"),
    "ShakeDrop with alpha = 0, pixel": (functools.partial(ShakeDrop.with_final_relu, noise_level="pixel"), "-"),
}


def compile_step(name: str, batch_size: int, **options: Any) -> tuple[float, float]:
    """Returns the seconds to trace and compile a network's training step, and the GiB of memory that it needs."""
    model = create_model(name, CLASSES, regularizer=SHAKEDROP, **options)
    optimizer, strategy = make_optimizer(learning_rate=0.1, weight_decay=1e-4), never()
    state = abstract_state(model, optimizer, strategy, batch_size)
    batch = jax.eval_shape(functools.partial(random_batch, batch_size, classes=CLASSES))
    started = time.perf_counter()
    step = jax.jit(make_train_step(model, optimizer, strategy), donate_argnums=0).lower(state, batch).compile()
    seconds = time.perf_counter() - started
    plan: Any = step.memory_analysis()
    return seconds, (plan.temp_size_in_bytes + plan.argument_size_in_bytes) / 2**30


def print_regularizers(command: Command) -> None:
    """Prints the cost of regularizers in a training step."""
    batch = random_batch(command.batch_size, classes=CLASSES)
    calls = {"none": step_call(create_model(command.model, CLASSES), never(), None, batch)}
    for name, (factory, _) in REGULARIZERS.items():
        calls[name] = step_call(create_model(command.model, CLASSES, regularizer=factory), never(), None, batch)
    seconds = seconds_in_turns(calls, command.repetitions)
    print(f"\n{header(f'time of a step of {command.model}, batch {command.batch_size}, with / without')}")
    for name, (_, goal) in REGULARIZERS.items():
        print(ratio_row(name, seconds[name], seconds["none"], goal))


def print_layers(contenders: Contenders, command: Command) -> None:
    """Prints the cost of single layers relative to those that they replace."""
    size = f"{command.layer_batch_size} x {SIDE} x {SIDE} x {CHANNELS}"
    calls = {name: forward_backward(layer, command.layer_batch_size) for name, layer in contenders.layers.items()}
    seconds = seconds_in_turns(calls, command.repetitions)
    print(f"\n{header(f'time of forward and backward at {size} / the layer it replaces')}")
    for name, baseline, goal in contenders.ratios:
        print(ratio_row(f"{name} / {baseline}", seconds[name], seconds[baseline], goal), flush=True)


def print_compilation(command: Command) -> None:
    """Prints compile time and memory of the training steps of deep networks."""
    print(f"\n| training step with ShakeDrop, batch {command.batch_size} | seconds to compile | GiB | goal |")
    print("|---|---|---|---|")
    for name in command.deep:
        for options in ({}, {"remat": True}, {"remat": True, "dtype": jnp.bfloat16}):
            seconds, memory = compile_step(name, command.batch_size, **options)
            variant = ", ".join(["remat"] * ("remat" in options) + ["bfloat16"] * ("dtype" in options)) or "float32"
            print(f"| {name}, {variant} | {seconds:.0f} | {memory:.1f} | at most 60 s, 24 GiB |", flush=True)


def main() -> None:
    """Measures, and prints Markdown tables."""
    command = tyro.cli(Command, description=__doc__, prog="python -m experiments.benchmark layers")
    keep_freed_memory()
    print(f"# Cost of layers\n\n{provenance('layers', command.repetitions)}")
    parts: dict[Part, Callable[[Command], None]] = {
        "regularizers": print_regularizers,
        "poolings": functools.partial(print_layers, POOLS),
        "convolutions": functools.partial(print_layers, CONVS),
        "depthwise": functools.partial(print_layers, DEPTHWISE),
        "compilation": print_compilation,
    }
    for part in command.parts:
        parts[part](command)
