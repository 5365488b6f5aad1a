import dataclasses
import json
import os
import shutil
import subprocess
import sys
import warnings
import weakref

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from resumption import bits

from jaxaug.sampling import Strategy
from jaxaug.training import Checkpoints, SaveError, init_state, make_optimizer, make_train_step
from jaxaug.training.checkpoint import differences

CLASSES, EXAMPLES = 3, 12
CONFIG = {"model": "tiny", "optimizer": {"learning_rate": 0.1, "milestones": (60, 120)}, "seed": 0}
SUMS = {
    "loss": jnp.float32(1.1) / 3,
    "accuracy": jnp.float32(7.0),
    "examples": jnp.int32(8),
    "bad_step": jnp.int32(-1),
}


class Tiny(nn.Module):
    """Everything that a state may hold: kernels, batch statistics, and a table large enough for a file of its own."""

    @nn.compact
    def __call__(self, x, *, train=False):
        x = nn.BatchNorm(use_running_average=not train)(nn.Conv(8, (3, 3))(x))
        x = nn.relu(x).reshape(x.shape[0], -1)
        return nn.Dense(CLASSES)(x)


def table() -> Strategy:
    return Strategy(
        init=lambda n: {"losses": jnp.full(n, jnp.inf, jnp.float32), "seen": jnp.zeros(n, jnp.int32)},
        select=lambda key, state, batch, score: (batch, state, {"augmented": jnp.float32(0.0)}),
        observe=lambda state, batch, losses: {
            "losses": state["losses"].at[batch["index"]].set(losses),
            "seen": state["seen"].at[batch["index"]].add(1),
        },
    )


@pytest.fixture(scope="module")
def states():
    """States after 0, 1, ... 4 steps, so that no array is still a constant."""
    model, optimizer = Tiny(), make_optimizer(learning_rate=0.1)
    state = init_state(
        jax.random.key(0), model, optimizer, table(), shape=(6, 6, 1), num_examples=EXAMPLES, average=True
    )
    step = jax.jit(make_train_step(model, optimizer, table(), average_decay=0.9))
    every = [state]
    for t in range(4):
        index = jnp.arange(4, dtype=jnp.int32) + t
        images = jax.random.uniform(jax.random.key(t), (4, 6, 6, 1))
        state, _ = step(state, {"image": images, "label": jax.nn.one_hot(index % CLASSES, CLASSES), "index": index})
        every.append(state)
    return every


def numbers(sums):
    return {name: (value.dtype, value.item()) for name, value in sums.items()}


def assert_restored(checkpoints, expected, like, sums=SUMS):
    state, restored = checkpoints.restore(like)
    assert jax.tree.structure(state) == jax.tree.structure(expected)
    assert bits(state) == bits(expected)
    assert numbers(restored) == numbers(sums)


def test_what_is_saved_comes_back_bit_for_bit(tmp_path, states):
    with Checkpoints(tmp_path / "run", config=CONFIG) as checkpoints:
        checkpoints.save(states[3], SUMS)
    with Checkpoints(tmp_path / "run", config=CONFIG) as checkpoints:
        assert checkpoints.steps() == [3]
        assert_restored(checkpoints, states[3], like=states[0])


def test_a_restored_state_goes_on_bit_for_bit_and_compiles_nothing_new(tmp_path, states):
    model, optimizer = Tiny(), make_optimizer(learning_rate=0.1)
    traces = []
    inner = make_train_step(model, optimizer, table(), average_decay=0.9)

    @jax.jit
    def step(state, batch):
        traces.append(1)
        return inner(state, batch)

    batch = {
        "image": jax.random.uniform(jax.random.key(9), (4, 6, 6, 1)),
        "label": jnp.full((4, CLASSES), 1 / CLASSES),
        "index": jnp.arange(4, dtype=jnp.int32),
    }
    expected = bits(step(states[4], batch))
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(states[4], SUMS)
        restored, _ = checkpoints.restore(states[0])
    assert bits(step(restored, batch)) == expected
    assert len(traces) == 1


@pytest.mark.parametrize("value", [0.1, 1e-40, 3.4028235e38, 1 / 3, 16777216.0, float("inf")])
def test_sums_come_back_exactly(tmp_path, states, value):
    sums = {**SUMS, "loss": jnp.float32(value), "examples": jnp.int32(2**31 - 1)}
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(states[0], sums)
        assert numbers(checkpoints.restore(states[0])[1]) == numbers(sums)


