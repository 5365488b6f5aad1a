# %% [markdown]
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/jaxaug/jaxaug/blob/main/colabs/04_shakedrop.ipynb)
#
# # ShakeDrop: noise on the branches of a residual network
#
# ShakeDrop (Yamada, Iwamura, Akiba and Kise, IEEE Access 2019) regularizes a residual network from the inside: it
# leaves some residual branches unchanged and multiplies the others by a random number, and their gradients by another
# one. It combines stochastic depth (Huang et al., 2016) and Shake-Shake (Gastaldi, 2017). The notebook takes one to
# three minutes on a CPU.

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
import warnings

import flax.linen as nn
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from jaxaug import (
    ShakeDrop,
    StochasticDepth,
    always,
    chain,
    create_model,
    crop,
    flip_left_right,
    linear_decay,
    load,
    make_eval_step,
    make_train_step,
    never,
    on_images,
    shake_drop,
    shake_drop_expected,
    shake_shake,
    stochastic_depth,
)
from jaxaug.data import subset
from jaxaug.training import fit_population, init_population, make_optimizer, make_schedule

plt.rcParams.update({"figure.dpi": 100, "figure.constrained_layout.use": True, "axes.grid": True, "grid.alpha": 0.3})

FULL = False  # True on a GPU or TPU: CIFAR-10 and a larger network

if FULL:
    # Prepared once, where TensorFlow is installed too:
    # tensorflow_datasets.builder("cifar10", file_format="array_record").download_and_prepare()
    data, strategy = load("cifar10"), always(chain(on_images(crop), on_images(flip_left_right)))
    network, epochs, batch_size, seeds = "pyramidnet56_84", 60, 128, 3
else:
    data, strategy = subset(load("digits"), 300), never()
    network, epochs, batch_size, seeds = "pyramidnet8_16", 15, 50, 3
print(data, network)

# %% [markdown]
# ## Two factors
#
# Let $F(x)$ be what a residual block adds to its input. ShakeDrop draws a gate $b \in \{0, 1\}$ that is 1 with the keep
# probability $p$, draws $\alpha$ and $\beta$, and computes
#
# $$ G(x) = x + (b + \alpha - b\,\alpha)\,F(x), \qquad
#    \frac{\partial L}{\partial F} := (b + \beta - b\,\beta)\,\frac{\partial L}{\partial G}. $$
#
# With $b = 1$ both factors are 1. With $b = 0$ the forward factor is $\alpha$ and the backward one is $\beta$, so the
# gradient is not that of the forward pass. `jax.vjp` measures both on a branch of ones.


# %%
def measured_factors(noisy, key, size=4000):
    """Returns the forward and the backward factor of that many examples, for `noisy(key, branch)`."""
    branch = jnp.ones((size, 1))
    shaken, pull_back = jax.vjp(lambda x: noisy(key, x), branch)
    return shaken.ravel(), pull_back(branch)[0].ravel()


factors = measured_factors(functools.partial(shake_drop, keep_prob=0.5), jax.random.key(0))
names = ("forward: b + α - bα, α in [-1, 1]", "backward: b + β - bβ, β in [0, 1]")
_, axes = plt.subplots(1, 2, figsize=(9, 2.8), sharey=True)
for axis, values, name, color in zip(axes, factors, names, ("tab:blue", "tab:orange"), strict=True):
    axis.hist(values, bins=np.linspace(-1.05, 1.05, 43), color=color)
    axis.set(title=name, xlabel="factor")
axes[0].set_ylabel("examples of 4000")
plt.show()

# %% [markdown]
# ## Limits and special cases
#
# Each point is one example, with the forward factor on the horizontal and the backward factor on the vertical axis. At
# $p = 1$ nothing happens; at $p = 0$ all branches are noisy. With $\alpha = 0$ the forward pass is that of stochastic
# depth, but the dropped branch still gets a gradient through $\beta$. `true_gradient=True` uses $\beta = \alpha$.

