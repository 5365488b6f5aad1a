"""Whether everything is right on the accelerator: each function against the CPU, and the training machinery."""

import functools

from experiments.accelerator.check import cases, functions, networks, training
from experiments.accelerator.item import Item, Options

# On an H100, most of it compilation. Of the functions: four programs at a time, two of them for the CPU.
_FUNCTIONS = {"augment": 10.0, "mix": 4.0, "layers": 6.0, "explain": 5.0, "targets": 6.0}


def items(options: Options) -> list[Item]:
    """Returns the items of the stage: functions, training, networks."""
    return [
        *(
            Item(
                "check",
                f"functions of {name}",
                _FUNCTIONS[name],
                functools.partial(functions.compared_functions, package, options.scale),
                settings={
                    **{f"tolerance in {dtype}": tolerance for dtype, tolerance in functions.TOLERANCES.items()},
                    "share_beyond_allowed": functions.SHARE_BEYOND,
                    "matmul_precision": "highest",
                },
            )
            for name, package in cases.packages().items()
        ),
        *training.items(options),
        *networks.items(options),
    ]
