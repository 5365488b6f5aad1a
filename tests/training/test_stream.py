"""A streamed dataset trains bit-identically to the same one in memory, also when it is resumed inside an epoch."""

import dataclasses

import flax.linen as nn
import jax
import numpy as np
import pytest
from PIL import Image
from resumption import Stopper, bits

from jaxaug import load, self_paced
from jaxaug.augment import gaussian_noise
from jaxaug.compose import on_images
from jaxaug.data import EncodedImages, long_tailed, subset, with_validation
from jaxaug.training import ReadOptions, fit, init_state, make_eval_step, make_optimizer, make_train_step

CLASSES = ("ant", "bee", "cow")


class TinyConv(nn.Module):
    @nn.compact
    def __call__(self, x, *, train=False):
        x = nn.relu(nn.BatchNorm(use_running_average=not train)(nn.Conv(2, (3, 3))(x)))
        return nn.Dense(len(CLASSES))(x.mean(axis=(1, 2)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for split, count in (("train", 9), ("test", 4)):
        for label, name in enumerate(CLASSES):
            (root / split / name).mkdir(parents=True)
            for i in range(count - label):
                image = rng.integers(0, 120, (6, 6, 3)) + 60 * label
                Image.fromarray(image.astype(np.uint8)).save(root / split / name / f"{i}.png")
    return root


STRATEGY = self_paced(on_images(gaussian_noise, stddev=0.1), threshold=1.0, score="stored")
MODEL, OPTIMIZER = TinyConv(), make_optimizer(learning_rate=0.05)
STEPS = make_train_step(MODEL, OPTIMIZER, STRATEGY), make_eval_step(MODEL)


def start(dataset):
    count = len(dataset.train.labels)
    return init_state(jax.random.key(0), MODEL, OPTIMIZER, STRATEGY, shape=dataset.shape, num_examples=count)


def trained(dataset, state=None, **options):
    options = {"epochs": 2, "batch_size": 7, "eval_batch_size": 5, "engine": "loop", **options}
    return fit(start(dataset) if state is None else state, *STEPS, dataset, **options)


def measured(records):
    left_out = ("seconds", "examples_per_second", "skipped")
    return [{name: value for name, value in record.items() if name not in left_out} for record in records]


@pytest.fixture(scope="module")
def in_memory(folder):
    state, records = trained(load(f"folder:{folder}"))
    return bits(state), measured(records)


@pytest.mark.parametrize("reading", [None, ReadOptions(threads=1, ahead=1), ReadOptions(threads=3, ahead=4)])
def test_a_stream_trains_as_memory_does(folder, in_memory, reading):
    dataset = load(f"folder:{folder}", stream=True)
    np.testing.assert_array_equal(np.asarray(dataset.test.images), load(f"folder:{folder}").test.images)
    state, records = trained(dataset, reading=reading)
    assert (bits(state), measured(records)) == in_memory
    assert [record["skipped"] for record in records] == [0, 0]


def test_parts_of_a_stream_are_those_of_memory(folder):
    for part in (
        lambda dataset: with_validation(dataset, 6),
        lambda dataset: subset(dataset, 12),
        lambda dataset: long_tailed(dataset, 3.0),
    ):
        streamed, memory = (part(load(f"folder:{folder}", stream=stream)) for stream in (True, False))
        assert streamed.streamed
        assert not memory.streamed
        for name, split in memory.splits.items():
            assert isinstance(streamed.splits[name].images, EncodedImages)
            np.testing.assert_array_equal(streamed.splits[name].images, split.images)
            np.testing.assert_array_equal(streamed.splits[name].labels, split.labels)
        # So few are all looked at.
        np.testing.assert_array_equal(streamed.mean, memory.mean)
        np.testing.assert_array_equal(streamed.std, memory.std)


@pytest.mark.parametrize("sampling", ["shuffled", "class_balanced"])
def test_a_run_resumed_inside_an_epoch_ends_bit_identical(folder, sampling):
    dataset = load(f"folder:{folder}", stream=True, random_crop=True)
    expected = bits(trained(dataset, sampling=sampling)[0])
    for programs in (1, 3, 5):
        stopper = Stopper(programs)
        trained(dataset, sampling=sampling, hooks=stopper)
        assert stopper.kept is not None
        state, totals = stopper.kept
        assert bits(trained(dataset, state, sampling=sampling, totals=totals)[0]) == expected


def test_boxes_are_drawn_in_each_epoch_and_for_each_example(folder):
    images = load(f"folder:{folder}", stream=True, random_crop=True).train.images
    first, again, other = (
        np.stack([each.image for each in images.decoded(range(12), seed)]) for seed in ((1, 0), (1, 0), (1, 1))
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any(axis=(1, 2, 3)).mean() > 0.8
    # What an example is does not depend on its batch.
    np.testing.assert_array_equal(images.decoded([5], (1, 0))[0].image, first[5])


@pytest.fixture
def broken(folder, tmp_path):
    """The folder with an image in train and one in test that cannot be read."""
    for path in folder.rglob("*.png"):
        copy = tmp_path / path.relative_to(folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    for name in ("train/bee/3.png", "test/ant/0.png"):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:60])
    return tmp_path


def test_a_corrupt_image_is_named(broken):
    dataset = load(f"folder:{broken}", stream=True)
    with pytest.raises(ValueError, match=r"train/bee/3\.png.*cannot be read"):
        trained(dataset)


def test_a_corrupt_image_is_skipped_and_counted(broken):
    dataset = load(f"folder:{broken}", stream=True, on_corrupt="skip")
    _, records = trained(dataset)
    assert [record["skipped"] for record in records] == [1, 1]
    # Training takes the next one, the tests leave it out.
    where = sorted(path.name for path in (broken / "train" / "bee").iterdir()).index("3.png") + 9
    with pytest.warns(UserWarning, match=r"skipped 1 of (24|9) images, which cannot be read; the first error: "):
        memory = load(f"folder:{broken}", on_corrupt="skip")
    assert len(memory.train.labels) == 23
    assert [each.place for each in dataset.train.images.decoded([where - 1, where])] == [where - 1, where + 1]
    state = trained(dataset, epochs=1)[0]
    expected = trained(dataclasses.replace(memory, train=load_whole(dataset)), epochs=1)[1]
    found = trained(dataset, epochs=1)[1]
    assert found[0]["test_loss"] == pytest.approx(expected[0]["test_loss"], rel=1e-6)
    assert int(state.step) == 4


def load_whole(dataset):
    """The training split of a stream in memory, an image that was skipped replaced as the stream does."""
    taken = dataset.train.images.decoded(range(len(dataset.train.labels)))
    places = [each.place for each in taken]
    return dataset.train._replace(images=np.stack([each.image for each in taken]), labels=dataset.train.labels[places])


def test_nothing_but_corrupt_images_is_an_error(broken):
    for path in (broken / "train").rglob("*.png"):
        path.write_bytes(b"no image")
    with pytest.raises(ValueError, match="none of the 24 files can be read as an image"):
        load(f"folder:{broken}", stream=True, on_corrupt="skip")
    dataset = load(f"folder:{broken}", stream=True, image_size=4, on_corrupt="skip")
    with pytest.raises(ValueError, match="none of the 24 images can be read"):
        dataset.train.images.decoded([0])


def test_what_cannot_be_streamed_is_refused(folder):
    dataset = load(f"folder:{folder}", stream=True)
    with pytest.raises(ValueError, match=r"streamed from disk, as .* is; got .scan.\. Load it without stream=True"):
        trained(dataset, engine="scan")
    with pytest.raises(ValueError, match="load takes stream only for folder:PATH and TFDS datasets; digits is in mem"):
        load("digits", stream=True)
    with pytest.raises(ValueError, match="load takes random_crop only with stream=True"):
        load(f"folder:{folder}", random_crop=True)
    for options in ({"threads": 0}, {"ahead": 0}):
        with pytest.raises(ValueError, match="ReadOptions takes"):
            ReadOptions(**options)
