"""Training steps that are compiled once and shared by the items."""

import collections
import concurrent.futures
import dataclasses
import os
import re
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from experiments.accelerator.speed.turns import Contender
from experiments.benchmark.steps import counted_flops, random_batch
from jaxaug import chain, create_model, crop, cutout, flip_left_right, on_images
from jaxaug.sampling import Strategy, always, importance_sampled, never, self_paced
from jaxaug.training import Scorer, init_state, make_optimizer, make_train_step, network_scorer

CLASSES = 10


@dataclasses.dataclass(frozen=True)
class Setting:
    """What is trained, by names; in bfloat16."""

    model: str
    batch: int
    side: int
    strategy: str = "never"

    @property
    def network(self) -> Any:
        """The network."""
        return create_model(self.model, CLASSES, dtype=jnp.bfloat16)


def strategies(setting: Setting) -> dict[str, tuple[Strategy, Scorer | None]]:
    """Returns all strategies that are measured, each with its scorer; None scores in the network's own bfloat16."""
    augment = chain(on_images(crop), on_images(flip_left_right), on_images(cutout, size=max(1, setting.side // 2)))
    float32 = network_scorer(create_model(setting.model, CLASSES))
    half = network_scorer(setting.network, resolution=2)
    four = importance_sampled(augment, num_candidates=4)
    softmax = {"importance": "softmax", "temperature": 0.1}
    return {
        "never": (never(), None),
        "plain": (always(augment), None),
        "M = 2": (importance_sampled(augment, num_candidates=2), None),
        "M = 4": (four, None),
        "M = 4, a quarter scored": (importance_sampled(augment, num_candidates=4, scored=0.25, **softmax), None),
        "M = 4, half resolution": (four, half),
        "M = 4, scored in float32": (four, float32),
        "M = 8": (importance_sampled(augment, num_candidates=8), None),
        "self-paced, current loss": (self_paced(augment, threshold=0.5), None),
        "self-paced, stored loss": (self_paced(augment, threshold=0.5, score="stored"), None),
    }


@dataclasses.dataclass
class Step:
    """A compiled step and the state that it moves on."""

    program: Any
    state: Any
    batch: dict[str, jax.Array]
    flops: float
    """As XLA counts them before it optimizes; NaN where it cannot."""

    def __call__(self) -> Any:
        """Enqueues a step."""
        self.state, metrics = self.program(self.state, self.batch)
        return self.state.params, metrics

    def contender(self) -> Contender:
        """Returns the step as a contender."""
        return Contender(self)

    def kernels(self) -> dict[str, int]:
        """Returns how many instructions of each kind the compiled program has, of those that cost time."""
        kinds = "fusion|custom-call|copy|transpose|convolution|reduce|scatter|gather|sort|while"
        found = re.findall(rf"^\s*(?:ROOT )?%?\S+ = .*? ({kinds})\(", entry_computation(self.program.as_text()), re.M)
        return dict(collections.Counter(found))


def entry_computation(text: str) -> str:
    """Returns the entry computation of a program's text."""
    return text[text.rindex("ENTRY ") :] if "ENTRY " in text else text


_STEPS: dict[Setting, Step | Exception] = {}


def steps(settings: Sequence[Setting]) -> dict[Setting, Step | Exception]:
    """Returns the steps, or their errors; those that this process has not compiled yet are compiled side by side."""
    missing = [setting for setting in settings if setting not in _STEPS]
    if missing:
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            _STEPS.update(zip(missing, pool.map(_compiled, missing), strict=True))
    return {setting: _STEPS[setting] for setting in settings}


def setup(setting: Setting, num_examples: int) -> tuple[Any, Any, Callable[[jax.Array], Any]]:
    """Returns the network, its training step, and what makes a state of a key."""
    model, (strategy, scorer) = setting.network, strategies(setting)[setting.strategy]
    optimizer = make_optimizer(learning_rate=0.01, weight_decay=5e-4)
    about = {"shape": (setting.side, setting.side, 3), "num_examples": num_examples, "scorer": scorer}
    # In one program: the zeros of the optimizer's state would otherwise be a program for each shape.
    initial = jax.jit(lambda key: init_state(key, model, optimizer, strategy, **about))
    return model, make_train_step(model, optimizer, strategy, scorer=scorer), initial


def _compiled(setting: Setting) -> Step | Exception:
    try:
        _, step, initial = setup(setting, setting.batch)
        batch, state = noise_batch(setting.batch, setting.side), initial(jax.random.key(0))
        lowered = jax.jit(step, donate_argnums=0).lower(state, batch)
        return Step(lowered.compile(), state, batch, counted_flops(step, state, batch))
    except Exception as error:
        return error


def noise_batch(size: int, side: int) -> dict[str, jax.Array]:
    """Returns a batch of images of noise, of at most 32 x 32."""
    batch = random_batch(size, classes=CLASSES)
    return batch | {"image": batch["image"][:, :side, :side]}
