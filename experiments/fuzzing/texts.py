"""Readers of texts: calls, policies, configs and the command line."""

import contextlib
import io
import json
import pathlib
import random
from collections.abc import Callable, Mapping
from typing import Any

from experiments.configs import config_names, named_config
from experiments.fuzzing.fuzzing import Target
from experiments.fuzzing.mutation import TOKENS, encoded, mutated, mutated_tree
from experiments.run import build
from experiments.run import directory as run_directory
from experiments.run.call_syntax import named_function, parse_call
from experiments.run.config import Config, as_json, from_json
from experiments.run.policy import policy_in, policy_json
from experiments.train import parsed
from jaxaug import augment, mix, sampling

# Functions by name, and what they are.
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
    """Returns the functions that a config may name."""
    strategies = build._functions(sampling, ("augment",)) | build._functions(sampling, ())
    plain = build._functions(augment, ("key", "images")) | build._functions(augment, ("key", "inputs"))
    mixing = build._functions(mix, ("key", "images", "labels"))
    layers = [(functions, part) for part, functions in build._LAYERS.items()]
    return [
        (plain, "augmentation"),
        (mixing, "mixing"),
        (strategies, "strategy"),
        (build._THRESHOLDS, "threshold"),
        *layers,
    ]


def is_data(value: Any) -> bool:
    """Returns whether a value is a literal: numbers, texts and containers of them."""
    if isinstance(value, dict):
        return all(map(is_data, [*value, *value.values()]))
    if isinstance(value, tuple | list | set):
        return all(map(is_data, value))
    return value is None or value is ... or isinstance(value, bool | int | float | complex | str | bytes)


def calls() -> Target:
    """Returns the parser of calls, and the look-up of what they name."""
    functions = tables()
    fitting = {text: [table for table in functions if parse_call(text)[0] in table[0]] for text in CALLS}

    def given(rng: random.Random, folder: pathlib.Path) -> tuple[str, Table]:
        text = rng.choice(CALLS)
        table = rng.choice((rng.random() < 0.9 and fitting[text]) or functions)
        return mutated(rng, text, CALLS, TOKENS), table

    def read(text_and_table: tuple[str, Table]) -> None:
        text, table = text_and_table
        name, options = parse_call(text)
        assert all(part.isidentifier() for part in name.split(".")), "a name is no name"
        assert is_data(options), "an option is no literal"
        function, found = named_function(text, *table)
        assert callable(function), "a call of no function"
        assert repr(found) == repr(options), "two readings of one call"

    return Target("calls of functions", 0.45, given, read)


def policies() -> Target:
    """Returns the reader of policy files."""

    def given(rng: random.Random, folder: pathlib.Path) -> pathlib.Path:
        if rng.random() < 0.7:
            text = mutated(rng, rng.choice(POLICIES), POLICIES, TOKENS)
        else:
            text = json.dumps(mutated_tree(rng, json.loads(rng.choice(POLICIES))), ensure_ascii=rng.random() < 0.5)
        path = folder / "policy.json"
        path.write_bytes(encoded(rng, text))
        return path

    def read(path: pathlib.Path) -> None:
        policy = policy_in(path)
        assert json.loads(json.dumps(policy_json(policy))) == policy_json(policy), "a policy that is no data"
        assert str(policy), "a policy without a name"

    return Target("policy files", 0.20, given, read)


def config_trees() -> list[dict[str, Any]]:
    """Returns the named configs as data."""
    return [as_json(named_config(name)) for name in config_names()]


def check_config(config: Config) -> None:
    """Asserts that a config survives being written and read."""
    assert from_json(json.loads(json.dumps(as_json(config)))) == config, "a config that does not survive"


def configs() -> Target:
    """Returns the reader of a config's data."""
    trees = config_trees()

    def given(rng: random.Random, folder: pathlib.Path) -> Any:
        tree = rng.choice(trees)
        for _ in range(rng.choice((1, 1, 2, 4))):
            tree = mutated_tree(rng, tree)
        return tree

    return Target("configs", 0.15, given, lambda tree: check_config(from_json(tree)))


def load_runs() -> Target:
    """Returns the reader of a run's config.json."""
    texts = tuple(json.dumps({"name": "digits", **tree}, indent=2) for tree in config_trees())

    def given(rng: random.Random, folder: pathlib.Path) -> pathlib.Path:
        text = rng.choice(texts)
        if rng.random() < 0.5:
            text = mutated(rng, text, texts, TOKENS)
        else:
            text = json.dumps(mutated_tree(rng, json.loads(text)), ensure_ascii=rng.random() < 0.5)
        (folder / "config.json").write_bytes(encoded(rng, text))
        return folder

    def read(path: pathlib.Path) -> None:
        _, name, config = run_directory.stored_run(path)
        assert isinstance(name, str), "a run whose name is no text"
        check_config(config)

    return Target("config.json of runs", 0.08, given, read)


def command_line() -> Target:
    """Returns the parser of the options of experiments.train; tyro's own refusals count as one sentence."""

    def given(rng: random.Random, folder: pathlib.Path) -> list[str]:
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
                    raise ValueError("what tyro says of it.") from None
                if end.code == 0:  # after --help
                    return
                raise
        assert isinstance(command.config, Config), "a command without a config"

    return Target("command lines", 0.006, given, read)
