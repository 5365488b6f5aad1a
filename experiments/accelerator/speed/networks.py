"""A training step of the networks compared with PyTorch's."""

# pyright: reportMissingImports=false
# PyTorch is installed only where it is measured.

import statistics
from typing import Any

from experiments.accelerator.item import Item, Options
from experiments.accelerator.speed.ceilings import matrix_rate
from experiments.accelerator.speed.programs import error_text
from experiments.accelerator.speed.scales import Sizes, sizes
from experiments.accelerator.speed.steps import Setting, Step, noise_batch, steps
from experiments.accelerator.speed.torch_augmentations import ABSENT, torch_is_here, waited
from experiments.accelerator.speed.turns import Contender, ratio, ratio_quartiles, rounded, row, times_in_turns
from experiments.benchmark.torch_network import torch_product, torch_step


def items(options: Options) -> dict[str, Item]:
    """Returns the items, by a short name each."""
    size = sizes(options.scale)
    small, large = size.batch_sizes
    preact, wide = size.models

    def item(what: str, model: str, batch: int, seconds: float, *, compiled: bool) -> Item:
        name = f"step {model}, batch {batch}, {what}"
        setting = Setting(model, batch, size.side)
        settings = {"model": model, "batch": batch, "side": size.side, "dtype": "bfloat16", "torch": what}
        return Item("speed", name, seconds, lambda: against_torch(size, setting, compiled=compiled), settings)

    eager, compiled = "channels_last, autocast", "channels_last, autocast, torch.compile"
    return {
        "eager": item(eager, preact, small, 28.0, compiled=False),
        "compiled": item(compiled, preact, small, 45.0, compiled=True),
        "large": item(eager, preact, large, 26.0, compiled=False),
        "wide": item(eager, wide, small, 24.0, compiled=False),
        "wide large": item(eager, wide, large, 24.0, compiled=False),
        "wide compiled": item(compiled, wide, small, 40.0, compiled=True),
    }


def against_torch(size: Sizes, setting: Setting, *, compiled: bool) -> dict[str, Any]:
    """Returns images per second of both, their ratio, and the share of the rate of matrix products."""
    step = steps([setting])[setting]
    if isinstance(step, Exception):
        raise step
    contenders, errors = {"jaxaug": step.contender()}, {}
    if torch_is_here():
        try:
            contenders["torch"] = torch_contender(setting, compiled=compiled)
        except Exception as error:
            errors["torch"] = error_text(error)
    times = times_in_turns(contenders, size.turns, size.step_turn_seconds)
    result = figures(step, {name: each.seconds for name, each in times.items()}, setting.batch, matrix_rate(size))
    if not torch_is_here():
        result = {"without": ABSENT, **result}
    elif not compiled and not errors:
        result["torch_bfloat16_flop_per_second"] = torch_matrix_rate(size)
    return result | ({"errors": errors} if errors else {})


def torch_contender(setting: Setting, *, compiled: bool) -> Contender:
    """Returns PyTorch's step, compiled already."""
    batch = noise_batch(setting.batch, setting.side)
    contender = Contender(torch_step(batch, bfloat16=True, model=setting.model, compiled=compiled), wait=waited)
    for _ in range(3):  # cuDNN tries its algorithms in the first
        contender.wait(contender.call())
    return contender


def torch_matrix_rate(size: Sizes) -> float:
    """Returns PyTorch's rate of products of matrices in bfloat16."""
    product = Contender(torch_product(size.matrix, bfloat16=True), wait=waited)
    seconds = times_in_turns({"product": product}, size.turns, size.step_turn_seconds)["product"].seconds
    return rounded(2 * size.matrix**3 / statistics.median(seconds))


def figures(step: Step, seconds: dict[str, list[float]], batch: int, rate: float) -> dict[str, Any]:
    """Returns the result of an item."""
    rows = {name: row(each, images_per_second=batch / statistics.median(each)) for name, each in seconds.items()}
    result: dict[str, Any] = {}
    if "torch" in seconds:
        result["speed_to_torch"] = ratio(seconds["torch"], seconds["jaxaug"])
        result["speed_to_torch_quartiles"] = ratio_quartiles(seconds["torch"], seconds["jaxaug"])
    return result | {
        "images_per_second": rows["jaxaug"]["images_per_second"],
        "share_of_matrix_rate": rounded(step.flops / rows["jaxaug"]["seconds"] / rate),
        "flop_of_a_step": rounded(step.flops),
        "contenders": rows,
        "instructions_of_the_program": step.kernels(),
    }