# %%
members = {
    "p = 1: identity": functools.partial(shake_drop, keep_prob=1.0),
    "p = 0.5 (set A)": functools.partial(shake_drop, keep_prob=0.5),
    "p = 0: noise alone": functools.partial(shake_drop, keep_prob=0.0),
    "α = 0 (set B)": functools.partial(shake_drop, keep_prob=0.5, alpha=(0.0, 0.0)),
    "true_gradient": functools.partial(shake_drop, keep_prob=0.5, true_gradient=True),
    "stochastic depth": functools.partial(stochastic_depth, keep_prob=0.5),
}
_, axes = plt.subplots(2, 3, figsize=(9, 5), sharex=True, sharey=True)
for axis, (name, noisy) in zip(axes.ravel(), members.items(), strict=True):
    forward, backward = measured_factors(noisy, jax.random.key(1), size=300)
    unchanged = np.mean((np.asarray(forward) == 1) & (np.asarray(backward) == 1))
    axis.scatter(forward, backward, s=8, alpha=0.5)
    axis.set(xlim=(-1.1, 1.15), ylim=(-1.1, 1.15))
    axis.set_title(f"{name}; {unchanged:.0%} unchanged", fontsize=10)
for axis in axes[:, 0]:
    axis.set_ylabel("backward factor")
for axis in axes[1]:
    axis.set_xlabel("forward factor")
plt.show()

# %% [markdown]
# ## Levels: what shares one draw
#
# A branch in a convolutional network is `[B, H, W, C]`. `gate_level` sets what shares one $b$, the batch or an example,
# and `noise_level` sets what shares one $\alpha$ and one $\beta$: the batch, an example (the paper calls it image), a
# channel of an example, or each pixel. Below is the forward factor of four examples (down) with three channels each
# (across), with a gate per example. An example with 1 everywhere was kept.


# %%
def tiled(maps):
    """Returns maps `[B, H, W, C]` as one picture, examples down and channels across, with gaps."""
    gaps = jnp.pad(maps, ((0, 0), (0, 1), (0, 1), (0, 0)), constant_values=jnp.nan)
    b, h, w, c = gaps.shape
    return gaps.transpose(0, 1, 3, 2).reshape(b * h, c * w)[:-1, :-1]


levels = {"batch": "batch", "example": "image", "channel": "channel", "pixel": "pixel"}
figure, axes = plt.subplots(1, 4, figsize=(9, 2.9))
figure.get_layout_engine().set(wspace=0.08)
for axis, (level, name) in zip(axes, levels.items(), strict=True):
    maps = shake_drop(jax.random.key(12), jnp.ones((4, 8, 8, 3)), keep_prob=0.5, noise_level=level)
    picture = axis.imshow(tiled(maps), cmap="RdBu", vmin=-1, vmax=1)
    axis.set_title(f'"{level}"' if level == name else f'"{level}" ({name})')
    axis.axis("off")
figure.colorbar(picture, ax=axes, label="forward factor")
plt.show()

# %% [markdown]
# ## Depth, and the expectation in inference
#
# All later blocks depend on the early ones, so these are kept more often: $p_l = 1 - (l / L)(1 - P_L)$, which is
# `linear_decay`. Inference draws nothing and multiplies the branch by the mean factor $p_l + (1 - p_l)\,E[\alpha]$.
# This is $p_l$ only where $E[\alpha] = 0$; the right panel also has $\alpha \in [0, 1]$, where $p_l$ would be wrong.

# %%
depth = 20
decay, blocks = linear_decay(depth), np.arange(1, depth + 1)
keys, branch = jax.random.split(jax.random.key(3), depth), jnp.ones((4000, 1))
_, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), sharey=True)
for final in (0.8, 0.5, 0.2):
    kept = linear_decay(depth, final=final)
    left.plot(blocks, kept, "o-", markersize=3, label=f"P_L = {final}: {kept.sum():.1f} of {depth} blocks kept")
