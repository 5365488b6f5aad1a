"""Targets that read text: calls, policies, configs and the command line."""

import contextlib
import io
import json
import pathlib
import random
import unicodedata  # noqa: F401, Python imports it to parse the first name that is not ASCII
from collections.abc import Callable, Mapping
from typing import Any

from experiments.configs import config_names, named_config
from experiments.fuzzing.harness import Target
from experiments.fuzzing.mutation import TOKENS, encoded, mutated, mutated_tree
from experiments.run import directory as run_directory
from experiments.run.call_syntax import parse_call, resolve_call
from experiments.run.components import AUGMENTATIONS, LAYERS, MIXINGS, STRATEGIES, THRESHOLDS
from experiments.run.config import Config, as_json, from_json
from experiments.run.policy import policy_json, read_policy
from experiments.train import parsed

# Functions by name, and what kind they are.
Table = tuple[Mapping[str, Callable[..., Any]], str]

CALLS = (
    *("crop(padding=4)", "flip_left_right", "cutout(size=8, fill='mean')"),
    "random_erasing(area=(0.02, 0.4), prob=0.5)",
    *("ricap(beta=0.3)", "mixup(alpha=1.0, per_example=True)"),
    *("gaussian_noise(stddev=1e-3)", "zoom(factor=[0.8, 1.25])"),
    *("always", "never()", "self_paced(threshold='quantile(q=0.5)', direction=\"below\")", "quantile(q=0.25)"),
    *("importance_sampled(num_candidates=4, temperature=-0.5)", "ShakeDrop.without_final_relu(noise_level='pixel')"),
    *("GaussianPool(prior='half')", "DisentangledConv(radius=3)"),
    *("RotatedDense(degrees=30)", "wrn_28_10(dropout=None)"),
    *("f(a={'x': {1, 2}}, b=b'x', c=1+2j, d=-1, e=[(), {}])",),
)  # fmt: skip
POLICIES = tuple(
    json.dumps({"policy": {"augment": list(calls), "mix": mixing}, "versions": {"jax": "0"}}, indent=indent)
    for calls, mixing, indent in (((), None, None), (CALLS[:1], CALLS[4], 2), (CALLS[:3], None, 1))
)
COMMANDS = (
    *([], ["digits"], ["digits", "--epochs", "3"]),
    ["--augment", "crop(padding=4)", "flip_left_right", "--mix", "ricap"],
    *(["--augment", "search.json"], ["--resume", "run"], ["--resume=run", "--quiet"], ["--data.name=folder:x"]),
    *(["--optimizer.kind", "adam", "--optimizer.milestones", "1", "2.5"], ["--data.data-dir", "x y", "--seed", "-1"]),
    *(["--strategy", "self_paced(threshold=0.5)", "--score.every", "2"], ["--run-dir", "x", "--no-optimizer.nesterov"]),
)  # fmt: skip


def tables() -> list[Table]:
    """Returns the functions that a config can name."""
    return [
        (AUGMENTATIONS, "augmentation"),
        (MIXINGS, "mixing"),
        (STRATEGIES, "strategy"),
        (THRESHOLDS, "threshold"),
        *((factories, part) for part, factories in LAYERS.items()),
    ]


def is_data(value: Any) -> bool:
    """Returns whether a value is a literal: numbers, strings and containers of them."""
    if isinstance(value, dict):
        return all(map(is_data, [*value, *value.values()]))
    if isinstance(value, tuple | list | set):
        return all(map(is_data, value))
    return value is None or value is ... or isinstance(value, bool | int | float | complex | str | bytes)