def test_sums_of_a_vector_come_back_exactly(tmp_path, states):
    sums = {**SUMS, "augmented_by_class": jnp.array([0.1, 1 / 3, 0.0], jnp.float32)}
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(states[0], sums)
        restored = checkpoints.restore(states[0])[1]
    np.testing.assert_array_equal(restored["augmented_by_class"], sums["augmented_by_class"])
    assert restored["augmented_by_class"].dtype == jnp.float32


def test_keys_inside_the_state_come_back(tmp_path, states):
    state = dataclasses.replace(states[1], score_state={"key": jax.random.key(5), "step": jnp.int32(3)})
    like = dataclasses.replace(states[0], score_state={"key": jax.random.key(0), "step": jnp.int32(0)})
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state, SUMS)
        restored, _ = checkpoints.restore(like)
    assert bits(restored) == bits(state)
    assert jax.random.uniform(restored.score_state["key"]) == jax.random.uniform(jax.random.key(5))


def test_the_last_ones_and_the_best_by_validation_accuracy_are_kept(tmp_path, states):
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        for state, accuracy in zip(states, (0.5, 0.9, 0.7, None, 0.8), strict=True):
            checkpoints.save(state, SUMS, validation_accuracy=accuracy)
            checkpoints.wait()
        assert checkpoints.steps() == [1, 3, 4]
        assert_restored(checkpoints, states[4], like=states[0])


def test_without_validation_only_the_last_ones_are_kept(tmp_path, states):
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        for state in states:
            checkpoints.save(state, SUMS)
            checkpoints.wait()
        assert checkpoints.steps() == [4]


def test_saving_a_step_again_changes_nothing(tmp_path, states):
    other = {**SUMS, "loss": jnp.float32(5.0)}
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(states[2], SUMS)
        checkpoints.save(states[2], other)  # while it is written
        checkpoints.wait()
        checkpoints.save(states[2], other, validation_accuracy=0.5)
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.steps() == [2]
        checkpoints.save(states[2], other)
        assert_restored(checkpoints, states[2], like=states[0])


def test_training_continues_while_a_checkpoint_is_written(tmp_path, states):
    """The state is donated at once, and its buffers are reused before the writers read them."""
    state = jax.tree.map(jnp.copy, states[3])
    expected = bits(state)
    sums = jax.tree.map(jnp.copy, SUMS)
    overwrite = jax.jit(lambda tree: jax.tree.map(lambda x: x * 0, tree), donate_argnums=0)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state, sums)
        plain = {"params": state.params, "opt_state": state.opt_state, "stats": state.batch_stats, "sums": sums}
        given_away = overwrite(plain)
        jax.block_until_ready(given_away)
        assert all(x.is_deleted() for x in jax.tree.leaves((state.params, sums)))
        checkpoints.wait()
        restored, restored_sums = checkpoints.restore(states[0])
    assert bits(restored) == expected
    assert numbers(restored_sums) == numbers(SUMS)


def test_the_copy_of_a_state_is_let_go_when_it_is_written(tmp_path, states, monkeypatch):
    copies = []
    copy = jnp.copy
    monkeypatch.setattr(jnp, "copy", lambda x: copies.append(weakref.ref(c := copy(x))) or c)
    with Checkpoints(tmp_path) as checkpoints:
        for state in states[:2]:
            checkpoints.save(state, SUMS)
        checkpoints.wait()
    assert copies
    assert not any(ref() is not None for ref in copies)


@pytest.fixture(scope="module")
def two_checkpoints(tmp_path_factory, states):
    """Checkpoints of steps 2 and 3, to be copied and damaged."""
    directory = tmp_path_factory.mktemp("whole") / "run"
    with Checkpoints(directory, config=CONFIG) as checkpoints:
        checkpoints.save(states[2], {**SUMS, "loss": jnp.float32(2.0)}, validation_accuracy=0.5)
        checkpoints.save(states[3], SUMS, validation_accuracy=0.5)
    return directory


