"""Readers of what comes from outside, against damaged inputs, and the fuzzer against damaged readers."""

import json
import keyword
import os
import pathlib
import pickle
import random
import re
import subprocess
import sys
import time

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from experiments.fuzzing import __main__ as command
from experiments.fuzzing import harness
from experiments.fuzzing.checkpoints import CONFIG, DESCRIPTION, forged, save_state
from experiments.fuzzing.harness import Target, fault_of, run_target
from experiments.fuzzing.images import OTHERS, png
from experiments.fuzzing.mutation import TOKENS, mutated, mutated_tree
from experiments.fuzzing.watch import Watch, time_limit
from experiments.run import directory as run_directory
from experiments.run.call_syntax import one_line, parse_call
from experiments.run.config import Config, as_json, from_json
from experiments.run.policy import apply_policy_file, read_policy
from jaxaug.data import load
from jaxaug.data.decoding import decoded
from jaxaug.training import Checkpoints


@pytest.fixture(scope="module")
def targets(tmp_path_factory):
    """All targets by name."""
    return {target.name: target for target in command.targets(tmp_path_factory.mktemp("kept"))}


def test_every_reader_answers_with_a_value_or_a_sentence(targets, tmp_path):
    # In a process of its own, where nothing is decorated at run time, as these tests have the library.
    page = tmp_path / "page.md"
    arguments = ["--inputs", "4000", "--seed", "1", "--results", str(page)]
    run = subprocess.run(
        [sys.executable, "-m", "experiments.fuzzing", *arguments], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr[-2_000:]
    for name, target in targets.items():
        counts = re.search(rf"^{re.escape(name)}: (\d+) accepted, (\d+) rejected", run.stdout, re.MULTILINE)
        assert counts is not None, run.stdout
        accepted, rejected = map(int, counts.groups())
        assert accepted + rejected == command.input_count(target, 4000)
        assert min(accepted, rejected) > 0
    assert "There are no violations." in page.read_text()


def test_the_targets_share_all_inputs(targets):
    assert sum(target.share for target in targets.values()) == pytest.approx(1.0, abs=0.01)


# Faults of readers, each by the words of its violation.


def outside() -> None:
    (pathlib.Path(__file__).parent / "outside.txt").open("w").close()
    (pathlib.Path(__file__).parent / "outside.txt").unlink()


def raising(error: BaseException):
    def read() -> None:
        raise error

    return read


def deaf() -> None:
    try:
        time.sleep(5)
    except Exception:
        time.sleep(5)


FAULTS = {
    "exec ": lambda: eval("1 + 1"),
    "compile ": lambda: compile("1 + 1", "foreign", "exec"),
    "KeyError": raising(KeyError("x")),
    "RecursionError": raising(RecursionError()),
    "SystemExit": raising(SystemExit(3)),
    "AssertionError": raising(AssertionError("no valid value")),
    "more than 0.2 s": deaf,
    "open ": outside,
    "os.system": lambda: os.system("true"),
    "subprocess.Popen": lambda: subprocess.run(["true"], check=True),
    "pickle.find_class": lambda: pickle.loads(b"cos\nsystem\n."),
    "import ": lambda: (sys.modules.pop("colorsys", None), __import__("colorsys")),
    "an empty message": raising(ValueError("")),
    "more than one line": raising(ValueError("a\u2028b")),
    "a message of more than": raising(TypeError("x" * 9_999)),
    "a traceback": raising(ValueError('File "x.py", line 3')),
}


@pytest.mark.parametrize("words", FAULTS)
def test_a_fault_of_a_reader_is_found(words, tmp_path):
    target = Target("planted", 1.0, lambda rng, folder: None, lambda given: FAULTS[words](), seconds=0.2)
    found = run_target(target, 2, seed=0, folder=tmp_path)
    assert any(words in violation for violation in found.violations), found.violations
    assert min(found.first.values()) == 0


def test_too_much_memory_is_found(tmp_path, monkeypatch):
    peaks = iter([1.0, 1.5])
    monkeypatch.setattr(harness, "peak_memory", lambda: next(peaks))
    found = run_target(Target("planted", 1.0, lambda *_: None, lambda given: None), 3, seed=0, folder=tmp_path)
    assert list(found.violations) == ["memory grows by more than 0.25 GiB"]
    assert found.memory == 0.5


def test_a_reader_without_faults_has_none(tmp_path):
    def read(folder: pathlib.Path) -> None:
        (folder / "x").write_text("y")
        (folder / "x").rename(folder / "z")
        (folder / "z").unlink()
        if len(os.listdir("/")):
            raise FileNotFoundError("there is no x.")

    found = run_target(Target("sound", 1.0, lambda rng, folder: folder, read), 5, seed=0, folder=tmp_path)
    assert (found.accepted, found.rejected, found.messages) == (0, 5, {"there is no x."})
    assert not found.violations


# The fuzzer itself.


def test_an_input_follows_from_seed_target_and_number(targets, tmp_path):
    for name in ("calls of functions", "configs", "command lines", "images"):
        one, two, other = (repr(targets[name].generate(random.Random(seed), tmp_path)) for seed in ("a", "a", "b"))
        assert one == two
        assert one != other


def test_damage_leaves_the_examples_as_they_are():
    tree = as_json(Config())
    before = json.dumps(tree)
    changed = {json.dumps(mutated_tree(random.Random(seed), tree)) for seed in range(100)}
    assert json.dumps(tree) == before
    assert len(changed) > 50
    texts = {mutated(random.Random(seed), b"abcdef", [b"xyz"], [b"token"]) for seed in range(100)}
    assert len(texts) > 50
    assert all(isinstance(text, bytes) for text in texts)


def test_the_page_counts_what_was_found(tmp_path, capsys, monkeypatch):
    page = tmp_path / "page.md"
    arguments = ["robustness", "--inputs", "200", "--only", "configs", "calls of functions", "--results", str(page)]
    monkeypatch.setattr(sys, "argv", arguments)
    assert command.main() == 0
    text = page.read_text()
    assert "| configs | 30 | " in text
    assert "| calls of functions | 90 | " in text
    assert "There are no violations." in text
    monkeypatch.setattr(sys, "argv", ["robustness", "--only", "config"])
    assert command.main() == 2
    assert "unknown target 'config'; did you mean 'configs'" in capsys.readouterr().err


def test_the_page_names_violations(targets):
    found = harness.Outcome(accepted=9, rejected=0)
    found.add_violation(3, "KeyError: 'x'")
    found.add_violation(7, "KeyError: 'x'")
    text = command.page({"configs": (targets["configs"], found)}, command.Command())
    assert "- configs, 2 times, first at input 3: `KeyError: 'x'`" in text


# What the fuzzer found.

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z_0-9]{0,8}", fullmatch=True).filter(lambda name: not keyword.iskeyword(name))
LITERALS = st.recursive(
    st.one_of(
        *(st.none(), st.booleans(), st.integers(), st.text(), st.binary()),
        st.floats(allow_nan=False, allow_infinity=False),
    ),
    lambda inner: st.one_of(
        *(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
        st.lists(inner, max_size=3).map(tuple),
    ),
    max_leaves=8,
)


@hypothesis.given(st.lists(NAMES, min_size=1, max_size=2).map(".".join), st.dictionaries(NAMES, LITERALS, max_size=4))
def test_a_call_is_read_as_it_was_written(name, options):
    def written(name: str, options: dict[str, object]) -> str:
        return f"{name}({', '.join(f'{option}={value!r}' for option, value in options.items())})"

    text = written(name, options)
    assert parse_call(text) == (name, options)
    assert written(*parse_call(text)) == text


@hypothesis.given(st.lists(st.sampled_from(TOKENS), max_size=4).map("".join))
def test_tokens_are_a_call_or_one_sentence(text):
    try:
        parse_call(text)
        sentence = "none"
    except ValueError as error:
        sentence = str(error)
    assert not fault_of(sentence)


@pytest.mark.parametrize(
    "text", ["f(a=1, a=2)", "f(a={[]: 1})", f"f(a={'9' * 400}+1j)", "f(a=" + "-" * 9_000 + "1)", "x" * 20_000]
)
def test_calls_that_python_cannot_make_data_of_are_refused(text):
    with pytest.raises(ValueError, match="name or name") as error:
        parse_call(text)
    assert not fault_of(str(error.value))
    assert len(str(error.value)) < 300


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.update(augment="crop"), "augment is 'crop', expected tuple[str, ...]"),
        (lambda d: d.update(augment=[1]), "augment is (1,)"),
        (lambda d: d.update(epochs="3"), "epochs is '3', expected int"),
        (lambda d: d.update(epochs=True), "epochs is True"),
        (lambda d: d.update(epochs=2.5), "epochs is 2.5"),
        (lambda d: d.update(engine="quick"), "engine is 'quick'"),
        (lambda d: d["optimizer"].update(learning_rate=float("nan")), "optimizer.learning_rate is nan"),
        (lambda d: d["optimizer"].update(clip_norm=float("inf")), "optimizer.clip_norm is inf"),
        (lambda d: d["optimizer"].update(milestones={"1": 2}), "optimizer.milestones is"),
        (lambda d: d.update({"a\nb" * 500: 1}), "unexpected keyword argument 'a ba b"),
        (lambda d: d.update(data=["ab"]), "not a valid config for this version"),
    ],
)
def test_a_config_of_other_types_is_refused_in_one_sentence(change, words):
    data = as_json(Config())
    change(data)
    with pytest.raises(ValueError, match="not a valid config for this version") as error:
        from_json(data)
    assert words in str(error.value)
    assert not fault_of(str(error.value))


