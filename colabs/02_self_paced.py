# %% [markdown]
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/jaxaug/jaxaug/blob/main/colabs/02_self_paced.ipynb)
#
# # Self-paced augmentation
#
# Which examples of a batch should be augmented? Self-paced augmentation asks the network: an example with a high loss
# is augmented, and an example that the network already predicts well is left unchanged. The method is from T. Takase,
# R. Karakida and H. Asoh (Neurocomputing, 2021). The notebook takes one to two minutes on two CPU cores.

# %%
# Does nothing where jaxaug is installed already.
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("jaxaug") is None:
    source = "jaxaug @ git+https://github.com/jaxaug/jaxaug"
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", source], check=True)

# %%
import dataclasses
import functools

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

from jaxaug import (
    Strategy,
    chain,
    create_model,
    crop,
    flip_left_right,
    gaussian_noise,
    load,
    on_images,
    quantile,
    rotate,
    self_paced,
    subset,
)
from jaxaug.training import (
    Hooks,
    fit,
    fit_population,
    init_population,
    init_state,
    make_eval_step,
    make_optimizer,
    make_schedule,
    make_train_step,
    network_scorer,
)

FULL = False  # True on a GPU or TPU: CIFAR-10 and a larger network

# %% [markdown]
# Everything that the switch changes is in this cell. CIFAR-10 has to be prepared once by TensorFlow Datasets, in a
# Python environment with TensorFlow: `tfds.builder("cifar10", file_format="array_record").download_and_prepare()`.
# Reading it needs no TensorFlow.

# %%
if FULL:
    data, network, batch_size, peak_rate = load("cifar10"), "wrn_16_4", 128, 0.1
    augment = chain(on_images(crop, padding=4), on_images(flip_left_right))
    tau, epochs, moments = 0.5, 60, (1, 10, 30, 60)  # the threshold, and the epochs that are shown
    few, few_epochs, few_taus, seeds = 5000, 100, (0.1, 0.5, 1.0), 5  # of the comparison at the end
else:
    data, network, batch_size, peak_rate = load("digits"), "mlp", 64, 0.05
    augment = chain(on_images(crop, padding=1), on_images(rotate, degrees=15.0))
    tau, epochs, moments = 0.1, 40, (1, 4, 12, 40)
    few, few_epochs, few_taus, seeds = 100, 200, (0.03, 0.1, 0.5), 10

plt.rcParams.update({"figure.dpi": 100, "figure.constrained_layout.use": True, "axes.spines.top": False})
plt.rcParams.update({"axes.spines.right": False, "legend.frameon": False})
print(data)

# %% [markdown]
# ## The augmentation
#
# The augmentation is an ordinary one; self-paced augmentation only decides which examples get it. A batch is a
# dictionary of images in [0, 1], one-hot labels, and the index of each example in the training split.


# %%
def as_batch(split, places):
    """Returns the examples at these places of a split of images."""
    labels = jax.nn.one_hot(split.labels[places], data.num_classes)
    return {"image": jnp.asarray(split.images[places], jnp.float32) / 255, "label": labels, "index": jnp.array(places)}


def draw(ax, image, title="", frame=None):
    """Draws one image, with a frame where a color is given."""
    ax.imshow(image.squeeze(), cmap="gray_r", vmin=0, vmax=1)
    ax.set_title(title, fontsize=9)
    ax.axis("off")
    if frame is not None:
        ax.add_patch(plt.Rectangle((0, 0), 1, 1, transform=ax.transAxes, fill=False, color=frame, lw=4))


shown = as_batch(data.train, np.random.default_rng(2).choice(len(data.train.labels), 12, replace=False))
augmented = jax.jit(augment)(jax.random.key(0), shown)
fig, axes = plt.subplots(2, 12, figsize=(10, 2.1))
for place in range(12):
    draw(axes[0, place], shown["image"][place])
    draw(axes[1, place], augmented["image"][place])
fig.suptitle("Above: as they are. Below: augmented, every example with draws of its own", fontsize=10)
plt.show()

