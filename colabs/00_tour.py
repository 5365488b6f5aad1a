# %% [markdown]
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/jaxaug/jaxaug/blob/main/colabs/00_tour.ipynb)
#
# # jaxaug in your own training loop
#
# You have a network in Flax, an optimizer of optax and a loop around them. How do you augment its images, choose which
# examples to augment, or add noise to its layers? Here is such a loop; each section adds one thing, a few lines at a
# time. The last sections do the same with the training loop of jaxaug. It takes five minutes to read and about a minute
# to run on two CPU cores.

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
import optax

from jaxaug.augment import contrast, cutout, rotate
from jaxaug.compose import chain, on_images, on_pairs, one_of, sometimes
from jaxaug.data import load, subset
from jaxaug.explain import features_and_head, grad_cam, overlay
from jaxaug.layers import GaussianPool, ShakeDrop, linear_decay
from jaxaug.mix import ricap
from jaxaug.sampling import always, importance_sampled, self_paced

FULL = False  # True on a GPU or TPU: CIFAR-10 and a larger network

# %%
if FULL:
    # Prepared once, with TensorFlow: tfds.builder("cifar10", file_format="array_record").download_and_prepare()
    data = load("cifar10")
    width, stages, seeds, epochs, batch_size = 64, 3, 3, 40, 125
else:
    data = subset(load("digits"), 300)
    width, stages, seeds, epochs, batch_size = 16, 1, 3, 50, 50