for alpha, color in (((-1.0, 1.0), "tab:blue"), ((0.0, 1.0), "tab:orange")):
    # A keep probability may be traced, so one vmap takes all blocks.
    draw = functools.partial(shake_drop, alpha=alpha)
    means = jax.vmap(lambda key, p, draw=draw: draw(key, branch, keep_prob=p).mean())(keys, decay)
    expected = jax.vmap(lambda p, alpha=alpha: shake_drop_expected(branch[:1], keep_prob=p, alpha=alpha)[0, 0])(decay)
    right.plot(blocks, expected, color=color, label=f"inference, α in [{alpha[0]:.0f}, {alpha[1]:.0f}]")
    right.plot(blocks, means, "o", color=color, markersize=4, label="mean of 4000 draws")
left.set(title="keep probability", xlabel="block l", ylabel="p_l, or factor", ylim=(0, 1.05), xticks=blocks[3::4])
right.set(title="mean forward factor, P_L = 0.5", xlabel="block l", xticks=blocks[3::4])
for axis in (left, right):
    axis.legend(fontsize=8)
plt.show()

# %% [markdown]
# ## Shake-Shake: two branches
#
# Shake-Shake needs a block with two branches and weights them by random numbers that sum to one, $x + \alpha F_1(x) +
# (1 - \alpha) F_2(x)$ with $\alpha \sim U[0, 1]$, and distributes the gradient by another weight $\beta$. Inference
# uses the mean of the branches. With $F_1 = 1$ and $F_2 = 0$ the output is $\alpha$ and the gradient of the first
# branch is $\beta$. ShakeDrop extends this to networks with one branch, and adds the gate
# (`results/shakedrop_cifar/page.md` also has it without the gate).

# %%
modes = ({"backward": "shake"}, {"backward": "even"}, {"backward": "keep"}, {"forward": "even"})
_, axes = plt.subplots(1, 4, figsize=(9, 2.7), sharex=True, sharey=True)
for axis, options in zip(axes, modes, strict=True):
    mixed = functools.partial(shake_shake, jax.random.key(4), **options)
    outputs, pull_back = jax.vjp(mixed, jnp.ones((300, 1)), jnp.zeros((300, 1)))
    first, _ = pull_back(jnp.ones((300, 1)))
    axis.scatter(outputs, first, s=6, alpha=0.5, color="tab:green")
    axis.set(title=", ".join(f'{name}="{value}"' for name, value in options.items()), xlabel="α, forward")
axes[0].set(ylabel="β, backward", xlim=(-0.05, 1.05), ylim=(-0.05, 1.05))
plt.show()

# %% [markdown]
# ## Set A, set B, and the ReLU after the addition
#
# The paper has two settings: set A, $\alpha \in [-1, 1]$, for blocks that end with the addition, and set B, $\alpha =
# 0$, for blocks with a ReLU after it, as in the first ResNet; both have $\beta \in [0, 1]$. One effect of the ReLU can
# be computed. It is convex, so the mean of its noisy output is never below its output on the mean: training and
# inference differ, with set A more than with set B, whose dropped branches are 0. Below, 20 blocks add branches of
# standard normal numbers.


# %%
def mean_activations(key, alpha, activation, draws=1000):
    """Returns the mean activation after every block, in training (over draws of the noise) and in inference."""
    shape = (depth, 1, 200)
    branches = jax.random.normal(jax.random.key(5), shape)  # the same in every draw, as F(x) of one x would be

    def block(carry, parts):
        trained, inferred = carry
        branch, p, key = parts
        noisy = shake_drop(key, jnp.broadcast_to(branch, trained.shape), keep_prob=p, alpha=alpha)
        trained = activation(trained + noisy)
        inferred = activation(inferred + shake_drop_expected(branch, keep_prob=p, alpha=alpha))
        return (trained, inferred), (trained.mean(), inferred.mean())

    start = (jnp.zeros((draws, 200)), jnp.zeros((1, 200)))
    return jax.lax.scan(block, start, (branches, decay, jax.random.split(key, depth)))[1]


