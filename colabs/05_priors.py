# %% [markdown]
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/jaxaug/jaxaug/blob/main/colabs/05_priors.ipynb)
#
# # Layers with a learned prior
#
# How should a network pool, how large should its receptive field be, and how confident its classifier? Three layers by
# T. Kobayashi have a prior with few parameters that are learned together with the weights: Gaussian-based pooling
# (NeurIPS 2019), disentangled convolution (2023) and rotation regularization (ECCV 2022). Each takes one argument of
# the network. The notebook takes one to three minutes on a CPU.

# %%
# Does nothing where jaxaug is installed already.
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("jaxaug") is None:
    source = "jaxaug @ git+https://github.com/jaxaug/jaxaug"
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", source], check=True)

# %%
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_image

from jaxaug import (
    DisentangledConv,
    GaussianPool,
    MaxEntropyPool,
    RotatedDense,
    create_model,
    effective_receptive_field,
    gaussian_filter,
    gaussian_kernel,
    gaussian_pool,
    load,
    make_eval_step,
    make_train_step,
    max_entropy_pool,
    never,
    receptive_field_spread,
    rotated_logits,
)
from jaxaug.data import long_tailed, subset
from jaxaug.training import fit_population, init_population, log_prior, make_optimizer, make_schedule, shots

plt.rcParams.update({"figure.dpi": 100, "figure.constrained_layout.use": True, "axes.grid": True, "grid.alpha": 0.3})

FULL = False  # True on a GPU or TPU: CIFAR-10 and a larger network

if FULL:
    # Prepared once, where TensorFlow is installed too:
    # tensorflow_datasets.builder("cifar10", file_format="array_record").download_and_prepare()
    data = load("cifar10")
    tail = long_tailed(data, 100)
    network = functools.partial(create_model, "cnn", width=128)
    tail_network = functools.partial(create_model, "resnet20")
    epochs, tail_epochs, batch_size, seeds, tail_seeds = 40, 60, 128, 3, 3
else:
    data = subset(load("digits"), 400)
    tail = long_tailed(load("digits"), 49)
    network = functools.partial(create_model, "cnn", width=8)
    tail_network = functools.partial(create_model, "mlp")
    epochs, tail_epochs, batch_size, seeds, tail_seeds = 15, 40, 50, 3, 5
print(data)

# %% [markdown]
# ## One window with three priors
#
# Gaussian-based pooling summarizes a window by its mean $m$ and standard deviation $s$ and gives $Y = m + \eta\,s$. In
# training $\eta$ is a draw, with $\varepsilon \sim N(0, 1)$: $\eta = \mu + \sigma \varepsilon$ (Gaussian), $\mu +
# \sigma |\varepsilon|$ (half-Gaussian), or $\mathrm{softplus}(\mu + \sigma \varepsilon)$, the inverse-softplus Gaussian
# (iSP), which is never negative. The window below has the values 0, 0, 1 and 4; the output can exceed the maximum.

# %%
window = jnp.array([[0.0, 0.0], [1.0, 4.0]])[None, :, :, None]
windows = jnp.repeat(window, 4000, axis=0)  # draws are independent for each example
titles = {"gaussian": "Gaussian", "half": "half-Gaussian", "isp": "iSP"}
_, axes = plt.subplots(1, 3, figsize=(9, 2.8), sharex=True, sharey=True)
for axis, (prior, title) in zip(axes, titles.items(), strict=True):
    draws = gaussian_pool(jax.random.key(0), windows, 0.0, 1.0, prior=prior).ravel()
    in_inference = gaussian_pool(None, window, 0.0, 1.0, prior=prior, deterministic=True).item()
    axis.hist(draws, bins=np.linspace(-4, 8, 61), color="lightgray")
    axis.axvline(window.mean(), color="tab:green", label="average")
    axis.axvline(window.max(), color="tab:red", label="maximum")
    axis.axvline(in_inference, color="black", linestyle="--", label="inference")
    above = jnp.mean(draws > window.max())
    axis.set(xlabel="pooled value")
    axis.set_title(f"{title}: {above:.0%} above the maximum", fontsize=10)
axes[0].set_ylabel("draws of 4000")
axes[0].legend(fontsize=8)
plt.show()