# All that jaxaug asks of data: images in floating point, labels one-hot.
images, test_images = (split.images.astype(np.float32) / np.float32(255) for split in (data.train, data.test))
labels = np.eye(data.num_classes, dtype=np.float32)[data.train.labels]
examples, total_steps = len(images), epochs * (len(images) // batch_size)

plt.rcParams |= {"figure.dpi": 100, "figure.constrained_layout.use": True, "axes.titlesize": 10}


def show_rows(rows, titles=()):
    """Draws rows of images, each under its name; the titles stand over the last row."""
    axes = plt.figure(figsize=(9, 1.25 * len(rows) + 0.3 * bool(titles))).subplots(len(rows), 8)
    for row, (name, pictures) in zip(axes, rows.items(), strict=True):
        for each, picture in zip(row, pictures, strict=False):
            each.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            each.axis("off")
        row[0].text(-0.12, 0.5, name, transform=row[0].transAxes, rotation=90, va="center", ha="center", fontsize=9)
    for each, title in zip(axes[-1], titles, strict=False):
        each.set_title(title, fontsize=8)


# %% [markdown]
# ## Your loop
#
# No jaxaug yet: a small residual network, Adam, and a step that is a pure function of state, batch and key. A batch is
# a dict of arrays.


# %%
class Block(nn.Module):
    @nn.compact
    def __call__(self, x):
        branch = nn.relu(nn.Dense(128)(nn.LayerNorm()(x)))
        return x + nn.Dense(x.shape[-1])(branch)


class Net(nn.Module):
    @nn.compact
    def __call__(self, x, train=False):
        for stage in range(1, stages + 1):
            x = nn.relu(nn.Conv(width, (3, 3), name=f"conv{stage}")(x))
            x = nn.max_pool(x, (2, 2), (2, 2))
        x = nn.Dense(128)(x.reshape(len(x), -1))
        for _ in range(2):
            x = Block()(x)
        return nn.Dense(data.num_classes)(nn.relu(nn.LayerNorm()(x)))


net, optimizer = Net(), optax.adam(optax.cosine_decay_schedule(0.005, total_steps))


@jax.jit
def plain_step(state, batch, key):
    params, opt_state = state

    def loss_of(params):
        return optax.softmax_cross_entropy(net.apply(params, batch["image"]), batch["label"]).mean()

    loss, grads = jax.value_and_grad(loss_of)(params)
    updates, opt_state = optimizer.update(grads, opt_state, params)
    return (optax.apply_updates(params, updates), opt_state), {"loss": loss}


# %%
@functools.partial(jax.jit, static_argnums=0)
def first_params(net, key):
    return net.init(key, images[:1])


def trained(step, seed, net=net, memory=()):
    """Returns the parameters after all epochs, and the metrics of every step."""
    params = first_params(net, jax.random.key(seed))
    state, order, metrics = (params, optimizer.init(params), *memory), np.random.default_rng(seed), []
    for _ in range(epochs):
        for index in order.permutation(examples)[: examples // batch_size * batch_size].reshape(-1, batch_size):
            batch = {"image": images[index], "label": labels[index], "index": index}
            state, of_step = step(state, batch, jax.random.fold_in(jax.random.key(seed), len(metrics)))
            metrics.append(of_step)
    return state[0], jax.device_get(metrics)


@functools.partial(jax.jit, static_argnums=0)
def predicted(net, params, images):
    return net.apply(params, images).argmax(axis=-1)


def error_of(params, net=net):
    parts = np.array_split(test_images, -(-len(test_images) // 1000))
    return 100 * np.mean(np.concatenate([predicted(net, params, part) for part in parts]) != data.test.labels)


runs = {"your loop": [trained(plain_step, seed) for seed in range(seeds)]}
errors = {"your loop": [error_of(params) for params, _ in runs["your loop"]]}
print("test error of each seed, %:", np.round(errors["your loop"], 2))

# %% [markdown]
# ## Images: a function with a key
#
# Every augmentation is a function `f(key, images, ...) -> images` that draws independently for each image and works
# inside your `jit`. `chain` gives each a separate key, and `on_images` applies it to the batch. Your step gets one more
# call.

# %%
standard = chain(on_images(rotate, degrees=10.0), on_images(contrast, strength=0.3))


@jax.jit
def augmented_step(state, batch, key):
    return plain_step(state, standard(key, batch), key)


few = {"image": jnp.asarray(images[:8]), "label": jnp.asarray(labels[:8])}
turned, chained = rotate(jax.random.key(0), few["image"], degrees=10.0), standard(jax.random.key(1), few)["image"]
show_rows({"images": few["image"], "rotate": turned, "the chain": chained.clip(0, 1)})

runs["rotate, contrast"] = [trained(augmented_step, seed) for seed in range(seeds)]

# %% [markdown]
# ## Labels too: RICAP
#
# Mixing functions take labels as well, `f(key, images, labels) -> (images, labels)`. RICAP patches crops of four images
# and gives each label the share of the pixels that its image has. Labels become soft; the cross-entropy of your step
# needs no change.


# %%
@jax.jit
def ricap_step(state, batch, key):
    standard_key, ricap_key = jax.random.split(key)
    batch = standard(standard_key, batch)
    mixed_images, mixed_labels = ricap(ricap_key, batch["image"], batch["label"])
    return plain_step(state, {**batch, "image": mixed_images, "label": mixed_labels}, key)


def in_words(label):
    best = np.argsort(-label)[:3]
    return "\n".join(f"{label[k]:.2f} of {data.class_names[k]}" for k in best if label[k] > 0.005)


patched, mixed = ricap(jax.random.key(1), few["image"], few["label"])
show_rows({"images": few["image"], "RICAP": patched}, [in_words(label) for label in np.asarray(mixed)])

runs["and RICAP"] = [trained(ricap_step, seed) for seed in range(seeds)]

# %% [markdown]
# ## An augmentation of your own
#
# Write a function of key and images that draws for each image; combinators do the rest. `one_of` selects a function for
# each image, and `sometimes` applies one with a probability per image; labels always stay with their images.


# %%
def shadow(key, images, *, most=0.8):
    """Darkens each image towards one side of it."""
    b, h, w, _ = images.shape
    angle = jax.random.uniform(key, (b, 1, 1), maxval=2 * jnp.pi)
    y, x = jnp.linspace(-1, 1, h)[None, :, None], jnp.linspace(-1, 1, w)[None, None, :]
    ramp = jax.nn.sigmoid(3 * (x * jnp.cos(angle) + y * jnp.sin(angle)))
    return images * (1 - most * ramp)[..., None]


own = one_of(on_images(shadow), on_images(cutout, size=data.shape[0] // 4))
augment = chain(standard, own, sometimes(on_pairs(ricap), prob=0.5))


@jax.jit
def own_step(state, batch, key):
    return plain_step(state, augment(key, batch), key)


shaded, seen = shadow(jax.random.key(2), few["image"]), augment(jax.random.key(3), few)
show_rows(
    {"images": few["image"], "shadow": shaded, "all of it": seen["image"].clip(0, 1)},
    [in_words(label) for label in np.asarray(seen["label"])],
)

runs["and your own"] = [trained(own_step, seed) for seed in range(seeds)]

# %% [markdown]
# ## Which examples to augment: a strategy in your loop
#
# A strategy consists of three functions, like an optax transformation. `init` creates its state; `select` is called
# before you differentiate, with a function `score` from a batch to its losses under the current weights; `observe`
# receives the losses of training. Self-paced augmentation augments the examples with a loss above a threshold and
# leaves the others unchanged; importance sampling makes several copies of each example and draws one in proportion to
# its loss.


# %%
def losses_of(params, batch):
    return optax.softmax_cross_entropy(net.apply(params, batch["image"]), batch["label"])


def make_step(strategy):
    @jax.jit
    def step(state, batch, key):
        params, opt_state, memory = state
        batch, memory, metrics = strategy.select(key, memory, batch, lambda scored: losses_of(params, scored))

        def loss_of(params):
            losses = losses_of(params, batch)
            return losses.mean(), losses

        grads, losses = jax.grad(loss_of, has_aux=True)(params)
        memory = strategy.observe(memory, batch, losses)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return (optax.apply_updates(params, updates), opt_state, memory), metrics

    return step


strategies = {
    "self-paced": self_paced(augment, threshold=0.1),
    "importance-sampled": importance_sampled(augment, num_candidates=4),
}
for name, strategy in strategies.items():
    step = make_step(strategy)
    runs[name] = [trained(step, seed, memory=(strategy.init(examples),)) for seed in range(seeds)]

# %% [markdown]
# The metrics of a strategy show what it did: here the share of the batch that was augmented, and the mean loss of all
# copies and of the drawn ones, for the first seed and as means over an epoch.


# %%
def by_epoch(name, metric):
    return np.array([of_step[metric] for of_step in runs[name][0][1]]).reshape(epochs, -1).mean(axis=1)


figure, axes = plt.subplots(1, 2, figsize=(9, 2.9))
axes[0].plot(np.arange(1, epochs + 1), by_epoch("self-paced", "augmented"))
axes[0].set(title="self-paced", xlabel="epoch", ylabel="share augmented", ylim=(0, 1.05))
for metric, label in (("drawn_loss", "copies drawn"), ("candidate_loss", "copies made")):
    axes[1].plot(np.arange(1, epochs + 1), by_epoch("importance-sampled", metric), label=label)
axes[1].set(title="importance-sampled", xlabel="epoch", ylabel="loss")
axes[1].legend()
plt.show()

# %% [markdown]
# ## Noise inside the network
#
# Layers are Linen modules, called like `nn.Dropout`: `deterministic=False` in training, with noise from the rng stream
# "dropout". `ShakeDrop` wraps a residual branch, and `GaussianPool` replaces a pooling layer. The step passes a key to
# the stream; inference needs none.

# %%
KEEP_PROBS = linear_decay(2, final=0.8).tolist()  # of the two blocks; a small network tolerates little noise


class NoisyBlock(nn.Module):
    keep_prob: float

    @nn.compact
    def __call__(self, x, train):
        branch = nn.relu(nn.Dense(128)(nn.LayerNorm()(x)))
        branch = nn.Dense(x.shape[-1])(branch)
        return x + ShakeDrop(self.keep_prob)(branch, deterministic=not train)


class NoisyNet(nn.Module):
    @nn.compact
    def __call__(self, x, train=False):
        for stage in range(1, stages + 1):
            x = nn.relu(nn.Conv(width, (3, 3), name=f"conv{stage}")(x))
            x = GaussianPool(window=(2, 2), parameters="learned")(x, deterministic=not train)
        x = nn.Dense(128)(x.reshape(len(x), -1))
        for keep_prob in KEEP_PROBS:
            x = NoisyBlock(keep_prob)(x, train)
        return nn.Dense(data.num_classes)(nn.relu(nn.LayerNorm()(x)))


noisy = NoisyNet()


@jax.jit
def noisy_step(state, batch, key):
    params, opt_state = state

    def loss_of(params):
        logits = noisy.apply(params, batch["image"], train=True, rngs={"dropout": key})
        return optax.softmax_cross_entropy(logits, batch["label"]).mean()

    updates, opt_state = optimizer.update(jax.grad(loss_of)(params), opt_state, params)
    return (optax.apply_updates(params, updates), opt_state), {}


runs["noisy layers"] = [trained(noisy_step, seed, noisy) for seed in range(seeds)]

# %% [markdown]
# The same four test images pass through the trained network many times with noise: the probability of the true class
# varies. The line is the prediction at inference, without noise.


# %%
@jax.jit
def true_class(params, key):
    noise = {} if key is None else {"train": True, "rngs": {"dropout": key}}
    probs = jax.nn.softmax(noisy.apply(params, test_images[:4], **noise))
    return probs[jnp.arange(4), data.test.labels[:4]]


params = runs["noisy layers"][0][0]
spread = jax.vmap(true_class, (None, 0))(params, jax.random.split(jax.random.key(4), 500))
figure, axes = plt.subplots(1, 4, figsize=(9, 2.2), sharey=True)
for i, each in enumerate(axes):
    each.hist(spread[:, i], bins=np.linspace(0, 1, 21), color="tab:orange")
    each.axvline(true_class(params, None)[i], color="black", linestyle="--")
    each.set(title=f"test image {i}", xlabel="probability")
axes[0].set_ylabel("of 500 draws")
plt.show()

# %% [markdown]
# ## What the network looks at
#
# `features_and_head` splits your network at any named layer, and Grad-CAM weights the channels of that layer by the
# gradient of a logit: where in the image is the evidence for the class? Yellow is the maximum of a map.

# %%
pictures, classes = test_images[:8], jnp.asarray(data.test.labels[:8])
enlarged = jax.image.resize(pictures, (8, 32, 32, pictures.shape[-1]), "nearest")


@functools.partial(jax.jit, static_argnums=0)
def seen_by(network, params):
    features, head = features_and_head(network, params, pictures, f"conv{stages}", train=False)
    return overlay(enlarged, grad_cam(head, features, classes), strength=0.6)


show_rows(
    {
        "image": enlarged,
        "your loop": seen_by(net, runs["your loop"][0][0]),
        "and RICAP": seen_by(net, runs["and RICAP"][0][0]),
        "noisy layers": seen_by(noisy, runs["noisy layers"][0][0]),
    }
)

# %% [markdown]
# ## The same with the training loop of jaxaug
#
# All of this takes one call: `make_train_step` combines select, gradient, update and observe into a step for any
# network with a `train=` argument; `fit` trains one network, and `fit_population` trains several in one compiled
# program. Shuffling happens on the device, too. Here are your network, optimizer and augmentation, with all examples
# augmented.

# %%
from jaxaug.training import fit_population, init_population, make_eval_step, make_train_step

strategy = always(augment)
keys = [jax.random.key(seed) for seed in range(seeds)]
population = init_population(keys, net, optimizer, strategy, shape=data.shape, num_examples=examples)
train_step, eval_step = make_train_step(net, optimizer, strategy), make_eval_step(net)
_, records = fit_population(population, train_step, eval_step, data, epochs=epochs, batch_size=batch_size, eval_every=5)

figure, axes = plt.subplots(1, 2, figsize=(9, 2.9))
for seed, member in enumerate(records):
    axes[0].plot([record["epoch"] for record in member], [record["train_loss"] for record in member])
    tested = [(record["epoch"], 100 - 100 * record["test_accuracy"]) for record in member if record["test_accuracy"]]
    axes[1].plot(*zip(*tested, strict=True), marker=".", label=f"seed {seed}")
axes[0].set(xlabel="epoch", ylabel="training loss")
axes[1].set(xlabel="epoch", ylabel="test error, %")
axes[1].legend()
plt.show()

# %% [markdown]
# ## All of it in a table
#
# Every row uses the same optimizer and number of steps. Rows of one network start with the same weights and see the
# images in the same order, except the last, which has its own order. ± is the standard error over the seeds: with so
# few seeds and images only large differences mean something. A row can be worse than the first: noise and mixing need a
# network that fits its data without them, and long training. Network and learning rate were chosen in a few trials on
# these test images, in which the order of the rows changed. `results/README.md` has measurements at a larger scale.

# %%
for name, members in runs.items():
    network = noisy if name == "noisy layers" else net
    errors[name] = [error_of(params, network) for params, _ in members]
errors["and your own, jaxaug's loop"] = [100 - 100 * member[-1]["test_accuracy"] for member in records]

figure, axes = plt.subplots(figsize=(8, 3))
print(f"{'':30}test error, %")
for row, (name, found) in enumerate(errors.items()):
    axes.plot(found, [row] * seeds, "o", color="tab:blue", alpha=0.5)
    axes.plot(np.mean(found), row, "|", color="black", markersize=18)
    print(f"{name:30}{np.mean(found):6.2f} ± {np.std(found, ddof=1) / seeds**0.5:.2f}")
axes.set(yticks=range(len(errors)), yticklabels=errors, xlabel="test error, % (a dot a seed, bar: mean)")
axes.invert_yaxis()

# %% [markdown]
# ## What to try next
#
# - Another threshold of `self_paced`, or `score="stored"`, which uses the last observed loss and needs no forward pass.
# - `mixup` or `cutmix` instead of `ricap`: they are called in the same way.
# - Your own network and data in the first cells; nothing else has to change.
#
# | question | notebook | cards in docs/methods |
# |---|---|---|
# | what to do to images and labels | `01_ricap` | `ricap`, `mixup_and_cutmix`, `cutout_and_random_erasing` |
# | which examples to augment | `02_self_paced`, `03_importance_sampling` | `self_paced`, `importance_sampled` |
# | noise inside the network | `04_shakedrop` | `shake_drop` |
# | layers with a prior | `05_priors` | `gaussian_pooling`, `disentangled_convolution`, `rotation_regularization` |
# | which augmentation, and how much | `06_search` | `affinity_and_diversity` |
