"""Compares a training step of PreActResNet-18 with PyTorch: `python -m experiments.benchmark network`."""

import dataclasses
import functools
import importlib.util
import statistics
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import tyro

from experiments.benchmark.steps import abstract_state, counted_flops, random_batch, step_call
from experiments.benchmark.timing import header, keep_freed_memory, provenance, ratio_row, seconds_in_turns
from experiments.benchmark.torch_network import settled, torch_product, torch_step
from jaxaug import create_model, never
from jaxaug.training import make_optimizer, make_train_step

MODEL, CLASSES = "preact_resnet18", 10
Precision = Literal["float32", "bfloat16"]


@dataclasses.dataclass(frozen=True)
class Command:
    """What to measure, and for how long."""

    precisions: tuple[Precision, ...] = ("float32", "bfloat16")
    """Compute dtypes of convolutions and products; weights, statistics and loss are float32."""
    batch_size: int = 128
    """Number of 32 x 32 images per step."""
    repetitions: int = 25
    """Number of turns of each contender."""
    matrix: int = 4096
    """Side of the square matrices whose product measures the device's rate."""


def product_call(size: int, dtype: Precision) -> Callable[[], Any]:
    """Returns a call of a product of two matrices."""
    a = jax.random.normal(jax.random.key(0), (size, size), jnp.dtype(dtype))
    return functools.partial(jax.jit(jnp.matmul), a, a)


def step_flops(batch: dict[str, jax.Array]) -> float:
    """Returns the floating-point operations of a training step in float32, as XLA counts them."""
    model, optimizer, strategy = create_model(MODEL, CLASSES), make_optimizer(learning_rate=0.01), never()
    state = abstract_state(model, optimizer, strategy, len(batch["index"]))
    return counted_flops(make_train_step(model, optimizer, strategy), state, batch)


def main() -> None:
    """Measures, and prints Markdown tables."""
    command = tyro.cli(Command, description=__doc__, prog="python -m experiments.benchmark network")
    keep_freed_memory()
    batch = random_batch(command.batch_size, classes=CLASSES)
    flops, has_torch = step_flops(batch), importlib.util.find_spec("torch") is not None
    torch_note = "PyTorch is not installed"
    if has_torch:
        import torch  # pyright: ignore[reportMissingImports]

        torch_note = f"PyTorch {torch.__version__}: channels_last, autocast for bfloat16, torch.compile"
    print(
        f"# Training step of {MODEL}\n\n"
        f"{provenance('network', command.repetitions, torch_note)} A step of {command.batch_size} "
        f"images of 32 x 32 takes {flops / 1e9:.0f} GFLOP as counted by XLA. The device's rate is measured with a "
        f"product of matrices of side {command.matrix}, the faster of JAX and PyTorch.\n"
    )
    ratios = []
    print("| precision | images/s, jaxaug | PyTorch | GFLOP/s of the device | share of it, jaxaug | PyTorch |")
    print("|---|---|---|---|---|---|")
    for dtype in command.precisions:
        model = create_model(MODEL, CLASSES, dtype=jnp.dtype(dtype))
        calls = {"jaxaug": step_call(model, never(), None, batch)}
        products = {"jax": product_call(command.matrix, dtype)}
        if has_torch:
            step = torch_step(batch, bfloat16=dtype == "bfloat16")
            product = torch_product(command.matrix, bfloat16=dtype == "bfloat16")
            calls["PyTorch"] = lambda step=step: settled(step())
            products["PyTorch"] = lambda product=product: settled(product())
        seconds = seconds_in_turns(calls, command.repetitions)
        rate = 2 * command.matrix**3 / min(map(statistics.median, seconds_in_turns(products, 5).values()))
        medians = {name: statistics.median(each) for name, each in seconds.items()}
        per_second = [f"{command.batch_size / each:,.0f}" for each in medians.values()]
        shares = [f"{flops / each / rate:.2f}" for each in medians.values()]
        missing = ["-"] * (2 - len(medians))
        print(
            f"| {dtype} | {' | '.join(per_second + missing)} | {rate / 1e9:,.0f} | {' | '.join(shares + missing)} |",
            flush=True,
        )
        if has_torch:
            ratios.append(ratio_row(dtype, seconds["jaxaug"], seconds["PyTorch"], "at most 1 on a GPU"))
    if ratios:
        print(f"\n{header('time of a step / PyTorch')}")
        print("\n".join(ratios))