# %% [markdown]
# ## From the average to above the maximum
#
# With iSP, a large negative $\mu$ gives the average, and a large $\mu$ exceeds the maximum; $\sigma$ is the noise in
# training. Maximum-entropy pooling has no noise, $Y = \sum_p x_p e^{\lambda x_p} / \sum_p e^{\lambda x_p}$, and goes
# from the average at $\lambda = 0$ to the maximum. Parameters are scalars, per channel, or, as here, per example and
# channel.

# %%
mu, scale = jnp.linspace(-4.0, 4.0, 41), jnp.linspace(0.0, 3.0, 41)
copies, mus = jnp.repeat(window, len(mu), axis=0), mu[:, None, None, None]
keys = jax.random.split(jax.random.key(1), 3000)
_, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), sharey=True)
for sigma, shade in ((1.0, 0.2), (0.25, 0.4)):
    draws = jax.vmap(lambda key, sigma=sigma: gaussian_pool(key, copies, mus, sigma).ravel())(keys)
    low, high = jnp.quantile(draws, jnp.array([0.1, 0.9]), axis=0)
    left.fill_between(mu, low, high, color="tab:blue", alpha=shade, label=f"training, σ = {sigma}: 10 to 90 %")
left.plot(mu, gaussian_pool(None, copies, mus, 1.0, deterministic=True).ravel(), "k--", label="inference")
copies = jnp.repeat(window, len(scale), axis=0)
right.plot(scale, max_entropy_pool(copies, scale[:, None, None, None]).ravel(), "k", label="training and inference")
for axis in (left, right):
    axis.axhline(window.mean(), color="tab:green", label="average")
    axis.axhline(window.max(), color="tab:red", label="maximum")
    axis.legend(fontsize=8, loc="upper left" if axis is left else "upper right")
left.set(title="Gaussian-based pooling (iSP)", xlabel="μ", ylabel="pooled value", ylim=(0, 9))
right.set(title="maximum-entropy pooling", xlabel="λ")
plt.show()

# %% [markdown]
# ## A photograph, pooled
#
# Windows of 4 x 4 pixels, with channels pooled separately. The average loses bright edges and the maximum loses dark
# ones; the other two are in between, by a parameter that a network would learn.

# %%
photograph = jnp.asarray(load_sample_image("flower.jpg")[80:336:2, 120:504:2], jnp.float32)[None] / 255
window4 = {"window": (4, 4)}
pooled = {
    "input, 128 x 192": photograph,
    "average": max_entropy_pool(photograph, 0.0, **window4),
    "max. entropy, λ = 8": max_entropy_pool(photograph, 8.0, **window4),
    "iSP, inference, μ = 0": gaussian_pool(None, photograph, 0.0, 1.0, deterministic=True, **window4),
    "maximum": nn.max_pool(photograph, (4, 4), (4, 4)),
}