def calls() -> Target:
    """Returns the target that parses calls and looks up their functions."""
    functions = tables()
    fitting = {text: [table for table in functions if parse_call(text)[0] in table[0]] for text in CALLS}

    def generate(rng: random.Random, folder: pathlib.Path) -> tuple[str, Table]:
        text = rng.choice(CALLS)
        table = rng.choice((rng.random() < 0.9 and fitting[text]) or functions)
        return mutated(rng, text, CALLS, TOKENS), table

    def read(text_and_table: tuple[str, Table]) -> None:
        text, table = text_and_table
        name, options = parse_call(text)
        assert all(part.isidentifier() for part in name.split(".")), "the name is not an identifier"
        assert is_data(options), "an option is not a literal"
        function, resolved = resolve_call(text, *table)
        assert callable(function), "the result is not callable"
        assert repr(resolved) == repr(options), "the two parsers disagree"

    return Target("calls of functions", 0.45, generate, read)


def policies() -> Target:
    """Returns the target that reads policy files."""

    def generate(rng: random.Random, folder: pathlib.Path) -> pathlib.Path:
        if rng.random() < 0.7:
            text = mutated(rng, rng.choice(POLICIES), POLICIES, TOKENS)
        else:
            text = json.dumps(mutated_tree(rng, json.loads(rng.choice(POLICIES))), ensure_ascii=rng.random() < 0.5)
        path = folder / "policy.json"
        path.write_bytes(encoded(rng, text))
        return path

    def read(path: pathlib.Path) -> None:
        policy = read_policy(path)
        assert json.loads(json.dumps(policy_json(policy))) == policy_json(policy), "the policy is not JSON data"
        assert str(policy), "the policy has an empty name"

    return Target("policy files", 0.20, generate, read)


def config_trees() -> list[dict[str, Any]]:
    """Returns the named configs as data."""
    return [as_json(named_config(name)) for name in config_names()]


def check_config(config: Config) -> None:
    """Asserts that a config is unchanged after a round trip through JSON."""
    assert from_json(json.loads(json.dumps(as_json(config)))) == config, "the config changes in a round trip"


def configs() -> Target:
    """Returns the target that reads configs from JSON data."""
    trees = config_trees()

    def generate(rng: random.Random, folder: pathlib.Path) -> Any:
        tree = rng.choice(trees)
        for _ in range(rng.choice((1, 1, 2, 4))):
            tree = mutated_tree(rng, tree)
        return tree

    return Target("configs", 0.15, generate, lambda tree: check_config(from_json(tree)))


def run_configs() -> Target:
    """Returns the target that reads the config.json of runs."""
    texts = tuple(json.dumps({"name": "digits", **tree}, indent=2) for tree in config_trees())

    def generate(rng: random.Random, folder: pathlib.Path) -> pathlib.Path:
        text = rng.choice(texts)
        if rng.random() < 0.5:
            text = mutated(rng, text, texts, TOKENS)
        else:
            text = json.dumps(mutated_tree(rng, json.loads(text)), ensure_ascii=rng.random() < 0.5)
        (folder / "config.json").write_bytes(encoded(rng, text))
        return folder

    def read(path: pathlib.Path) -> None:
        _, name, config = run_directory.read_run(path)
        assert isinstance(name, str), "the name is not a string"
        check_config(config)

    return Target("config.json of runs", 0.08, generate, read)


def command_line() -> Target:
    """Returns the target that parses options of experiments.train; tyro's own errors count as one message."""

    def generate(rng: random.Random, folder: pathlib.Path) -> list[str]:
        words = list(rng.choice(COMMANDS))
        options = sorted({word for command in COMMANDS for word in command})
        for _ in range(rng.choice((0, 1, 1, 2, 4))):
            place = rng.randrange(len(words) + 1)
            match rng.randrange(4):
                case 0:
                    words.insert(place, rng.choice(options))
                case 1:
                    words.insert(place, rng.choice(TOKENS)[:5_000])
                case 2:
                    del words[place : place + 1]
                case _:
                    words[place : place + 1] = [mutated(rng, w, options, TOKENS)[:5_000] for w in words[place:][:1]]
        return words

    def read(words: list[str]) -> None:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            try:
                _, command = parsed(words)
            except SystemExit as end:
                if end.code == 2:
                    raise ValueError("an error of tyro.") from None
                if end.code == 0:  # after --help
                    return
                raise
        assert isinstance(command.config, Config), "the command has no config"

    return Target("command lines", 0.006, generate, read)