set_a, set_b = (-1.0, 1.0), (0.0, 0.0)
cases = {"set A, no ReLU": (set_a, lambda x: x), "set A, ReLU": (set_a, nn.relu), "set B, ReLU": (set_b, nn.relu)}
_, axes = plt.subplots(1, 3, figsize=(9, 3), sharey=True)
for axis, (name, (alpha, activation)) in zip(axes, cases.items(), strict=True):
    trained, inferred = mean_activations(jax.random.key(6), alpha, activation)
    axis.plot(blocks, trained, label="training")
    axis.plot(blocks, inferred, "--", label="inference")
    axis.set(title=f"{name} (gap {trained[-1] - inferred[-1]:+.2f})", xlabel="block", xticks=blocks[3::4])
axes[0].set_ylabel("mean activation")
axes[0].legend()
plt.show()

# %% [markdown]
# ## One argument of `create_model`
#
# `regularizer=` takes a function of the keep probability and puts its layer on every residual branch, with
# `linear_decay` over all blocks. It adds no parameters. A network with a ReLU after the addition warns about a negative
# $\alpha$; ResNets take `final_relu=False`. `results/shakedrop_cifar/page.md` has these on a part of CIFAR-10: with the
# ReLU, set A is worse than set B; no run diverged, and none is better than the network without noise, which already
# underfits.

# %%
settings = {"set A": ShakeDrop.without_final_relu, "set B": ShakeDrop.with_final_relu}
networks = {"pyramidnet14_24": {}, "resnet20": {}, "resnet20 without ReLU": {"final_relu": False}}
print(f"{'network':24}{'setting':10}{'parameters':>12}   warns")
for title, options in networks.items():
    for setting, regularizer in {"none": None, **settings}.items():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model = create_model(title.split()[0], 10, regularizer=regularizer, **options)
        shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 8, 8, 1)))
        size = sum(leaf.size for leaf in jax.tree.leaves(shapes["params"]))
        print(f"{title:24}{setting:10}{size:12,}   {'yes' if caught else 'no'}")

# %% [markdown]
# ## In your own module
#
# `ShakeDrop` is a Linen module that is called on the branch. In training it needs a key like dropout, `rngs={"dropout":
# key}`, and every block draws independently; inference needs no key. The histogram has one logit of one digit, in an
# untrained network, for 1000 keys.


# %%
class Block(nn.Module):
    """A residual block that ends with the addition, so it takes set A."""

    keep_prob: float

    @nn.compact
    def __call__(self, x, *, train):
        branch = nn.Dense(x.shape[-1])(nn.relu(nn.LayerNorm()(x)))
        branch = ShakeDrop.without_final_relu(keep_prob=self.keep_prob)(branch, deterministic=not train)
        return x + branch


class OwnNetwork(nn.Module):
    """Such blocks, each with its keep probability."""

    keep_probs: tuple[float, ...]

    @nn.compact
    def __call__(self, images, *, train):
        x = nn.Dense(64)(images.reshape(len(images), -1))
        for keep_prob in self.keep_probs:
            x = Block(keep_prob)(x, train=train)
        return nn.Dense(10)(x)


image = jnp.asarray(load("digits").test.images[:1], jnp.float32) / 255
own = OwnNetwork(tuple(linear_decay(6).tolist()))  # numbers, which stay constants under jit
variables = own.init(jax.random.key(7), image, train=False)
in_inference = own.apply(variables, image, train=False)[0, 0]
keys = jax.random.split(jax.random.key(8), 1000)
logit = jax.jit(jax.vmap(lambda key: own.apply(variables, image, train=True, rngs={"dropout": key})[0, 0]))
in_training = logit(keys)

_, axis = plt.subplots(figsize=(8, 2.6))
axis.hist(in_training, bins=40, color="lightgray", label="training, 1000 keys")
axis.axvline(in_training.mean(), color="tab:blue", label="their mean")
axis.axvline(in_inference, color="tab:red", linestyle="--", label="inference")
axis.set(xlabel="logit of class 0", ylabel="keys")
axis.legend()
plt.show()

# %% [markdown]
# ## A small comparison
#
# The same small PyramidNet is trained with nothing, with stochastic depth and with ShakeDrop (set A), with the same
# initial weights and batches for each seed. The training images are used as the validation split, too, which gives
# their loss without noise; the noise itself raises the training loss.