def show_images(images, columns, *, height):
    """Shows `[1, H, W, C]` images in a row or more."""
    rows = -(-len(images) // columns)
    _, axes = plt.subplots(rows, columns, figsize=(8, height), squeeze=False)
    for axis, (title, image) in zip(axes.ravel(), images.items(), strict=True):
        axis.imshow(np.clip(image[0], 0, 1))
        axis.set_title(title, fontsize=9)
        axis.axis("off")
    plt.show()


show_images(pooled, 5, height=1.45)

# %% [markdown]
# ## Noise in training, none in inference
#
# `GaussianPool` is the layer. With `noise_level="channel"`, its default, all positions of a channel share one
# $\varepsilon$, so the noise tints the whole image; with `"position"` every output has its own. Inference uses $\eta =
# \mathrm{softplus}(\mu)$, the median, and needs no key.

# %%
layers = {level: GaussianPool(parameters="fixed", noise_level=level, **window4) for level in ("channel", "position")}
noisy = {
    f"{level}, key {number}": layer.apply({}, photograph, deterministic=False, rngs={"dropout": jax.random.key(number)})
    for level, layer in layers.items()
    for number in (1, 2)
}
noisy["inference"] = layers["channel"].apply({}, photograph, deterministic=True)
show_images(noisy, 5, height=1.45)

# %% [markdown]
# ## A Gaussian whose width is learned
#
# Disentangled convolution splits a filter into a Gaussian, which sets its extent, and a structure filter $W$: $y = W
# \star (G_\sigma \star x)$ with $g_k \propto e^{-k^2 / 2\sigma^2}$. As $\partial g_k / \partial \sigma = g_k (k^2 -
# \sum_j g_j j^2) / \sigma^3$, the width has a gradient like any weight. Below, gradient descent recovers the $\sigma$
# by which an image was blurred. Far below 0.5 the gradient vanishes.

# %%
true_sigma, radius = 1.5, 5
small = photograph[:, ::3, ::3]
target = gaussian_filter(small, true_sigma, radius=radius)


def error(sigma):
    """Returns how far a blur is from the target, in units of 0.001."""
    return 1000 * jnp.mean((gaussian_filter(small, sigma, radius=radius) - target) ** 2)


error_and_gradient = jax.jit(jax.value_and_grad(error))


def descent(sigma):
    """Returns the widths of 80 steps of gradient descent."""
    path = [jnp.float32(sigma)]
    for _ in range(80):
        path.append(path[-1] - 0.03 * error_and_gradient(path[-1])[1])
    return path


sigmas = jnp.linspace(0.15, 3.0, 58)
errors, gradients = zip(*map(error_and_gradient, sigmas), strict=True)
_, axes = plt.subplots(1, 3, figsize=(8, 2.6))
for sigma in (0.5, 1.0, 2.0):
    axes[0].plot(range(-radius, radius + 1), gaussian_kernel(sigma, radius=radius), "o-", ms=3, label=f"σ = {sigma}")
axes[0].set(title="kernel", xlabel="k, pixels", ylabel="weight")
axes[1].plot(sigmas, errors, label="error (x 1000)")
axes[1].plot(sigmas, gradients, label="its gradient")
axes[1].set(title=f"blur of σ = {true_sigma} as the target", xlabel="σ, pixels")
for start in (0.15, 0.5, 2.5):
    axes[2].plot(descent(start), label=f"from {start}")
axes[2].axhline(true_sigma, color="black", linestyle="--", linewidth=1)
axes[2].set(title="gradient descent", xlabel="step", ylabel="σ, pixels")
for axis, place in zip(axes, ("upper right", "lower right", "upper right"), strict=True):
    axis.legend(fontsize=8, loc=place)
plt.show()

# %% [markdown]
# ## The resulting receptive field
#
# Which pixels affect a feature, and how much? `effective_receptive_field` is the mean size of the gradient of the
# central position. Here are four 3 x 3 `DisentangledConv`s in a row, untrained, with the same structure filters for
# each $\sigma$; as $\sigma \to 0$ they become plain convolutions. The spread is the standard deviation of the field.


# %%
class Stack(nn.Module):
    """Four convolutions of 16 channels."""

    @nn.compact
    def __call__(self, x):
        for _ in range(4):
            x = nn.relu(DisentangledConv(16, (3, 3), radius=4)(x))
        return x


def with_sigma(variables, sigma):
    """Returns variables with this width in every layer."""
    return jax.tree.map_with_path(lambda path, leaf: leaf * 0 + sigma if path[-1].key == "sigma" else leaf, variables)


corners = [(y, x) for y in (0, 45, 90) for x in (0, 50, 100, 150)]
images = jnp.concatenate([photograph[:, y : y + 33, x : x + 33] for y, x in corners])
variables = Stack().init(jax.random.key(3), images)
sigmas = jnp.array([1e-3, 0.5, 0.75, 1.0, 1.5, 2.0])
field = jax.jit(
    lambda sigma: effective_receptive_field(functools.partial(Stack().apply, with_sigma(variables, sigma)), images)
)
fields = jnp.stack([field(sigma) for sigma in sigmas])
spreads = receptive_field_spread(fields).mean(axis=-1)

_, axes = plt.subplots(1, 6, figsize=(9, 1.9))
for axis, sigma, picture, spread in zip(axes, sigmas, fields, spreads, strict=True):
    axis.imshow(picture / picture.max(), cmap="magma")
    name = "σ → 0" if sigma < 0.01 else f"σ = {sigma:.2f}"
    axis.set_title(f"{name}\nspread {spread:.1f} pixels", fontsize=9)
    axis.axis("off")
plt.show()

# %% [markdown]
# ## Logits of rotated features
#
# Rotation regularization rotates the features $x$ by an angle $\alpha$ in a random direction before the classifier.
# Mean and variance of the logits are known, so no vector has to be rotated; with $\varepsilon_c \sim N(0, 1 / (D -
# 1))$:
#
# $$ z_c = \cos\alpha\,(w_c x) + \sin\alpha\;\varepsilon_c \sqrt{|x|^2 |w_c|^2 - (w_c x)^2}. $$
#
# In the plane there are only two directions. With 64 features, the histograms of explicit rotations and of
# `rotated_logits` can be compared. Inference uses $w_c x$.


# %%
def really_rotated(key, x, kernel, angle):
    """Returns the logits of x turned by an angle in a random direction across it."""
    across = jax.random.normal(key, x.shape)
    across -= x * (across @ x) / (x @ x)
    across *= jnp.linalg.norm(x) / jnp.linalg.norm(across)
    return (jnp.cos(angle) * x + jnp.sin(angle) * across) @ kernel


degrees, draws = 45.0, 5000
keys = jax.random.split(jax.random.key(4), draws)
x, weights = jnp.array([2.0, 1.0]), jnp.array([[0.3, 1.6], [1.5, -0.4]])
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3), width_ratios=(2, 3))
for name, vector, color in (
    ("x", x, "black"),
    ("w_1", weights[:, 0], "tab:blue"),
    ("w_2", weights[:, 1], "tab:orange"),
):
    left.annotate("", vector, (0, 0), arrowprops={"arrowstyle": "-|>", "color": color, "linewidth": 2})
    left.text(*(1.08 * vector), name, color=color)