def test_an_integer_of_any_size_stands_for_a_number():
    data = as_json(Config())
    data["optimizer"]["learning_rate"] = 10**400
    assert from_json(data).optimizer.learning_rate == 10**400


def test_names_of_policy_files_stand_on_one_line(tmp_path):
    for name in ("a\nb.json", "x" * 300 + ".json", "a\0.json", "."):
        with pytest.raises(ValueError, match="cannot be read") as error:
            read_policy(tmp_path / name)
        assert not fault_of(str(error.value))
    with pytest.raises(ValueError, match=r"replaces --augment and --mix; remove a b\.") as error:
        apply_policy_file(Config(augment=("x.json", "a\nb")), Config())


def test_text_in_a_sentence_is_on_one_line_and_short():
    assert one_line("a\nb\u2028c\ud800d\x1be") == "a b c d e"
    assert one_line("x" * 50, limit=10) == "xxxxxxx..."
    assert one_line("x" * 10, limit=10) == "x" * 10


@pytest.mark.parametrize(
    "text",
    [
        "[" * 120_000,
        "[]",
        '"x"',
        '{"name": 1}',
        "9" * 5_000,
        "\ufeff{}",
        json.dumps({**as_json(Config()), "name": [1]}),
    ],
    ids=["deep", "list", "text", "number", "digits", "mark", "name"],
)
def test_a_config_file_that_holds_no_run_is_refused_in_one_sentence(text, tmp_path):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match=r"config\.json cannot be read: ") as error:
        run_directory.read_run(tmp_path)
    assert not fault_of(str(error.value))