# %% [markdown]
# ## The rule
#
# With $f_\theta$ the network and $\tau$ a threshold, training uses
#
# $$\hat x_i = \begin{cases} a(x_i) & \text{if } \ell_i \ge \tau \\ x_i & \text{else} \end{cases}
# \qquad \ell_i = -\log p_\theta(y_i \mid x_i).$$
#
# $\ell_i$ is the loss of the clean example under the current weights, in inference mode and without an update. $\tau =
# 0$ augments all examples, $\tau = \infty$ none. `self_paced` returns a strategy, and `make_train_step` passes it the
# losses of the network. This cell has what all runs share.

# %%
model = create_model(network, data.num_classes)
mean, std = jnp.asarray(data.mean), jnp.asarray(data.std)
examples = len(data.train.labels)
steps_per_epoch = -(-examples // batch_size)
rate = make_schedule(learning_rate=peak_rate, epochs=epochs, steps_per_epoch=steps_per_epoch)
optimizer = make_optimizer(learning_rate=rate, weight_decay=5e-4)
hard_only = self_paced(augment, threshold=tau)
start = init_state(jax.random.key(0), model, optimizer, hard_only, shape=data.shape, num_examples=examples)


def normalize(images):
    """Returns what the network sees; augmentations see [0, 1]."""
    return (images - mean) / std


# %% [markdown]
# A hook records the clean losses after every epoch and keeps some of the weights, for the sections below.

# %%
watched = as_batch(data.train, np.arange(min(2000, examples)))  # enough to look at
scorer = network_scorer(model, normalize=normalize)
clean_losses = jax.jit(lambda variables, batch: scorer.score((), variables, batch))


class Watch(Hooks):
    """Keeps the clean losses after every epoch, and weights and strategy state after some."""

    def __init__(self):
        self.losses, self.variables, self.strategy_state = [], {}, {}

    def on_epoch(self, record, state, totals):
        """Is called by `fit`."""
        self.losses.append(np.asarray(clean_losses(state.variables, watched)))
        if record["epoch"] in moments:
            self.variables[record["epoch"]] = jax.tree.map(jnp.copy, state.variables)
            self.strategy_state[record["epoch"]] = jax.tree.map(jnp.copy, state.strategy_state)


def trained(strategy):
    """Returns the records of a run from the same initial weights, and what was watched."""
    # `fit` donates the buffers of the state, so it gets a copy.
    state = dataclasses.replace(jax.tree.map(jnp.copy, start), strategy_state=strategy.init(examples))
    train_step = make_train_step(model, optimizer, strategy, normalize=normalize)
    watch, eval_step = Watch(), make_eval_step(model, normalize=normalize)
    _, records = fit(
        state, train_step, eval_step, data, epochs=epochs, batch_size=batch_size, eval_every=epochs, hooks=watch
    )
    return records, watch


# %%
records, watch = trained(hard_only)
print(f"test accuracy {records[-1]['test_accuracy']:.1%} after {epochs} epochs, threshold {tau}")
for epoch in moments:
    print(f"augmented in epoch {epoch:2d}: {records[epoch - 1]['augmented']:.1%}")

# %% [markdown]
# ## The mask over a batch
#
# `select` is applied to a batch before each step. Each row is the same batch of 12 after more and more epochs, with the
# clean loss above each image. A red frame marks augmented images; the others are bit-identical, and keep their labels
# even if the augmentation mixes labels.


# %%
@jax.jit
def selected(key, variables):
    """Returns what the strategy makes of the batch, and the losses that it went by."""
    batch, _, _ = hard_only.select(
        key, hard_only.init(examples), shown, lambda batch: scorer.score((), variables, batch)
    )
    return batch["image"], scorer.score((), variables, shown)


fig, axes = plt.subplots(len(moments), 12, figsize=(10, 1.1 * len(moments)))
for row, epoch in zip(axes, moments, strict=True):
    images, losses = jax.device_get(selected(jax.random.key(epoch), watch.variables[epoch]))
    for ax, image, clean, loss in zip(row, images, np.asarray(shown["image"]), losses, strict=True):
        draw(ax, image, f"{loss:.3f}", frame="tab:red" if (image != clean).any() else None)
    row[0].text(-0.25, 0.5, f"epoch {epoch}", rotation=90, va="center", ha="right", transform=row[0].transAxes)
fig.suptitle(f"Losses, and who is augmented at threshold {tau}", fontsize=10)
plt.show()

# %% [markdown]
# ## The losses move across the threshold
#
# Only the weights change between these histograms of the clean losses. At first, almost the whole training split is to
# the right of the threshold; as the network learns, losses fall below it, and fewer examples are augmented.

# %%
bins = np.logspace(-5, 1, 49)
fig, axes = plt.subplots(1, len(moments), figsize=(10, 2.6), sharey=True)
for ax, epoch in zip(axes, moments, strict=True):
    losses = watch.losses[epoch - 1]
    hard = losses >= tau
    ax.hist(np.clip(losses[~hard], 1e-5, None), bins, color="tab:gray", label="left alone")
    ax.hist(losses[hard].clip(max=10), bins, color="tab:red", label="augmented")
    ax.axvline(tau, color="black", lw=1)
    ax.set(xscale="log", xlabel="clean loss", title=f"after epoch {epoch}: {hard.mean():.0%} at or above")
    ax.title.set_fontsize(9)
axes[0].set_ylabel("examples")
axes[0].legend(fontsize=8, loc="upper left")
plt.show()

# %% [markdown]
# ## Which classes are augmented
#
# The metric `augmented_by_class` is the share of the batch that was augmented and is of class $k$. Divided by the share
# of the class, it is the rate within the class. The strategy does not know the classes; some are harder for the
# network.

# %%
by_class = np.array([record["augmented_by_class"] for record in records]).T  # [K, epochs]
frequency = np.bincount(data.train.labels, minlength=data.num_classes) / examples
fig, ax = plt.subplots(figsize=(9, 3.2))
picture = ax.imshow(
    by_class / frequency[:, None],
    aspect="auto",
    cmap="magma_r",
    vmin=0,
    vmax=1,
    extent=(0.5, epochs + 0.5, data.num_classes, 0),
)
ax.set_yticks(np.arange(data.num_classes) + 0.5, data.class_names)
ax.set(xlabel="epoch", ylabel="class", title=f"Share of each class that is augmented, threshold {tau}")
fig.colorbar(picture, label="share augmented")
plt.show()

# %% [markdown]
# ## Early and late
#
# The same rule, applied to every training example at the end of every epoch, shows how long each was hard. The first
# row has the examples that fell below the threshold first, the second those that were above it in the most epochs.
# Above each: its label, and in how many epochs its loss was at or above the threshold.

# %%
history = np.array(watch.losses)  # [epochs, examples]
hard_epochs = (history >= tau).sum(axis=0)
# Of equally many epochs the smaller mean log loss comes first.
order = np.lexsort((np.log(history + 1e-9).mean(axis=0), hard_epochs))
fig, axes = plt.subplots(2, 10, figsize=(10, 2.7))
for row, places, name in zip(axes, (order[:10], order[::-1][:10]), ("soonest easy", "longest hard"), strict=True):
    for ax, place in zip(row, places, strict=True):
        label = data.class_names[int(watched["label"][place].argmax())]
        draw(ax, watched["image"][place], f"{label}: {hard_epochs[place]}")
    row[0].text(-0.15, 0.5, name, rotation=90, va="center", ha="right", transform=row[0].transAxes)
fig.suptitle(f"Label: epochs, of {epochs}, that ended with the loss at or above {tau}", fontsize=10)
plt.show()

# %% [markdown]
# ## Other thresholds
#
# `threshold` may also be a schedule, or `quantile(q)`, which adapts to the batch: round($qB$) of its examples are
# below, so the share is constant. `direction="below"` reverses the rule: easy examples are augmented, hard ones are
# not, and the share grows. `score="stored"` is the subject of the next section.

# %%
falling = optax.exponential_decay(1.0, epochs * steps_per_epoch, 0.001)
paces = {
    "threshold falls from 1 to 0.001": self_paced(augment, threshold=falling),
    "quantile(0.5)": self_paced(augment, threshold=quantile(0.5)),
    f"below {tau}": self_paced(augment, threshold=tau, direction="below"),
    f"above {tau}, stored": self_paced(augment, threshold=tau, score="stored"),
}
runs = {f"above {tau}": (records, watch)} | {name: trained(strategy) for name, strategy in paces.items()}
fig, ax = plt.subplots(figsize=(9, 3))
for name, (its_records, _) in runs.items():
    ax.plot(range(1, epochs + 1), [record["augmented"] for record in its_records], label=name)
ax.set(xlabel="epoch", ylabel="share augmented", ylim=(-0.03, 1.03), title="Who sets the pace")
ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()

# %% [markdown]
# ## Current and stored losses
#
# A current loss costs an additional forward pass in every step. `score="stored"` reads the last observed loss of the
# example from a table instead: free, but up to an epoch old, and with the augmentation of that step. In the shaded
# quarters the two rules disagree.

# %%
stored_watch = runs[f"above {tau}, stored"][1]
fig, axes = plt.subplots(1, len(moments) - 1, figsize=(10, 3.5), sharex=True, sharey=True)
low, high = 1e-5, 20.0
for ax, epoch in zip(axes, moments[:-1], strict=True):
    now = stored_watch.losses[epoch - 1]
    then = np.asarray(stored_watch.strategy_state[epoch].losses)[: len(now)]
    ax.fill_between([tau, high], low, tau, color="tab:orange", alpha=0.2, lw=0)
    ax.fill_between([low, tau], tau, high, color="tab:orange", alpha=0.2, lw=0)
    ax.scatter(now.clip(low), then.clip(low), s=3, color="tab:blue", alpha=0.5)
    alike = ((now >= tau) == (then >= tau)).mean()
    ax.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high), xlabel="current clean loss")
    ax.set_title(f"after epoch {epoch}: {alike:.0%} decided alike", fontsize=9)