for turn in (-1, 1):
    c, s = np.cos(np.deg2rad(degrees)), turn * np.sin(np.deg2rad(degrees))
    left.annotate(
        "", np.array([[c, -s], [s, c]]) @ x, (0, 0), arrowprops={"arrowstyle": "-|>", "color": "gray", "ls": "--"}
    )
left.set(title=f"x, turned by {degrees:.0f}° either way", xlim=(-0.6, 2.8), ylim=(-1.2, 2.6), aspect="equal")

generator = np.random.default_rng(0)
features, kernel = jnp.asarray(generator.normal(size=64)), jnp.asarray(generator.normal(size=(64, 2)))
kernel = kernel.at[:, 1].add(0.5 * features)  # the second class fits x
real = jax.vmap(lambda key: really_rotated(key, features, kernel, np.deg2rad(degrees)))(keys)
drawn = rotated_logits(jax.random.key(7), jnp.tile(features, (draws, 1)), kernel, degrees=degrees)
for k, color in enumerate(("tab:blue", "tab:orange")):
    bins = np.linspace(drawn[:, k].min(), drawn[:, k].max(), 50)
    right.hist(real[:, k], bins=bins, color=color, alpha=0.4, label=f"class {k + 1}, really rotated")
    right.hist(drawn[:, k], bins=bins, color=color, histtype="step", linewidth=1.5, label="rotated_logits")
    right.axvline(features @ kernel[:, k], color=color, linestyle="--", label="inference")
right.set(title=f"64 features, {degrees:.0f}°", xlabel="logit", ylabel=f"draws of {draws}")
right.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)
plt.show()

# %% [markdown]
# ## One argument of `create_model`
#
# `pool=` replaces max pooling, `conv=` every convolution larger than 1 x 1, and `head=` the classifier: by a class, a
# module that is copied for each use, or a function that returns one. The prior adds few parameters. `RotatedDense` has
# no bias, hence fewer.