@pytest.mark.parametrize("name", ["a\nb", "x" * 300, "x" * 9_000])
def test_a_path_of_no_run_stands_on_one_line(name, tmp_path):
    with pytest.raises(ValueError, match=r"is not a run directory|cannot be read") as error:
        run_directory.read_run(tmp_path / name)
    assert not fault_of(str(error.value))


@pytest.mark.parametrize("data", OTHERS)
def test_what_is_no_picture_is_refused_and_starts_no_program(data, tmp_path):
    with (
        Watch(tmp_path, first=True).on() as effects,
        pytest.raises(ValueError, match="x: the image cannot be read") as error,
    ):
        decoded(data, where="x", channels=3, size=None)
    assert not effects
    assert not fault_of(str(error.value))


def test_a_bomb_is_refused_and_what_is_just_none_is_read():
    with pytest.raises(ValueError, match="decompression bomb"):
        decoded(png(9_500, 9_500), where="x", channels=1, size=(4, 4))
    np.testing.assert_array_equal(decoded(png(70, 66), where="x", channels=1, size=None), np.zeros((66, 70, 1)))


def test_a_pipe_named_as_an_image_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.png")
    with time_limit(5), pytest.raises(ValueError, match="cannot be read"):
        decoded(tmp_path / "x.png", where="x", channels=3, size=None)


def test_a_line_break_in_the_name_of_a_file_does_not_break_the_sentence(tmp_path):
    for split in ("train", "test"):
        (tmp_path / split / "a\nb").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"the class folder .*a b has no") as error:
        load(f"folder:{tmp_path}")
    assert not fault_of(str(error.value))
    (tmp_path / "train" / "a\nb" / "c\nd.png").write_text("x")
    (tmp_path / "test" / "a\nb" / "c\nd.png").write_text("x")
    with pytest.raises(ValueError, match=r"a b/c d\.png: the image cannot be read") as error:
        load(f"folder:{tmp_path}")
    assert not fault_of(str(error.value))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda about: about.pop("structure"), FileNotFoundError),
        (lambda about: about.pop("sums"), FileNotFoundError),
        (lambda about: about.update(sums={"loss": 2**40}), FileNotFoundError),
        (lambda about: about.update(sums={"loss": "x"}), FileNotFoundError),
        (lambda about: about.update(config={"a\nb": "x" * 9_000}), ValueError),
    ],
    ids=["structure", "sums", "large", "text", "config"],
)
@pytest.mark.filterwarnings("ignore:the checkpoint of step 0 cannot be read")
def test_a_forged_description_of_a_checkpoint_is_refused_in_one_sentence(change, error, tmp_path):
    state = save_state(tmp_path / "checkpoints")
    description = tmp_path / "checkpoints" / DESCRIPTION
    about = json.loads(description.read_text())
    del about["sha256"]
    change(about)
    description.write_text(forged(about))
    with Checkpoints(tmp_path / "checkpoints", config=CONFIG) as checkpoints, pytest.raises(error) as raised:
        checkpoints.restore(state)
    assert not fault_of(str(raised.value))