# %%
watched = dataclasses.replace(data, validation=data.train)
steps_per_epoch = -(-len(data.train.labels) // batch_size)
rate = make_schedule(learning_rate=0.1, epochs=epochs, steps_per_epoch=steps_per_epoch)
optimizer = make_optimizer(learning_rate=rate, weight_decay=1e-4)
regularizers = {"none": None, "stochastic depth": StochasticDepth, "ShakeDrop": ShakeDrop.without_final_relu}

# No regularizer has parameters, so all begin with the same states; training gives a state away, hence the copies.
plain = create_model(network, data.num_classes)
options = {"shape": data.shape, "num_examples": len(data.train.labels)}
states = init_population(jax.random.split(jax.random.key(9), seeds), plain, optimizer, strategy, **options)
records = {}
for name, regularizer in regularizers.items():
    model = create_model(network, data.num_classes, regularizer=regularizer)
    steps = make_train_step(model, optimizer, strategy), make_eval_step(model)
    copies = jax.tree.map(jnp.copy, states)
    _, records[name] = fit_population(copies, *steps, watched, epochs=epochs, batch_size=batch_size)

# %% [markdown]
# Lines are means over the seeds, bands go from the lowest to the highest seed, and the bars have one dot for each seed.
# If the dashed lines of the noisy networks are above that of the plain one, noise prevents the network from fitting
# even its training images: it underfits.


# %%
def of_all(records, name):
    """Returns a metric of every seed and epoch, `[seeds, epochs]`."""
    return np.array([[record[name] for record in member] for member in records])


_, axes = plt.subplots(1, 3, figsize=(10, 3.4))
columns = {"train_loss": "training loss, with noise", "validation_loss": "the same images, without noise"}
for place, (name, members) in enumerate(records.items()):
    for axis, (metric, title) in zip(axes, columns.items(), strict=False):
        losses, span = of_all(members, metric), np.arange(1, epochs + 1)
        axis.plot(span, losses.mean(axis=0), "-" if axis is axes[0] else "--", label=name)
        axis.fill_between(span, losses.min(axis=0), losses.max(axis=0), alpha=0.2)
        axis.set(title=title, xlabel="epoch", yscale="log")
    errors = 100 * (1 - of_all(members, "test_accuracy")[:, -1])
    axes[2].bar(place, errors.mean(), color=f"C{place}", alpha=0.6)
    axes[2].scatter([place] * seeds, errors, color="black", s=14, zorder=3)
    print(f"{name:18} test error {errors.mean():5.2f} ± {errors.std(ddof=1):.2f} %", end=", ")
    print(f"last loss on the training images {losses[:, -1].mean():.4f}")
axes[0].set_ylabel("cross-entropy")
axes[0].legend()
axes[2].set(title="test error", ylabel="%", xticks=range(len(records)))
axes[2].set_xticklabels([name.replace(" ", "\n") for name in records])
plt.show()

# %% [markdown]
# On the digits, both fit the training images less well than the plain network, ShakeDrop least, and neither has a
# significantly lower test error. A network of three blocks trained briefly on few images says nothing about the setting
# of the paper, a PyramidNet of 110 layers and 300 epochs of CIFAR-100. `results/shakedrop_cifar/page.md` has ResNet-20
# on 5,000 images of CIFAR-10, with both endings, all levels and $p = 0$; all noise increases the error there, since
# that network underfits, too.

# %% [markdown]
# ## What to try next
#
# - `noise_level="pixel"`, the paper's best, by `functools.partial(ShakeDrop.without_final_relu, noise_level="pixel")`.
# - A deeper network, `"pyramidnet14_24"`, and more epochs: does the order in the last picture change?
# - `OwnNetwork` with `linear_decay(6, final=0.8)`, for a weaker noise.
# - `create_model("shake_shake_26_2x32d", 10)` for Shake-Shake, with `forward=`, `backward=` and `level=`.
# - The card `docs/methods/shake_drop.md`, and the next notebook, `05_priors`, for layers that learn their noise.