# Names of files by what is in them: the data files of orbax have random names.
FILES = {
    "about": "about/metadata",
    "tree": "state/_METADATA",
    "array metadata": "state/array_metadatas/*",
    "manifest": "state/manifest.ocdbt",
    "root of the index": "state/d/*",
    "manifest of the process": "state/ocdbt.process_0/manifest.ocdbt",
    "data": "state/ocdbt.process_0/d/*",
    "completion mark": "commit_success.txt",
    "checkpoint metadata": "_CHECKPOINT_METADATA",
}
DAMAGE = {
    "deleted": lambda path: path.unlink(),
    "emptied": lambda path: path.write_bytes(b""),
    "cut in half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "second half zeros": lambda path: path.write_bytes(
        path.read_bytes()[: path.stat().st_size // 2] + bytes(-(-path.stat().st_size // 2))
    ),
    "noise": lambda path: path.write_bytes(np.random.default_rng(0).bytes(path.stat().st_size)),
}


def outcome(directory, states):
    """Returns "same" or "set aside", after checking that what was restored is what the step was saved with."""
    with warnings.catch_warnings(record=True) as caught, Checkpoints(directory, config=CONFIG) as checkpoints:
        warnings.simplefilter("always")
        state, sums = checkpoints.restore(states[0])
    warned = [str(w.message) for w in caught if "cannot be read" in str(w.message)]
    step = int(state.step)
    assert step in (2, 3)
    assert bits(state) == bits(states[step])
    assert numbers(sums) == numbers({**SUMS, "loss": jnp.float32(2.0)} if step == 2 else SUMS)
    aside = directory.parent / f"{directory.name}-unreadable-3"
    if step == 3:
        assert not warned
        assert not aside.exists()
        return "same"
    assert len(warned) == 1
    assert "the checkpoint of step 3 cannot be read (" in warned[0]
    assert str(aside) in warned[0]
    assert aside.is_dir()
    return "set aside"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # readers that orbax leaves behind
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("file", FILES)
def test_a_damaged_checkpoint_is_restored_exactly_or_set_aside_with_a_warning(
    tmp_path, states, two_checkpoints, file, damage
):
    paths = sorted((two_checkpoints / "3").glob(FILES[file]))
    assert paths, "orbax lays its files out in another way"
    for number, path in enumerate(paths):
        directory = tmp_path / str(number)
        shutil.copytree(two_checkpoints, directory)
        DAMAGE[damage](directory / path.relative_to(two_checkpoints))
        found = outcome(directory, states)
        if file in ("about", "tree", "manifest"):
            assert found == "set aside"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("seed", range(5))
def test_a_flipped_bit_is_never_restored_as_another_number(tmp_path, states, two_checkpoints, seed):
    rng = np.random.default_rng(seed)
    largest = max((two_checkpoints / "3" / "state").rglob("*"), key=lambda path: path.stat().st_size * path.is_file())
    directory = tmp_path / "run"
    shutil.copytree(two_checkpoints, directory)
    path = directory / largest.relative_to(two_checkpoints)
    content = bytearray(path.read_bytes())
    content[rng.integers(len(content))] ^= 1 << rng.integers(8)
    path.write_bytes(content)
    outcome(directory, states)


@pytest.mark.parametrize(
    "change",
    [
        lambda about: about.pop("sums"),
        lambda about: about["sums"].pop("loss"),
        lambda about: about["sums"].update(examples=9),
        lambda about: about["sums"].update(loss="x"),
    ],
)
def test_damaged_sums_that_are_still_json_are_noticed(tmp_path, states, two_checkpoints, change):
    directory = tmp_path / "run"
    shutil.copytree(two_checkpoints, directory)
    path = directory / "3/about/metadata"
    about = json.loads(path.read_text())
    change(about)
    path.write_text(json.dumps(about))
    assert outcome(directory, states) == "set aside"


def test_a_step_that_was_set_aside_can_be_saved_and_set_aside_again(tmp_path, states):
    directory = tmp_path / "run"
    for state in states[:2]:
        with Checkpoints(directory) as checkpoints:
            checkpoints.save(state, SUMS)
    for _ in range(2):
        (directory / "1/about/metadata").write_text("")
        with Checkpoints(directory) as checkpoints:
            with pytest.warns(UserWarning, match="step 1 cannot be read"):
                assert_restored(checkpoints, states[0], like=states[0])
            assert checkpoints.steps() == [0]
            checkpoints.save(states[1], SUMS)
            checkpoints.wait()
            assert_restored(checkpoints, states[1], like=states[0])


