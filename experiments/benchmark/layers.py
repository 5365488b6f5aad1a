"""What layers cost beside the network without them: `python -m experiments.benchmark layers`."""

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
    """How long to measure, and what."""

    parts: tuple[Part, ...] = PARTS
    """Which tables."""
    repetitions: int = 25
    """Turns of each contender."""
    model: str = "pyramidnet14_24"
    """A network whose blocks end in the addition."""
    batch_size: int = 128
    """Its batch."""
    deep: tuple[str, ...] = ("pyramidnet272_200",)
    """Networks whose training step is compiled, and not run."""
    layer_batch_size: int = 32
    """Batch of the layers that are measured alone."""


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


def compiled_step(name: str, batch_size: int, **options: Any) -> tuple[float, float]:
    """Returns the seconds to trace and compile a network's training step, and the GiB of memory that it plans."""
    model = create_model(name, CLASSES, regularizer=SHAKEDROP, **options)
    optimizer, strategy = make_optimizer(learning_rate=0.1, weight_decay=1e-4), never()
    state = abstract_state(model, optimizer, strategy, batch_size)
    batch = jax.eval_shape(functools.partial(random_batch, batch_size, classes=CLASSES))
    began = time.perf_counter()
    step = jax.jit(make_train_step(model, optimizer, strategy), donate_argnums=0).lower(state, batch).compile()
    seconds = time.perf_counter() - began
    plan: Any = step.memory_analysis()
    return seconds, (plan.temp_size_in_bytes + plan.argument_size_in_bytes) / 2**30


def print_regularizers(command: Command) -> None:
    """Prints what noise in the branches of a network costs its training step."""
    batch = random_batch(command.batch_size, classes=CLASSES)
    calls = {"none": step_call(create_model(command.model, CLASSES), never(), None, batch)}
    for name, (factory, _) in REGULARIZERS.items():
        calls[name] = step_call(create_model(command.model, CLASSES, regularizer=factory), never(), None, batch)
    seconds = seconds_in_turns(calls, command.repetitions)
    print(f"\n{header(f'time of a step of {command.model}, batch {command.batch_size}, to that without')}")
    for name, (_, goal) in REGULARIZERS.items():
        print(ratio_row(name, seconds[name], seconds["none"], goal))


def print_layers(contenders: Contenders, command: Command) -> None:
    """Prints what layers cost alone beside what they replace."""
    size = f"{command.layer_batch_size} x {SIDE} x {SIDE} x {CHANNELS}"
    calls = {name: forward_backward(layer, command.layer_batch_size) for name, layer in contenders.layers.items()}
    seconds = seconds_in_turns(calls, command.repetitions)
    print(f"\n{header(f'forward and backward at {size}, to the layer it replaces')}")
    for name, usual, goal in contenders.ratios:
        print(ratio_row(f"{name} / {usual}", seconds[name], seconds[usual], goal), flush=True)


def print_compilation(command: Command) -> None:
    """Prints how long the training steps of deep networks take to compile, and their memory."""
    print(f"\n| training step with ShakeDrop, batch {command.batch_size} | seconds to compile | GiB | goal |")
    print("|---|---|---|---|")
    for name in command.deep:
        for options in ({}, {"remat": True}, {"remat": True, "dtype": jnp.bfloat16}):
            took, memory = compiled_step(name, command.batch_size, **options)
            said = ", ".join(["remat"] * ("remat" in options) + ["bfloat16"] * ("dtype" in options)) or "float32"
            print(f"| {name}, {said} | {took:.0f} | {memory:.1f} | at most 60 s, 24 GiB |", flush=True)


def main() -> None:
    """Measures, and prints Markdown tables."""
    command = tyro.cli(Command, description=__doc__, prog="python -m experiments.benchmark layers")
    keep_freed_memory()
    print(f"# What layers cost\n\n{provenance('layers', command.repetitions)}")
    parts: dict[Part, Callable[[Command], None]] = {
        "regularizers": print_regularizers,
        "poolings": functools.partial(print_layers, POOLS),
        "convolutions": functools.partial(print_layers, CONVS),
        "depthwise": functools.partial(print_layers, DEPTHWISE),
        "compilation": print_compilation,
    }
    for part in command.parts:
        parts[part](command)
