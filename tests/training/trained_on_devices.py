"""Trains small networks on all devices and prints the results: `trained_on_devices.py [ADDRESS COUNT ID]`.

With an address it is one of COUNT processes.
"""

import json
import re
import sys

import flax.linen as nn
import jax
import numpy as np

import jaxaug
from jaxaug import importance_sampled, self_paced
from jaxaug.data import Dataset, Split
from jaxaug.training import (
    Sampling,
    data_mesh,
    device_split,
    fit,
    gathered_batch,
    init_state,
    make_eval_step,
    make_optimizer,
    make_train_step,
    shard_batch,
)

CLASSES, EXAMPLES, BATCH = 4, 90, 32  # the last batch has 26, which 8 devices do not divide


class Convolutional(nn.Module):
    @nn.compact
    def __call__(self, x, *, train=False):
        x = nn.relu(nn.BatchNorm(use_running_average=not train)(nn.Conv(8, (3, 3))(x)))
        x = nn.Dropout(0.1, deterministic=not train)(x.mean(axis=(1, 2)))
        return nn.Dense(CLASSES)(x)


def augmentation():
    chain, on_images = jaxaug.chain, jaxaug.on_images
    return chain(on_images(jaxaug.crop, padding=1), on_images(jaxaug.gaussian_noise, stddev=0.1),
                 jaxaug.on_pairs(jaxaug.ricap, beta=0.3))  # fmt: skip


def strategies():
    return {
        "stored": self_paced(augmentation(), threshold=1.0, score="stored"),
        "importance": importance_sampled(augmentation(), num_candidates=2),
    }


def dataset() -> Dataset:
    rng = np.random.default_rng(0)

    def split(size: int) -> Split:
        labels = rng.integers(0, CLASSES, size).astype(np.int32)
        images = rng.integers(0, 128, (size, 8, 8, 3)) + 40 * labels[:, None, None, None]
        return Split(images.astype(np.uint8), labels)

    return Dataset("colors", split(EXAMPLES), split(50), tuple("abcd"))


def result(name: str, *, shard_optimizer: bool = False, sampling: Sampling = "shuffled") -> dict:
    data, model, strategy = dataset(), Convolutional(), strategies()[name]
    optimizer = make_optimizer(learning_rate=0.05)
    state = init_state(
        jax.random.key(0), model, optimizer, strategy, shape=data.shape, num_examples=EXAMPLES, average=True
    )
    step = make_train_step(model, optimizer, strategy, average_decay=0.9)
    state, records = fit(
        state, step, make_eval_step(model), data, epochs=2, batch_size=BATCH,
        sampling=sampling, eval_batch_size=24, shard_optimizer=shard_optimizer,
    )  # fmt: skip
    held = max(leaf.addressable_shards[0].data.size / leaf.size for leaf in jax.tree.leaves(state.opt_state)
               if leaf.shape == (3, 3, 3, 8))  # fmt: skip
    table = [np.asarray(leaf).tolist() for leaf in jax.tree.leaves(state.strategy_state)]
    kept = [{k: v for k, v in r.items() if k not in ("seconds", "examples_per_second")} for r in records]
    params = jax.tree.leaves(jax.device_get(state.inference_variables))
    return {"records": kept, "table": table, "params": [p.ravel().tolist() for p in params], "held": held}


def examples_of_convolutions() -> list[int]:
    """The leading sizes of the images that the compiled step of one device convolves."""
    data, model, strategy = dataset(), Convolutional(), strategies()["importance"]
    optimizer, mesh = make_optimizer(learning_rate=0.05), data_mesh()
    with jax.set_mesh(mesh):
        state = init_state(jax.random.key(0), model, optimizer, strategy, shape=data.shape, num_examples=EXAMPLES)
        step = make_train_step(model, optimizer, strategy)
        split = device_split(data.train, mesh)
        program = jax.jit(lambda state, index: step(state, shard_batch(gathered_batch(split, index, CLASSES))))
        text = program.lower(state, np.arange(BATCH)).compile().as_text() or ""
    return sorted({int(size) for size in re.findall(r"= f32\[(\d+),8,8,8\]\S* convolution\(", text)})


def main() -> None:
    if len(sys.argv) > 1:
        address, count, place = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
        jax.distributed.initialize(address, count, place)
    results = {
        "stored": result("stored"),
        "class-balanced": result("stored", sampling="class_balanced"),
        "importance": result("importance"),
        "sharded optimizer": result("stored", shard_optimizer=True),
    }
    found = {"devices": jax.device_count(), "processes": jax.process_count(), "results": results}
    print(json.dumps({**found, "convolved": examples_of_convolutions()}))


if __name__ == "__main__":
    main()