def test_when_every_checkpoint_is_damaged_none_is_found_and_nothing_is_deleted(tmp_path, states, two_checkpoints):
    directory = tmp_path / "run"
    shutil.copytree(two_checkpoints, directory)
    for step in (2, 3):
        (directory / f"{step}/state/manifest.ocdbt").unlink()
    with (
        Checkpoints(directory, config=CONFIG) as checkpoints,
        pytest.warns(UserWarning, match="cannot be read"),
        pytest.raises(FileNotFoundError, match="no checkpoint that can be read"),
    ):
        checkpoints.restore(states[0])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "run-unreadable-2", "run-unreadable-3"]


def test_a_checkpoint_of_another_config_is_refused_and_stays(tmp_path, states):
    with Checkpoints(tmp_path, config=CONFIG) as checkpoints:
        checkpoints.save(states[1], SUMS)
    other = {**CONFIG, "optimizer": {"learning_rate": 0.2, "milestones": [60, 120]}}
    with (
        Checkpoints(tmp_path, config=other) as checkpoints,
        pytest.raises(
            ValueError,
            match=r"another config: optimizer\.learning_rate is 0\.1, not 0\.2\. Resume with the same config",
        ),
    ):
        checkpoints.restore(states[0])
    with Checkpoints(tmp_path, config=CONFIG) as checkpoints:
        assert_restored(checkpoints, states[1], like=states[0])


@pytest.mark.parametrize(
    ("given", "expected", "names"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": {"b": (1, 2)}}, {"a": {"b": [1, 2]}}, []),
        ({"a": 1, "b": {"c": 2}}, {"a": 3, "b": {"c": 4}}, ["a", "b.c"]),
        ({"a": 1}, {"a": 1, "b": 2}, ["b"]),
        ({"a": 1, "b": 2}, {"a": 1}, ["b"]),
        ({"a": 1, "b": None}, {"a": 1}, ["b"]),
        ({"a": 1}, {"a": 1, "b": None}, ["b"]),
    ],
)
def test_differences_name_every_entry_that_differs(given, expected, names):
    sentence = differences(given, expected)
    assert [part.split(" is ")[0] for part in sentence.split(", ") if part.count(" is ")] == names


def test_an_empty_directory_has_no_checkpoint(tmp_path, states):
    with Checkpoints(tmp_path / "new") as checkpoints:
        assert checkpoints.steps() == []
        with pytest.raises(FileNotFoundError, match=f"no checkpoint that can be read in {tmp_path / 'new'}"):
            checkpoints.restore(states[0])


def test_what_an_interrupted_save_left_is_ignored(tmp_path, states, two_checkpoints):
    directory = tmp_path / "run"
    shutil.copytree(two_checkpoints, directory)
    for name in ("4.orbax-checkpoint-tmp", "4.orbax-checkpoint-tmp-1700000000000000"):
        shutil.copytree(directory / "3", directory / name)
        (directory / name / "state/manifest.ocdbt").unlink()
    with Checkpoints(directory, config=CONFIG) as checkpoints:
        assert checkpoints.steps() == [2, 3]
        assert_restored(checkpoints, states[3], like=states[0])
        checkpoints.save(states[4], SUMS)
        checkpoints.wait()
        assert_restored(checkpoints, states[4], like=states[0])


def test_keep_is_at_least_one(tmp_path):
    with pytest.raises(ValueError, match="keep of at least 1; got 0"):
        Checkpoints(tmp_path, keep=0)


