"""What the strategies cost, compared with a step that augments every example once."""

from collections.abc import Sequence
from typing import Any

from experiments.accelerator.item import Item, ItemError, Options
from experiments.accelerator.speed.programs import error_text
from experiments.accelerator.speed.scales import Sizes, sizes
from experiments.accelerator.speed.steps import Setting, steps
from experiments.accelerator.speed.turns import ratio, ratio_quartiles, row, times_in_turns

FIRST = ("M = 4", "M = 4, a quarter scored")
SECOND = ("self-paced, current loss", "self-paced, stored loss", "M = 2", "M = 8")
THIRD = ("M = 4, half resolution", "M = 4, scored in float32")


def items(options: Options) -> list[Item]:
    """Returns the items: each compiles its steps side by side, the plain one first and once for all."""
    size = sizes(options.scale)

    def item(names: Sequence[str], seconds: float) -> Item:
        settings = {
            "model": size.strategy_model,
            "batch": size.strategy_batch,
            "side": size.side,
            "dtype": "bfloat16, scores too where not said",
        }
        return Item("speed", f"strategies: {'; '.join(names)}", seconds, lambda: costs(size, names), settings)

    return [item(FIRST, 22.0), item(SECOND, 20.0), item(THIRD, 14.0)]


def plain_setting(size: Sizes) -> Setting:
    """Returns the step that others are compared with."""
    return Setting(size.strategy_model, size.strategy_batch, size.side, "plain")


def costs(size: Sizes, names: Sequence[str]) -> dict[str, Any]:
    """Returns the time of a step with each strategy over that of the plain one."""
    plain = plain_setting(size)
    settings = {name: Setting(plain.model, plain.batch, plain.side, name) for name in names}
    # The convolutions of the plain step are in all others; they are tuned when nothing else runs on the device.
    found = steps([plain]) | steps(list(settings.values()))
    compiled = {"plain": found[plain], **{name: found[setting] for name, setting in settings.items()}}
    failed = {name: error_text(each) for name, each in compiled.items() if isinstance(each, Exception)}
    if "plain" in failed:
        raise ItemError(f"plain: {failed['plain']}", {})
    contenders = {name: each.contender() for name, each in compiled.items() if not isinstance(each, Exception)}
    times = times_in_turns(contenders, size.turns, size.step_turn_seconds)
    seconds = {name: each.seconds for name, each in times.items()}
    others = [name for name in seconds if name != "plain"]
    result: dict[str, Any] = {name: ratio(seconds[name], seconds["plain"]) for name in others}
    result["steps"] = {
        name: row(each, to_plain=ratio(each, seconds["plain"]))
        | dict(zip(("to_plain_low", "to_plain_high"), ratio_quartiles(each, seconds["plain"])[::2], strict=True))
        for name, each in seconds.items()
    }
    if failed:
        raise ItemError("; ".join(f"{name}: {error}" for name, error in failed.items()), result)
    return result
