"""A policy: augmentations and mixing by name, as options and files hold them. It is data, never code."""

import dataclasses
import json
import pathlib
from typing import Any

from experiments.run.config import Config
from jaxaug.checks import one_line


@dataclasses.dataclass(frozen=True)
class Policy:
    """What `experiments.train` calls --augment and --mix."""

    augment: tuple[str, ...] = ()
    mix: str | None = None

    def __str__(self) -> str:
        return " + ".join((*self.augment, *([self.mix] if self.mix else []))) or "nothing"


def policy_json(policy: Policy) -> dict[str, Any]:
    """Returns the policy as data that JSON can hold."""
    return {"augment": list(policy.augment), "mix": policy.mix}


def policy_in(path: pathlib.Path) -> Policy:
    """Returns the policy of a file of `experiments.search`, or raises what is wrong with it."""
    named = one_line(str(path))
    try:
        data = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"the policy file {named} cannot be read: {one_line(str(error))}.") from None
    policy = data.get("policy") if isinstance(data, dict) else None
    augment, mix = (policy.get("augment"), policy.get("mix")) if isinstance(policy, dict) else (None, None)
    if (
        not isinstance(augment, list)
        or not all(isinstance(text, str) for text in augment)
        or not (mix is None or isinstance(mix, str))
    ):
        raise ValueError(
            f"the policy file {named} holds no policy; "
            '{"policy": {"augment": ["rotate(degrees=5.0)"], "mix": null}} is expected.'
        )
    return Policy(tuple(augment), mix)


def with_policy_of_file(config: Config, default: Config) -> Config:
    """Returns the config, with a policy file's augmentations and mixing where its --augment names such a file.

    The mixing of the config that it was made of, `default`, gives way; one of the command line is a contradiction.
    """
    files = [text for text in config.augment if text.endswith(".json")]
    if not files:
        return config
    others = [text for text in config.augment if text not in files[:1]]
    others += [config.mix] if config.mix and config.mix != default.mix else []
    if others:
        beside = one_line(", ".join(others))
        raise ValueError(f"a policy file stands for all of --augment and --mix; got {beside} beside it.")
    policy = policy_in(pathlib.Path(files[0]))
    return dataclasses.replace(config, augment=policy.augment, mix=policy.mix)
