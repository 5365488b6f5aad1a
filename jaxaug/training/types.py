"""The types that all parts of training share."""

from typing import Any, Literal

import jax

Batch = dict[str, jax.Array]
"""Examples as a step takes them: "image" `[B, ...]`, "label" `[B, K]`, "index" `[B]`, and what a strategy adds."""

Metrics = dict[str, jax.Array]
"""What a step measures: scalars of a training step, `[B]` arrays of an evaluation step."""

Totals = dict[str, jax.Array]
"""Sums of the metrics of an epoch so far, each batch weighted by its size; see `jaxaug.training.runner`."""

Record = dict[str, Any]
"""One epoch as plain numbers: "epoch", "step", "train_loss", "test_accuracy", ..."""

TIMES = ("examples_per_second", "seconds")
"""The entries of a record that differ between two runs of the same seed."""

Engine = Literal["auto", "scan", "loop"]
"""How the steps of an epoch are called: `lax.scan`, or a Python loop over the compiled step."""

PopulationEngine = Literal["auto", "vmap", "threads", "one_by_one"]
"""How the members of a population are trained."""

Sampling = Literal["shuffled", "class_balanced"]
"""Which examples make up an epoch: each example once, or each class equally often."""

TrainablePart = Literal["all", "head"]
"""The parameters that the optimizer updates: all, or those of the classifier."""