# %%
choices = {
    "usual layers": {},
    "pool=GaussianPool": {"pool": GaussianPool},
    'pool=GaussianPool(parameters="learned")': {"pool": GaussianPool(parameters="learned")},
    'pool=MaxEntropyPool(parameters="learned")': {"pool": MaxEntropyPool(parameters="learned")},
    "conv=DisentangledConv": {"conv": DisentangledConv},
    "head=RotatedDense": {"head": RotatedDense},
    "all three": {"pool": GaussianPool, "conv": DisentangledConv, "head": RotatedDense},
}
header = 'create_model("resnet10", 100, ...)'
print(f"{header:44}parameters     added")
sizes = {}
for name, given in choices.items():
    shapes = jax.eval_shape(create_model("resnet10", 100, **given).init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    sizes[name] = sum(leaf.size for leaf in jax.tree.leaves(shapes["params"]))
    print(f"{name:44}{sizes[name]:10,}{sizes[name] - sizes['usual layers']:+10,}")

# %% [markdown]
# ## Poolings, trained
#
# A CNN with two pooling layers (on the CPU a narrow one with a few hundred digits), for several seeds. The parameters
# of the pooling layers are fixed here, so all networks start with the same weights; the average is maximum-entropy
# pooling with $\lambda = 0$. A difference smaller than the spread of the dots is not significant.


# %%
def begun(model, data, *, epochs, seeds):
    """Returns an optimizer and the untrained state of every seed."""
    examples = len(data.train.labels)
    rate = make_schedule(learning_rate=0.05, epochs=epochs, steps_per_epoch=-(-examples // batch_size))
    optimizer, options = make_optimizer(learning_rate=rate), {"shape": data.shape, "num_examples": examples}
    return optimizer, init_population(jax.random.split(jax.random.key(8), seeds), model, optimizer, never(), **options)


def trained(model, optimizer, states, data, *, epochs, sampling="shuffled", **options):
    """Returns the state and the last record of every seed."""
    states = jax.tree.map(jnp.copy, states)  # training donates them
    steps = make_train_step(model, optimizer, never(), **options), make_eval_step(model)
    how = {"epochs": epochs, "eval_every": epochs, "batch_size": batch_size, "sampling": sampling}
    states, records = fit_population(states, *steps, data, **how)
    return states, [member[-1] for member in records]


poolings = {
    "maximum": None,
    "average": MaxEntropyPool(parameters="fixed", scale=0.0),
    "Gaussian (iSP)": GaussianPool(parameters="fixed"),
}
optimizer, states = begun(network(num_classes=data.num_classes), data, epochs=epochs, seeds=seeds)
_, axis = plt.subplots(figsize=(8, 2.6))
for place, (name, pool) in enumerate(poolings.items()):
    model = network(num_classes=data.num_classes, pool=pool)
    _, last = trained(model, optimizer, states, data, epochs=epochs)
    errors = np.array([100 * (1 - record["test_accuracy"]) for record in last])
    axis.barh(place, errors.mean(), color=f"C{place}", alpha=0.6)
    axis.scatter(errors, [place] * seeds, color="black", s=14, zorder=3)
    print(f"{name:18} test error {errors.mean():.2f} ± {errors.std(ddof=1):.2f} %")
axis.set(title="test error, one dot a seed", xlabel="%", yticks=range(len(poolings)), yticklabels=list(poolings))
axis.invert_yaxis()
plt.show()

# %% [markdown]
# ## Widths, trained
#
# The same CNN with `conv=DisentangledConv`, which adds one parameter to each convolution, and the $\sigma$ of all four
# after every step, for two initial widths. A training step is a function of a state and a batch, so you can write your
# own loop to inspect every state.

# %%
model, optimizer = network(num_classes=data.num_classes, conv=DisentangledConv), make_optimizer(learning_rate=0.05)
train_step, split = make_train_step(model, optimizer, never()), jax.device_put(data.train)


@jax.jit
def stepped(state, split, index):
    """Returns state and loss after a step on these examples."""
    label = jax.nn.one_hot(split.labels[index], data.num_classes)
    state, metrics = train_step(state, {"image": split.images[index] / 255, "label": label, "index": index})
    return state, metrics["loss"]


convs = [f"conv{layer}" for layer in (1, 2, 3, 4)]
_, axes = plt.subplots(1, 2, figsize=(8, 2.6), sharey=True)
for axis, start in zip(axes, (0.75, 1.5), strict=True):
    trunk = states[0].params["trunk"]  # the plain network's
    widened = {conv: {**trunk[conv], "sigma": jnp.float32(start)} for conv in convs}
    params = {**states[0].params, "trunk": {**trunk, **widened}}
    state, path, order = (
        states[0].replace(params=params, opt_state=optimizer.init(params)),
        [],
        np.random.default_rng(0),
    )
    for _ in range(150):
        state, loss = stepped(state, split, order.choice(len(split.labels), batch_size, replace=False))
        path.append([state.params["trunk"][conv]["sigma"] for conv in convs])
    for conv, widths in zip(convs, np.abs(np.array(path)).T, strict=True):
        axis.plot(widths, label=conv)
    axis.set(title=f"from σ = {start}; last loss {loss:.3f}", xlabel="step")
axes[0].set_ylabel("σ, pixels")
axes[1].legend(fontsize=8)
plt.show()

# %% [markdown]
# ## A long tail
#
# `long_tailed` subsamples the training classes exponentially; the test images stay balanced. Rotation regularization is
# meant for such data, and so is logit adjustment, which adds $\log(n_k / N)$ to the logits in the training loss. The
# records have the mean accuracy over classes with many (above 100), medium and few (below 20) training examples.
# Classifiers have a bias here, so all start with the same weights.


# %%
def noted(name, last):
    """Prints and keeps the accuracies of all classes and of each group, in percent."""
    results[name] = 100 * np.array([[record[f"test_{column}"] for column in columns] for record in last])
    cells = zip(results[name].mean(axis=0), results[name].std(axis=0, ddof=1), strict=True)
    print(f"{name:24}" + "".join(f"{mean:8.1f} ± {spread:3.1f}" for mean, spread in cells))


counts = np.bincount(tail.train.labels, minlength=tail.num_classes)
columns = ["accuracy", *(f"{group}_shot" for group in ("many", "medium", "few") if group in shots(counts))]
print(f"training examples of every class: {counts.tolist()}")
print(f"{'test accuracy, %':24}" + "".join(f"{column:>14}" for column in columns))

plain, options = tail_network(num_classes=tail.num_classes), {"epochs": tail_epochs}
rotated = tail_network(num_classes=tail.num_classes, head=RotatedDense(tail.num_classes, use_bias=True))
optimizer, states = begun(plain, tail, seeds=tail_seeds, **options)
results, firsts = {}, {}
for name, model in {"plain": plain, "rotated": rotated}.items():
    firsts[name], last = trained(model, optimizer, states, tail, **options)
    noted(name, last)
_, last = trained(plain, optimizer, states, tail, logit_adjustment=log_prior(counts), **options)
noted("logit adjustment", last)

# %% [markdown]
# The author rotates in the first stage only. The second stage freezes the features and trains a new, plain classifier
# on them, with every class drawn equally often (Kang et al., ICLR 2020). Here it follows the plain and the rotated
# network.

# %%
seconds = []
for name in firsts:
    for new, first in zip(states, firsts[name], strict=True):
        params = {**first.params, "classifier": new.params["classifier"]}
        opt_state = optimizer.init(params["classifier"])  # the only trained part
        seconds.append(new.replace(params=params, batch_stats=first.batch_stats, opt_state=opt_state))
_, last = trained(plain, optimizer, seconds, tail, trained="head", sampling="class_balanced", **options)
for place, name in enumerate(firsts):
    noted(f"{name}, second stage", last[place * tail_seeds :][:tail_seeds])

_, axis = plt.subplots(figsize=(9, 3.2))
for place, (name, values) in enumerate(results.items()):
    spots = np.arange(len(columns)) + 0.17 * place
    axis.bar(spots, values.mean(axis=0), 0.15, yerr=values.std(axis=0, ddof=1), capsize=2, label=name)
axis.set(title="mean and deviation over seeds", ylabel="test accuracy, %", xticks=np.arange(len(columns)) + 0.34)
axis.set_xticklabels([column.replace("_", " ") for column in columns])
axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)
plt.show()

# %% [markdown]
# On the digits, no pooling is significantly better than the maximum, and rotation is not better than the plain network,
# before or after the second stage; logit adjustment and a second stage are. A few hundred images of 8 x 8 pixels say
# little about layers that were designed for ImageNet. Published results are in the cards
# `docs/methods/gaussian_pooling.md`, `docs/methods/disentangled_convolution.md` and
# `docs/methods/rotation_regularization.md`.

# %% [markdown]
# ## What to try next
#
# - `GaussianPool` with its default, adaptive parameters, or `MaxEntropyPool`, in the comparison of pooling layers.
# - `functools.partial(DisentangledConv, learn_sigma=False)`: a fixed blur, the control for the learned width.
# - `RotatedDense(degrees=...)` at other angles: `head=functools.partial(RotatedDense, degrees=20.0)`.
# - The next notebook, `06_search`, for which augmentation and how much of it.