axes[0].set_ylabel("stored loss")
plt.show()


# %% [markdown]
# ## Does it help? Few training examples
#
# All arms use the same seeds, hence the same examples, initial weights and order; they differ only in which examples
# are augmented. A difference below twice its standard error is not significant. With 20 seeds and more steps
# (`results/self_paced/page.md`) "above" with a small threshold was better than augmenting all on few digits, and
# "below" was better on more of them. On CIFAR-10 "above" was worse than "all" with 1,000 examples, and no better with
# 5,000.
#
# The threshold is part of the strategy's state, so one compiled program trains all thresholds and seeds at once, as a
# population.


# %%
def at_threshold(threshold, *, augment, **options):
    """Returns `self_paced` as a function of its threshold."""
    return self_paced(augment, threshold=threshold, **options)


def with_number(make):
    """Returns the strategy make(number) with the number in its state, where members of a population can differ."""

    def init(num_examples):
        return jnp.float32(0.0), make(0.0).init(num_examples)

    def select(key, state, batch, score):
        batch, inner, metrics = make(state[0]).select(key, state[1], batch, score)
        return batch, (state[0], inner), metrics

    def observe(state, batch, losses):
        return state[0], make(state[0]).observe(state[1], batch, losses)

    return Strategy(init, select, observe)


