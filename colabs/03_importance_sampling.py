# %% [markdown]
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/jaxaug/jaxaug/blob/main/colabs/03_importance_sampling.ipynb)
#
# # Importance-sampled augmentation
#
# On which augmented copy of an example should the network train? Importance-sampled augmentation makes several copies,
# computes the loss of each with the current network, and draws one with a probability that grows with its loss. The
# method is from T. Okadome and Ide (Kwansei Gakuin University; patented, see below); MaxUp and batch augmentation are
# related. The notebook takes one to two minutes on two CPU cores.

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
import statistics
import time

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from jaxaug import (
    always,
    batch_augmented,
    chain,
    create_model,
    crop,
    cutout,
    flip_left_right,
    importance_sampled,
    importance_weights,
    load,
    max_loss,
    never,
    on_images,
    slow_start,
    stop_after,
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
    augment = chain(on_images(crop, padding=4), on_images(flip_left_right), on_images(cutout, size=16))
    epochs, moments = 60, (1, 5, 10, 20, 40, 60)  # of the run, and of the snapshots
    timed = create_model(network, data.num_classes)  # the network whose steps are timed, with batches of 256
    few, few_epochs, seeds = 5000, 100, 3  # of the comparison at the end
else:
    data, network, batch_size, peak_rate = load("digits"), "mlp", 64, 0.05
    augment = chain(on_images(crop, padding=1), on_images(cutout, size=3))
    epochs, moments = 24, (1, 2, 4, 8, 16, 24)
    timed = create_model("mlp", data.num_classes, hidden=(512, 512))
    few, few_epochs, seeds = 200, 60, 20

plt.rcParams.update({"figure.dpi": 100, "figure.constrained_layout.use": True, "axes.spines.top": False})
plt.rcParams.update({"axes.spines.right": False, "legend.frameon": False})
print(data)

# %% [markdown]
# ## A network in training
#
# The sections below need networks that compute losses, so here is one run with the strategy itself and M = 4 copies of
# each example. `make_train_step` passes the losses of the network to the strategy; a hook keeps the weights after some
# epochs.

# %%
model = create_model(network, data.num_classes)
mean, std = jnp.asarray(data.mean), jnp.asarray(data.std)
examples = len(data.train.labels)


def normalize(images):
    """Returns what the network sees; augmentations see [0, 1]."""
    return (images - mean) / std


class Weights(Hooks):
    """Keeps the weights after some epochs."""

    def __init__(self):
        self.after = {}

    def on_epoch(self, record, state, totals):
        """Is called by `fit`."""
        if record["epoch"] in moments:
            self.after[record["epoch"]] = jax.tree.map(jnp.copy, state.variables)


strategy, weights = importance_sampled(augment, num_candidates=4), Weights()
rate = make_schedule(learning_rate=peak_rate, epochs=epochs, steps_per_epoch=-(-examples // batch_size))
optimizer = make_optimizer(learning_rate=rate, weight_decay=5e-4)
train_step = make_train_step(model, optimizer, strategy, normalize=normalize)
state = init_state(jax.random.key(0), model, optimizer, strategy, shape=data.shape, num_examples=examples)
length = {"epochs": epochs, "batch_size": batch_size, "eval_every": epochs}
_, records = fit(state, train_step, make_eval_step(model, normalize=normalize), data, **length, hooks=weights)
print(f"test accuracy {records[-1]['test_accuracy']:.1%} after {epochs} epochs")

# %% [markdown]
# ## Copies, losses, probabilities
#
# Of example $x$ the augmentation makes copies $x'_1, \dots, x'_M$. With $\ell_j = -\log p_\theta(y \mid x'_j)$, the
# loss of the network in inference mode, copy $j$ replaces the example in the batch with probability
#
# $$q_j = \frac{\ell_j}{\sum_k \ell_k}.$$
#
# Each row has an example and eight copies of it, with loss and probability above each copy and a red frame around the
# drawn one. No gradient flows through the selection.


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


scorer = network_scorer(model, normalize=normalize)


@jax.jit
def copies_and_losses(keys, variables, batch):
    """Returns one copy of the batch for each key, images `[M, B, H, W, C]`, and their losses `[M, B]`."""
    copies = jax.vmap(augment, (0, None))(keys, batch)
    return copies["image"], jax.vmap(lambda copy: scorer.score((), variables, copy))(copies)


# %%
early = moments[len(moments) // 2 - 1]
shown = as_batch(data.train, np.random.default_rng(1).choice(examples, 5, replace=False))
copies, losses = copies_and_losses(jax.random.split(jax.random.key(1), 8), weights.after[early], shown)
q = importance_weights(losses)
drawn = jax.random.categorical(jax.random.key(2), jnp.log(q), axis=0)
fig, axes = plt.subplots(5, 9, figsize=(10, 6.4))
for i, row in enumerate(axes):
    draw(row[0], shown["image"][i], f"label {data.class_names[int(shown['label'][i].argmax())]}")
    for j, ax in enumerate(row[1:]):
        draw(ax, copies[j, i], f"{losses[j, i]:.2f}: {q[j, i]:.0%}", "tab:red" if j == drawn[i] else None)
fig.suptitle(f"After epoch {early}. Left: the example. Over its copies: loss and probability", fontsize=10)
plt.show()

# %% [markdown]
# ## From uniform to the hardest
#
# `importance_weights` has four forms: the loss itself ("loss"), $1 - p$ of the true class ("one_minus_prob"), $e^{\ell
# / T}$ ("softmax") and "uniform". The temperature moves the draw from uniform ($T \to \infty$) to the hardest copy ($T
# \to 0$), which is what `max_loss` uses. An exponent, $q_j \propto \ell_j^a$, has the same effect: it is the softmax of
# $\log \ell$ at $T = 1 / a$, and "loss" has $a = 1$. The picture shows the eight copies in the last row above. An
# exponent depends only on ratios of losses, a temperature only on differences.

# %%
one = jnp.sort(losses[:, -1:], axis=0)
colors = plt.cm.viridis(np.linspace(0, 0.9, 8))
temperatures, exponents = np.logspace(-2, 2, 41, dtype=np.float32), np.linspace(0.05, 8, 41, dtype=np.float32)
forms = ("uniform", "one_minus_prob", "loss", "softmax")
by_form = np.stack([importance_weights(one, importance=form)[:, 0] for form in forms])
softmax = jax.vmap(lambda values, t: importance_weights(values, importance="softmax", temperature=t), (None, 0))
by_temperature, by_exponent = softmax(one, temperatures), softmax(jnp.log(one), 1 / exponents)
fig, axes = plt.subplots(1, 3, figsize=(10, 3.2), sharey=True)
for j in range(8):
    axes[0].bar(np.arange(4) + (j - 3.5) / 10, by_form[:, j], width=0.1, color=colors[j])
    axes[1].plot(temperatures, by_temperature[:, j, 0], color=colors[j], label=f"loss {one[j, 0]:.2f}")
    axes[2].plot(exponents, by_exponent[:, j, 0], color=colors[j])
axes[0].set_xticks(range(4), ("uniform", "1 - p", "loss", "softmax\nT = 1"))
axes[0].set(ylabel="probability of a copy", title="the four forms", ylim=(0, 1))
axes[1].set(xscale="log", xlabel="temperature T", title="softmax of loss / T")
axes[1].legend(fontsize=8)
axes[2].set(xlabel="exponent a", title="loss to the power of a")
plt.show()

# %% [markdown]
# ## The draws follow the weights
#
# A check of the implementation: `select` runs on the training examples, the losses that it computes are kept, and the
# returned copy is found among the scored ones. The copies are sorted into bins by their $q_j$; in each bin the share
# that was drawn should be the mean $q_j$. Bars are twice the standard error.


# %%
def selected(strategy, variables, batch, key, *, num_candidates=4):
    """Returns the batch that a strategy selects, the losses that it saw, and which copies it drew, both `[M, B]`."""

    def run(key, variables):
        seen = []

        def score(scored):
            seen.append((scored["image"], scorer.score((), variables, scored)))
            return seen[-1][1]

        out, _, _ = strategy.select(key, strategy.init(examples), batch, score)
        images, losses = seen[0]
        # The nearest copy: compiled twice, the same copy can differ by rounding.
        images = images.reshape(num_candidates, *batch["image"].shape)
        apart = jnp.abs(images - out["image"]).sum(axis=tuple(range(2, images.ndim)))
        return out, losses.reshape(num_candidates, -1), jax.nn.one_hot(apart.argmin(axis=0), num_candidates, axis=0)

    return jax.jit(run)(key, variables)


# %%
watched = as_batch(data.train, np.arange(min(2000, examples)))
options = {
    "loss": {},
    "softmax, T = 1": {"importance": "softmax", "temperature": 1.0},
    "softmax, T = 0.1": {"importance": "softmax", "temperature": 0.1},
}
strategies = {name: importance_sampled(augment, **chosen, unbiased=True) for name, chosen in options.items()}
draws = {
    name: selected(strategy, weights.after[early], watched, jax.random.key(3)) for name, strategy in strategies.items()
}
fig, axes = plt.subplots(1, 3, figsize=(10, 3.7), sharey=True)
for ax, (name, (_, losses, drawn)) in zip(axes, draws.items(), strict=True):
    q, drawn = np.asarray(importance_weights(losses, **options[name])).ravel(), np.asarray(drawn).ravel()
    bins = np.digitize(q, np.linspace(0, 1, 11)[1:-1])
    sizes = np.bincount(bins, minlength=10)
    expected, share = (np.bincount(bins, values, minlength=10) / np.maximum(sizes, 1) for values in (q, drawn))
    error = 2 * np.sqrt(expected * (1 - expected) / np.maximum(sizes, 1))
    ax.plot([0, 1], [0, 1], color="tab:gray", lw=1)
    ax.errorbar(expected[sizes > 0], share[sizes > 0], error[sizes > 0], fmt="o", ms=4, capsize=3)
    ax.set(xlabel="probability by the weights", title=f"{name}: {len(q):,} copies", aspect="equal")
    ax.title.set_fontsize(10)
axes[0].set_ylabel("share that was drawn")
plt.show()

# %% [markdown]
# ## The effective number of copies
#
# The effective sample size $1 / \sum_j q_j^2$ is between 1 (always the same copy) and M (uniform). In the left picture
# M = 8, and the networks are from the run above. Probabilities proportional to losses become sharper as losses spread
# over orders of magnitude; a temperature has the unit of the loss, so the draw becomes uniform once all losses are far
# below it. The right picture shows what the run recorded: the mean loss of all copies and of those drawn,
# $\mathbb{E}[\ell_{\text{drawn}}] = \sum_j q_j \ell_j \ge \bar\ell$.

# %%
forms = {**options, "one_minus_prob": {"importance": "one_minus_prob"}}
sizes = {name: [] for name in forms}
for variables in weights.after.values():
    _, losses = copies_and_losses(jax.random.split(jax.random.key(4), 8), variables, watched)
    for name, chosen in forms.items():
        q = importance_weights(losses, **chosen)
        sizes[name].append(float((1 / (q**2).sum(axis=0)).mean()))
fig, (left, right) = plt.subplots(1, 2, figsize=(10, 3.4))
for name, values in sizes.items():
    left.plot(list(weights.after), values, "o-", ms=4, label=name)
left.set(xlabel="epoch", ylabel="copies", ylim=(0, 8.3), title="Effective sample size of 8 copies, mean")
left.legend(fontsize=8)
for name, label in (("drawn_loss", "drawn"), ("candidate_loss", "all copies")):
    right.plot(range(1, epochs + 1), [record[name] for record in records], label=label)
right.set(xlabel="epoch", ylabel="mean loss", ylim=(0, None), title="Losses of the copies in training, M = 4")
right.legend(fontsize=8)
plt.show()

# %% [markdown]
# ## The bias, and the cost of removing it
#
# The bias towards hard copies is intended. `unbiased=True` removes it: the drawn copy gets the weight $1 / (M q_j)$,
# with which the expected gradient is that of ordinary augmentation. The draws above used it. Here are means over their
# examples: of all copies, of the drawn ones, and of the drawn ones with the weight. In expectation the first and the
# last are equal. But the sharper the draw, the larger and rarer the weights of the copies that were unlikely: if most
# of them are never drawn, the weighted mean is too small, and a batch has far fewer examples than this.

# %%
print(f"{'drawn by':18s} {'all copies':>11s} {'drawn':>7s} {'weighted':>9s} {'largest weight':>15s}")
for name, (out, losses, drawn) in draws.items():
    loss, weight = (losses * drawn).sum(axis=0), out["weight"]
    means = f"{losses.mean():11.3f} {loss.mean():7.3f} {(weight * loss).mean():9.3f}"
    print(f"{name:18s} {means} {weight.max():15.1f}")

# %% [markdown]
# ## Fewer scores, slow start, early stop
#
# `scored=0.25` makes M copies only for the quarter of the batch whose last observed loss was largest; the others have
# one copy. The left picture shows the gain, the additional loss of the drawn copies per example of the batch, against
# the number of scored copies. `slow_start` applies any strategy with an increasing probability, and `stop_after` ends
# it; the right picture shows the share that they augment.


# %%
def extra_loss(strategy, part, variables):
    """Returns by how much the selected batch is harder than one copy each."""

    def score(batch):
        return scorer.score((), variables, batch)

    # The table of last observed losses, by index; here it has the losses of the clean examples.
    state = strategy.observe(strategy.init(examples), watched, score(watched))
    _, _, metrics = strategy.select(jax.random.key(6), state, watched, score)
    return part * (metrics["drawn_loss"] - metrics["candidate_loss"])


def shares(strategy, steps):
    """Returns the share augmented at every step, on one batch."""

    def step(state, key):
        _, state, metrics = strategy.select(key, state, batch, lambda batch: scorer.score((), variables, batch))
        return state, metrics["augmented"]

    batch, variables = as_batch(data.train, np.arange(batch_size)), weights.after[early]
    keys = jax.random.split(jax.random.key(7), steps)
    return jax.jit(lambda state, keys: jax.lax.scan(step, state, keys)[1])(strategy.init(examples), keys)


# %%
fig, (left, right) = plt.subplots(1, 2, figsize=(10, 3.4))
for name in ("loss", "softmax, T = 0.1"):
    parts, gains = (0.25, 0.5, 1.0), []
    for part in parts:
        strategy = importance_sampled(augment, **options[name], scored=part, scan=True)
        gain = jax.jit(lambda variables, s=strategy, part=part: extra_loss(s, part, variables))
        gains.append(float(gain(weights.after[early])))
    left.plot([4 * part for part in parts], gains, "o-", label=name)
left.set(xlabel="copies scored per example, of M = 4", ylabel="extra loss", title="What scoring a part wins")
left.set(xlim=(0, 4.2), ylim=(0, None))
left.legend(fontsize=8)
plain = importance_sampled(augment, scan=True)
timed_ones = {"slow_start, 100": slow_start(plain, steps=100), "stop_after, 150": stop_after(plain, steps=150)}
for name, strategy in timed_ones.items():
    right.plot(np.asarray(shares(strategy, 200)), lw=1, label=name)
right.set(xlabel="step", ylabel="share augmented", title="Slow start and late end")
right.legend(fontsize=8)
plt.show()

# %% [markdown]
# ## What it costs
#
# Every copy costs an additional augmentation and forward pass. If a forward pass is a third of a step and crop alone
# costs next to nothing, M copies take $(M + 3) / 3$ of the time of ordinary training: the dashed lines. The times are
# measured now, on a machine that may have other load. Contenders take turns; bars are medians of the ratio to `always`
# in the same turn, with quartiles. `scan=True` scores one copy after another, which saves memory.
# `results/speed/strategies.md` has more careful measurements with a WRN.


# %%
def timed_step(strategy):
    """Returns a call of one compiled training step, which returns its seconds; each continues from the last."""
    state = dataclasses.replace(jax.tree.map(jnp.copy, timed_start), strategy_state=strategy.init(256))
    step = jax.jit(make_train_step(timed, constant_rate, strategy, normalize=normalize), donate_argnums=0)

    def call():
        nonlocal state
        began = time.perf_counter()
        state, _ = jax.block_until_ready(step(state, timed_batch))
        return time.perf_counter() - began

    return call


timed_batch, constant_rate = as_batch(data.train, np.arange(256)), make_optimizer(learning_rate=0.01)
timed_start = init_state(jax.random.key(0), timed, constant_rate, never(), shape=data.shape, num_examples=256)
cropped = on_images(crop, padding=1)
contenders = {
    "always": always(cropped),
    "M = 2": importance_sampled(cropped, num_candidates=2),
    "M = 4": importance_sampled(cropped, num_candidates=4),
    "M = 8": importance_sampled(cropped, num_candidates=8),
    "M = 8, scan": importance_sampled(cropped, num_candidates=8, scan=True),
    "M = 4, a quarter scored": importance_sampled(cropped, num_candidates=4, scored=0.25),
}
calls = {name: timed_step(strategy) for name, strategy in contenders.items()}
turns = [{name: call() for name, call in calls.items()} for _ in range(34)][3:]  # the first compiles

# %%
ratios = {name: [turn[name] / turn["always"] for turn in turns] for name in contenders}
low, middle, high = np.array([statistics.quantiles(ratios[name], n=4) for name in contenders]).T
fig, ax = plt.subplots(figsize=(9, 2.9))
ax.barh(list(contenders), middle, xerr=(middle - low, high - middle), color="tab:blue", alpha=0.6, capsize=3)
for place, copies in enumerate((0, 2, 4, 8, 8, 1)):
    ax.plot([(copies + 3) / 3] * 2, [place - 0.4, place + 0.4], "--", color="black", lw=1)
ax.invert_yaxis()
ax.set(xlabel="time of a step, in steps of always", title="Median and quartiles; dashed: (M + 3) / 3")
plt.show()

# %% [markdown]
# ## Does it help?
#
# All arms use the same seeds, hence the same examples, initial weights and order, and the same number of steps; scoring
# copies, and the doubled batch of `batch_augmented`, take more time. The training loss is that of the copies used for
# training. A difference below twice its standard error is not significant.

# %%
arms = {
    "always": always(augment),
    "by the loss, M = 4": importance_sampled(augment, num_candidates=4, scan=True),
    "max_loss, M = 4": max_loss(augment, num_candidates=4, scan=True),
    "batch_augmented, 2": batch_augmented(augment, copies=2),
}
datasets = [subset(data, few, seed=seed) for seed in range(seeds)]
few_batch = min(batch_size, few // 4)
rate = make_schedule(learning_rate=peak_rate, epochs=few_epochs, steps_per_epoch=-(-few // few_batch))
optimizer = make_optimizer(learning_rate=rate, weight_decay=5e-4)
keys = jnp.stack([jax.random.key(seed) for seed in range(seeds)])
# None of these strategies keeps a state, so the states of one serve all.
untrained = init_population(keys, model, optimizer, always(augment), shape=data.shape, num_examples=few)


def trained_arm(strategy):
    """Returns the records of every seed."""
    states = jax.tree.map(jnp.copy, untrained)  # training donates the buffers
    train_step = make_train_step(model, optimizer, strategy, normalize=normalize)
    eval_step = make_eval_step(model, normalize=normalize)
    length = {"epochs": few_epochs, "batch_size": few_batch, "eval_every": few_epochs}
    return fit_population(states, train_step, eval_step, datasets, **length)[1]


runs = {name: trained_arm(strategy) for name, strategy in arms.items()}

# %%
errors = {name: np.array([100 * (1 - run[-1]["test_accuracy"]) for run in its_runs]) for name, its_runs in runs.items()}
fig, ax = plt.subplots(figsize=(8, 2.6))
print(f"{'trained on':20s} {'test error, %':>16s} {'minus always, by seed':>24s} {'training loss':>14s}")
for row, (name, error) in enumerate(errors.items()):
    gap, root = error - errors["always"], seeds**0.5
    se, gap_text = error.std(ddof=1) / root, f"{gap.mean():+.2f} ± {gap.std(ddof=1) / root:.2f}"
    loss = np.mean([run[-1]["train_loss"] for run in runs[name]])
    print(f"{name:20s} {error.mean():9.2f} ± {se:.2f} {'-' if name == 'always' else gap_text:>24s} {loss:14.3f}")
    ax.plot(error, row + np.linspace(-0.25, 0.25, seeds), "o", color="tab:gray", alpha=0.4, ms=4)
    ax.errorbar(error.mean(), row, xerr=se, fmt="D", color="black", ms=5, capsize=3)
ax.set_yticks(range(len(errors)), errors)
ax.set(ylim=(len(errors) - 0.5, -0.5), xlabel=f"test error, %: {seeds} seeds, mean ± standard error")
plt.show()

# %% [markdown]
# Positive differences are worse than ordinary augmentation; a gain is a negative difference of more than twice its
# error. On these digits, drawing by the loss gains nothing, and the hardest copy is worst. The first picture suggests
# why: many of the likely copies have lost the part that distinguishes digits. A high loss can mean that an example is
# not learned yet, or that the label no longer fits; the draw cannot distinguish these. `batch_augmented` does not draw:
# it trains on twice as many images per step, so compare it with `always` for twice the epochs.
#
# On CIFAR-10 with a small WRN (`results/importance_cifar/page.md`), drawing by the loss gained nothing at equal epochs
# either, and at equal time ordinary training was best, since it takes more steps. The authors report a gain for
# PreActResNet-18, which was not run here.
#
# **Patent.** The procedure is the subject of a patent family, WO2021100818A1 and the granted JP7160416B2. We have not
# read the claims; check them before using it in a product.

# %% [markdown]
# ## What to try next
#
# - Set `few_epochs` to 120, or `few` to 1000: do the differences keep their signs?
# - Remove `cutout` from `augment`: the copies of an example become more similar.
# - Add `stop_after(importance_sampled(augment), steps=...)` to the `arms`.
# - Score more cheaply: `make_train_step(..., scorer=...)` takes `proxy_scorer` (a small network trained
#   alongside) or `every(scorer, 4)`; `results/cheap_scores/page.md` compares them.
# - The other use of the loss, whether to augment at all, is in notebook `02_self_paced`.
# - The card
#   [docs/methods/importance_sampled.md](https://github.com/jaxaug/jaxaug/blob/main/docs/methods/importance_sampled.md)
#   has options, costs, results, and differences between the sources.