def in_a_process(program, *arguments, **environment):
    """Returns what a program prints in a process of its own, after `PREPARED`."""
    done = subprocess.run(
        [sys.executable, "-c", PREPARED + program, *map(str, arguments)],
        env={**os.environ, "JAX_PLATFORMS": "cpu", **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


PREPARED = """
import dataclasses, hashlib, resource, sys
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from jaxaug import create_model, never
from jaxaug.training import Checkpoints, init_state, make_optimizer
from jaxaug.training import SaveError

def state_of(seed, step=0):
    state = init_state(jax.random.key(seed), create_model("mlp", 3), make_optimizer(learning_rate=0.1), never(),
                       shape=(5,), num_examples=10, average=True)
    return dataclasses.replace(state, step=jnp.int32(step))

def digest(state):
    state = dataclasses.replace(state, key=jax.random.key_data(state.key))
    return hashlib.sha256(b"".join(np.asarray(x).tobytes() for x in jax.tree.leaves(state))).hexdigest()

SUMS = {"loss": jnp.float32(1.5), "examples": jnp.int32(3)}
"""

SAVED = """
state = state_of(0, 7)
if len(jax.devices()) > 1:
    mesh = jax.make_mesh((len(jax.devices()),), ("data",))
    state = jax.device_put(state, NamedSharding(mesh, PartitionSpec()))
with Checkpoints(sys.argv[1]) as checkpoints:
    checkpoints.save(state, SUMS)
print(len(jax.devices()), digest(state))
"""

RESTORED = """
like = state_of(1)
if len(jax.devices()) > 1:
    mesh = jax.make_mesh((len(jax.devices()),), ("data",))
    like = jax.device_put(like, NamedSharding(mesh, PartitionSpec()))
with Checkpoints(sys.argv[1]) as checkpoints:
    state, sums = checkpoints.restore(like)
assert all(a.sharding == b.sharding for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(like), strict=True))
assert sums["loss"] == 1.5
print(len(jax.devices()), digest(state))
"""


@pytest.mark.parametrize("devices", [(4, 1), pytest.param((1, 4), marks=pytest.mark.slow)])
def test_a_checkpoint_is_restored_onto_another_number_of_devices(tmp_path, devices):
    printed = [
        in_a_process(program, tmp_path, XLA_FLAGS=f"--xla_force_host_platform_device_count={count}")[0].split()
        for program, count in zip((SAVED, RESTORED), devices, strict=True)
    ]
    assert [int(count) for count, _ in printed] == list(devices)
    assert printed[0][1] == printed[1][1]


# The disk refuses larger files once the first checkpoint is there.
REFUSED = """
checkpoints = Checkpoints(sys.argv[1], keep=1)
checkpoints.save(state_of(0, 1), SUMS)
checkpoints.wait()
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
raised = []
for attempt in (lambda: checkpoints.save(state_of(0, 2), SUMS), getattr(checkpoints, sys.argv[3])):
    try:
        attempt()
    except SaveError as error:
        raised.append(str(error))
print(raised[0])
print(checkpoints.steps())
"""

# In a process of its own: threads of tensorstore keep writing for a moment after the error.
BEGUN_AGAIN = """
with Checkpoints(sys.argv[1], keep=1) as again:
    print(digest(again.restore(state_of(1))[0]) == digest(state_of(0, 1)))
    again.save(state_of(0, 3), SUMS)
print(again.steps())
"""


@pytest.mark.parametrize("call", ["wait", pytest.param("close", marks=pytest.mark.slow)])
@pytest.mark.parametrize("most", [20000, pytest.param(100, marks=pytest.mark.slow)])
def test_a_checkpoint_that_cannot_be_written_is_one_error_and_leaves_the_one_before(tmp_path, most, call):
    assert in_a_process(REFUSED, tmp_path, most, call) == [
        f"A checkpoint could not be written to {tmp_path}: File too large.",
        "[1]",
    ]
    assert in_a_process(BEGUN_AGAIN, tmp_path) == ["True", "[3]"]


def test_an_error_on_the_way_out_does_not_hide_the_first(tmp_path, monkeypatch):
    def full():
        raise OSError(28, "No space left on device")

    checkpoints = Checkpoints(tmp_path)
    wait = checkpoints._manager.wait_until_finished
    monkeypatch.setattr(checkpoints._manager, "wait_until_finished", full)
    with pytest.raises(KeyError, match="first"), checkpoints:
        raise KeyError("first")
    with pytest.raises(SaveError, match=r"could not be written to .*: No space left on device\.$"), checkpoints:
        pass
    monkeypatch.setattr(checkpoints._manager, "wait_until_finished", wait)
    checkpoints.close()


def test_checkpoints_are_ordered_by_step_when_the_clock_was_set_back(tmp_path, states):
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        for state in states[1:3]:
            checkpoints.save(state, SUMS)
    for path in (tmp_path / "2").rglob("*"):
        os.utime(path, (0, 0))
    os.utime(tmp_path / "2", (0, 0))
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        assert checkpoints.steps() == [1, 2]
        assert_restored(checkpoints, states[2], like=states[0])
        checkpoints.save(states[3], SUMS)
        checkpoints.wait()
        assert checkpoints.steps() == [2, 3]
