"""How fast everything is on an accelerator, compared with what it can do and with PyTorch on it."""

from experiments.accelerator.item import Item, Options
from experiments.accelerator.speed import (
    augmentations,
    ceilings,
    host,
    loop,
    networks,
    strategies,
    torch_augmentations,
)


def items(options: Options) -> list[Item]:
    """Returns the items of the stage, those that answer the most in the least time first."""
    small, large = augmentations.items(options)
    torch_small, torch_large, *more_torch = torch_augmentations.items(options)
    network, training = networks.items(options), loop.items(options)
    first, *more_strategies = strategies.items(options)
    ordered = [
        *ceilings.items(options),
        small,
        network["eager"],
        torch_small,
        first,
        training["fit"],
        large,
        torch_large,
        network["compiled"],
        training["population"],
        more_strategies[0],
        network["wide"],
        *more_torch[:2],
        *host.items(options),
        network["large"],
        more_strategies[1],
        *more_torch[2:],
        network["wide large"],
        network["wide compiled"],
        training["fit deep"],
    ]
    # A rehearsal has one network and one size in place of several.
    unique: dict[str, Item] = {}
    for item in ordered:
        unique.setdefault(item.name, item)
    return list(unique.values())