# %% [markdown]
# Two functions do the rest: one trains a population, one shows the results of several.


# %%
def trained_arms(make, numbers, datasets, model, normalize, *, epochs, batch_size, peak_rate):
    """Returns the test errors in % `[seeds]` of make(number), and the mean share augmented, for each number."""
    strategy, size, seeds = with_number(make), len(datasets[0].train.labels), len(datasets)
    rate = make_schedule(learning_rate=peak_rate, epochs=epochs, steps_per_epoch=-(-size // batch_size))
    optimizer = make_optimizer(learning_rate=rate, weight_decay=5e-4)
    keys = jnp.stack([jax.random.key(seed) for seed in range(seeds)] * len(numbers))
    states = init_population(keys, model, optimizer, strategy, shape=datasets[0].shape, num_examples=size)
    states = [
        dataclasses.replace(state, strategy_state=(jnp.float32(number), state.strategy_state[1]))
        for state, number in zip(states, np.repeat(numbers, seeds), strict=True)
    ]
    train_step = make_train_step(model, optimizer, strategy, normalize=normalize)
    eval_step = make_eval_step(model, normalize=normalize)
    length = {"epochs": epochs, "batch_size": batch_size, "eval_every": epochs}
    _, runs = fit_population(states, train_step, eval_step, datasets * len(numbers), **length)
    error = [100 * (1 - run[-1]["test_accuracy"]) for run in runs]
    share = [np.mean([record["augmented"] for record in run]) for run in runs]
    shape = (len(numbers), seeds)
    return list(zip(np.reshape(error, shape), np.reshape(share, shape).mean(axis=1), strict=True))


# %%
def compare(arms, base):
    """Prints the arms and their differences to one, seed by seed, and draws every seed with the means."""
    _, ax = plt.subplots(figsize=(8, 0.6 + 0.36 * len(arms)))
    print(f"{'augmented':20s} {'share':>6s} {'test error, %':>16s} {'minus ' + base + ', by seed':>24s}")
    for row, (name, (error, share)) in enumerate(arms.items()):
        gap, root = error - arms[base][0], len(error) ** 0.5
        se, gap_text = error.std(ddof=1) / root, f"{gap.mean():+.2f} ± {gap.std(ddof=1) / root:.2f}"
        print(f"{name:20s} {share:6.2f} {error.mean():9.2f} ± {se:.2f} {'-' if name == base else gap_text:>24s}")
        ax.plot(error, row + np.linspace(-0.25, 0.25, len(error)), "o", color="tab:gray", alpha=0.4, ms=4)
        ax.errorbar(error.mean(), row, xerr=se, fmt="D", color="black", ms=5, capsize=3)
    ax.set_yticks(range(len(arms)), arms)
    ax.set(ylim=(len(arms) - 0.5, -0.5), xlabel=f"test error, %: {len(error)} seeds, mean ± standard error")
    plt.show()


# %%
datasets = [subset(data, few, seed=seed) for seed in range(seeds)]
length = {"epochs": few_epochs, "batch_size": min(batch_size, few // 2), "peak_rate": peak_rate}
choices = {  # options of self_paced, and the thresholds; infinity is none and 0 all
    "above": ({}, (np.inf, 0.0, *few_taus)),
    "stored": ({"score": "stored"}, few_taus[:2]),
    "below": ({"direction": "below"}, few_taus[1:2]),
}
arms = {}
for name, (options, numbers) in choices.items():
    make = functools.partial(at_threshold, augment=augment, **options)
    found = trained_arms(make, numbers, datasets, model, normalize, **length)
    names = [{np.inf: "none", 0.0: "all"}.get(number, f"{name} {number}") for number in numbers]
    arms |= dict(zip(names, found, strict=True))
compare(arms, "all")

# %% [markdown]
# ## Does it help? A table
#
# The same with feature vectors: 30 features for each tumor in `breast_cancer`, and as augmentation Gaussian noise of
# 0.3 of their standard deviation. The shares show how few of these examples are ever hard, hence how little "above"
# differs from "none". With so few steps the arms do not differ significantly. With more steps
# (`results/self_paced/page.md`) "all" was worse than "none" on this table and better on `wine`, and "above" was close
# to "none" on both: the first question is whether to augment at all.

# %%
table = load("breast_cancer")
make = functools.partial(at_threshold, augment=on_images(gaussian_noise, stddev=0.3))
length = {"epochs": 100, "batch_size": 64, "peak_rate": 0.05}
mlp = create_model("mlp", table.num_classes)
found = trained_arms(make, (np.inf, 0.0, 0.1), [table] * 20, mlp, lambda features: features, **length)
compare(dict(zip(("none", "all", "above 0.1"), found, strict=True)), "all")

# %% [markdown]
# ## What to try next
#
# - Set `tau` to 1.0 or 0.01 in the cell of settings: fewer examples are augmented, sooner or later.
# - Put `on_pairs(ricap, beta=0.3)` (notebook `01_ricap`) into `augment`: examples that are not augmented keep
#   one-hot labels. The loss of a mixed one cannot approach zero, which affects "stored" but not "current".
# - Replace `breast_cancer` by `wine`.
# - Start slowly or stop early: `slow_start(strategy, steps=...)` and `stop_after(strategy, steps=...)` take any
#   strategy.
# - Use the same losses differently: notebook `03_importance_sampling` makes several copies of each example and draws
#   one by its loss.
# - The card [docs/methods/self_paced.md](https://github.com/jaxaug/jaxaug/blob/main/docs/methods/self_paced.md) has
#   options, costs, results, and differences between paper and code.
