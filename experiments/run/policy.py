"""A policy: augmentations and mixing by name, as in options and policy files. It is data, never code."""

import dataclasses
import json
import pathlib
from typing import Any

from experiments.run.config import Config
from jaxaug.checks import one_line


@dataclasses.dataclass(frozen=True)
class Policy:
    """The values of --augment and --mix."""

    augment: tuple[str, ...] = ()
    mix: str | None = None

    @property
    def calls(self) -> tuple[str, ...]:
        """The augmentations, then the mixing if any."""
        return (*self.augment, *([self.mix] if self.mix else []))

    def __str__(self) -> str:
        return " + ".join(self.calls) or "nothing"


def policy_json(policy: Policy) -> dict[str, Any]:
    """Returns the policy as JSON data."""
    return {"augment": list(policy.augment), "mix": policy.mix}


def read_policy(path: pathlib.Path) -> Policy:
    """Returns the policy in a file written by `experiments.search`."""
    shown = one_line(str(path))
    try:
        data = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"the policy file {shown} cannot be read: {one_line(str(error))}.") from None
    policy = data.get("policy") if isinstance(data, dict) else None
    augment, mix = (policy.get("augment"), policy.get("mix")) if isinstance(policy, dict) else (None, None)
    if (
        not isinstance(augment, list)
        or not all(isinstance(text, str) for text in augment)
        or not (mix is None or isinstance(mix, str))
    ):
        raise ValueError(
            f"the policy file {shown} has no valid policy; "
            'expected {"policy": {"augment": ["rotate(degrees=5.0)"], "mix": null}}.'
        )
    return Policy(tuple(augment), mix)


def apply_policy_file(config: Config, default: Config) -> Config:
    """Returns the config, with augmentations and mixing from the policy file if --augment names one.

    The file replaces the mixing of `default`, the config before the command line; a different mixing is an error.
    """
    files = [text for text in config.augment if text.endswith(".json")]
    if not files:
        return config
    others = [text for text in config.augment if text not in files[:1]]
    others += [config.mix] if config.mix and config.mix != default.mix else []
    if others:
        raise ValueError(f"a policy file replaces --augment and --mix; remove {one_line(', '.join(others))}.")
    policy = read_policy(pathlib.Path(files[0]))
    return dataclasses.replace(config, augment=policy.augment, mix=policy.mix)
