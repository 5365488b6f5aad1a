# %% [markdown]
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/jaxaug/jaxaug/blob/main/colabs/01_ricap.ipynb)
#
# # RICAP: four crops patched into one image
#
# How can a network be kept from relying on a single detail of an image? RICAP takes a random crop of each of four
# images, patches them into one, and mixes the four labels by the area of the crops. It is from Takahashi, Matsubara and
# Uehara (IEEE TCSVT, doi 10.1109/TCSVT.2019.2935128). The notebook takes about a minute on two CPU cores.

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

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle
from sklearn.datasets import load_sample_image

from jaxaug.augment import crop, cutout
from jaxaug.compose import chain, on_images, on_pairs, sometimes
from jaxaug.data import Dataset, Split, load, subset
from jaxaug.explain import cam, map_entropy, overlay
from jaxaug.mix import apply_ricap, cutmix, mix_labels, mixup, ricap, ricap_plan
from jaxaug.models import create_model
from jaxaug.sampling import always
from jaxaug.training import (
    fit_population,
    init_population,
    make_eval_step,
    make_optimizer,
    make_schedule,
    make_train_step,
)

FULL = False  # True on a GPU or TPU: CIFAR-10 and a larger network

# %%
if FULL:
    # Prepared once, with TensorFlow: tfds.builder("cifar10", file_format="array_record").download_and_prepare()
    data = load("cifar10")
    model, padding = create_model("wrn_16_4", data.num_classes), 4
    seeds, epochs, batch_size = 3, 100, 128
else:
    # 300 digits. Each pixel becomes 2 x 2, so that the last features, at a quarter of the side, are 4 x 4.
    digits = subset(load("digits"), 300)
    train, test = (Split(s.images.repeat(2, axis=1).repeat(2, axis=2), s.labels) for s in (digits.train, digits.test))
    data = Dataset("digits", train, test, digits.class_names)
    model, padding = create_model("cnn", data.num_classes, width=8), 2
    seeds, epochs, batch_size = 3, 40, 50

plt.rcParams |= {"figure.dpi": 100, "figure.constrained_layout.use": True, "axes.titlesize": 9}
# As JPEG, photographs take a fraction of the room of PNG.
# %config InlineBackend.figure_formats = ["jpeg"]
# %config InlineBackend.print_figure_kwargs = {"pil_kwargs": {"quality": 60}}


# %%
def photographs(side=96):
    """Returns square crops of the two photographs that come with scikit-learn, [4, side, side, 3] in [0, 1]."""
    china, flower = (load_sample_image(name) / np.float32(255) for name in ("china.jpg", "flower.jpg"))
    boxes = ((china, 25, 75, 230), (china, 175, 390, 250), (flower, 60, 150, 300), (flower, 275, 250, 150))
    squares = [photo[top : top + length, left : left + length] for photo, top, left, length in boxes]
    return jnp.stack([jax.image.resize(square, (side, side, 3), "linear") for square in squares])


def show(axes, image, title="", **options):
    axes.imshow(image, **options)
    axes.set_title(title)
    axes.axis("off")


def name_row(axes, name):
    axes.text(-0.12, 0.5, name, transform=axes.transAxes, rotation=90, va="center", ha="center")


NAMES = ("temple", "trees", "dahlia", "bud")
images, labels = photographs(), jnp.eye(4)  # each has its own class

# %% [markdown]
# ## The plan: a boundary, four partners, four offsets
#
# A boundary point $(w, h)$ divides the area $I_x \times I_y$ of the output into four parts. With $w = \mathrm{round}(w'
# I_x)$, $h = \mathrm{round}(h' I_y)$ and $w', h' \sim \mathrm{Beta}(\beta, \beta)$ it is drawn independently for each
# output. Part $k$ is filled with a crop of its size, at a random position $(x_k, y_k)$ of image $\sigma_k$, where the
# $\sigma_k$ are four independent permutations of the batch, so that an image can appear twice. `ricap_plan` makes these
# draws without reading a pixel, and `apply_ricap` applies them. Frames show where each part is from. Here $\beta = 1$,
# with a draw in which all parts are visible.

# %%
COLORS = ("tab:red", "tab:blue", "tab:green", "tab:orange")


def parts(boundary, side):
    """Returns (row, column, height, width) of the four parts of an output, in reading order."""
    h, w = map(int, boundary)
    return [(0, 0, h, w), (0, w, h, side - w), (h, 0, side - h, w), (h, w, side - h, side - w)]


def frame(axes, row, column, height, width, color):
    axes.add_patch(Rectangle((column, row), width - 1, height - 1, fill=False, edgecolor=color, linewidth=3))


plan = ricap_plan(jax.random.key(172), images.shape, beta=1.0)
patched = apply_ricap(plan, images)
figure, axes = plt.subplots(2, 5, figsize=(8.5, 3.8))
for i, row in enumerate(axes):
    show(row[4], patched[i], "the output")
    for k, (top, left, height, width) in enumerate(parts(plan.boundary[i], images.shape[1])):
        show(row[k], images[plan.source[i, k]], f"part {k + 1}: {NAMES[plan.source[i, k]]}")
        frame(row[k], *map(int, plan.offset[i, k]), height, width, COLORS[k])
        frame(row[4], top, left, height, width, COLORS[k])

# %% [markdown]
# ## The label: shares of the area
#
# $W_k = w_k h_k / (I_x I_y)$ from the rounded sizes, and $\tilde c = \sum_k W_k c_k$. Since sizes are whole pixels, a
# weight is exactly the share of pasted pixels, as counted below. The paper's loss $\sum_k W_k\, \mathrm{CE}(f(x), c_k)$
# is the cross-entropy against $\tilde c$, so the loss of a training loop does not change.


# %%
def in_words(label, separator="\n"):
    return separator.join(f"{share:.2f} {name}" for share, name in zip(label, NAMES, strict=True) if share > 0)


mixed = mix_labels(plan.source, plan.weight, labels)
figure, axes = plt.subplots(1, 4, figsize=(8, 2.5))
for each, image, label in zip(axes, patched, mixed, strict=True):
    show(each, image, in_words(label))

# An image whose pixels are the number of the image tells which pixels come from where.
number = jnp.broadcast_to(jnp.arange(4.0)[:, None, None, None], images.shape)
pasted = jnp.stack([(apply_ricap(plan, number) == k).mean(axis=(1, 2, 3)) for k in range(4)], axis=1)
log_probs = jax.nn.log_softmax(jax.random.normal(jax.random.key(0), (4, 4)))
of_mixed = -(mixed * log_probs).sum(axis=1)
of_parts = -(plan.weight[..., None] * labels[plan.source] * log_probs[:, None]).sum(axis=(1, 2))
print(f"largest difference of the label and the pixels pasted: {float(abs(pasted - mixed).max()):.0e}")
print(f"loss of the mixed label against the paper's sum: {float(abs(of_mixed - of_parts).max()):.0e}")

# %% [markdown]
# ## The Beta distribution: how much of the area one image gets
#
# $\beta$ is the main parameter. Below 1 the boundary is near the sides, and usually one image has almost all of the
# area; $\beta \to 0$ leaves a random image of the batch unchanged. At 1 the boundary is anywhere, above 1 it
# concentrates in the center, where all four images have a quarter. The paper uses 0.3. $\beta$ may be traced: the four
# columns are one `jax.vmap`.

# %%
BETAS = (0.1, 0.3, 1.0, 3.0)
drawn = jax.vmap(lambda beta: ricap_plan(jax.random.key(0), (20_000, 224, 224), beta=beta))(jnp.array(BETAS))
figure, axes = plt.subplots(2, 4, figsize=(10, 4.2), sharex="row", sharey="row")
for column, beta in enumerate(BETAS):
    largest = drawn.weight[column].max(axis=1)
    axes[0, column].hist(drawn.boundary[column, :, 1] / 224, bins=32, color="tab:blue", density=True)
    axes[0, column].set(title=f"β = {beta}", xlabel="boundary w, share of the width")
    axes[1, column].hist(largest, bins=np.linspace(0.25, 1, 31), color="tab:orange", density=True)
    axes[1, column].axvline(largest.mean(), color="black", linestyle="--", label=f"mean {largest.mean():.2f}")
    axes[1, column].set(xlabel="area of the largest part")
    axes[1, column].legend(loc="upper left", fontsize=8)
for row in axes:
    row[0].set_ylabel("density")

# %% [markdown]
# ## Other boundary distributions
#
# The first version of the paper had uniform distributions: "anywhere", only around the "center", or only near a
# "corner". The exact ranges were not available; here `reach` is the share of each side that "center" or "corner" leaves
# to the boundary, as the docstring of `ricap_plan` says. Each dot is the boundary of one output.

# %%
LAWS = {
    "beta, β = 0.3": {"beta": 0.3},
    "anywhere": {"boundary": "anywhere"},
    "center, reach 0.5": {"boundary": "center"},
    "corner, reach 0.5": {"boundary": "corner"},
}
figure, axes = plt.subplots(1, 4, figsize=(10, 2.9), sharey=True)
axes[0].set_ylabel("h, pixels")
for each, (title, options) in zip(axes, LAWS.items(), strict=True):
    law = ricap_plan(jax.random.key(1), (400, 224, 224), **options)
    each.plot(law.boundary[:, 1], law.boundary[:, 0], ".", markersize=3)
    each.set_title(f"{title}\nmean of the largest area {law.weight.max(axis=1).mean():.2f}")
    each.set(xlabel="w, pixels", aspect="equal", xticks=(0, 112, 224), yticks=(0, 112, 224))
    each.set(xlim=(-8, 232), ylim=(232, -8))

# %% [markdown]
# ## One boundary per example, or per batch
#
# The paper and its authors' code draw boundary and offsets once for the whole batch; the four permutations still give
# each output its own images. jaxaug draws for every example, unless `per_example=False`, so a step averages over many
# boundaries instead of one.

# %%
figure, axes = plt.subplots(1, 8, figsize=(10, 1.6))
for four, per_example in ((axes[:4], True), (axes[4:], False)):
    outputs, _ = ricap(jax.random.key(21), images, labels, beta=1.0, per_example=per_example)
    for each, image in zip(four, outputs, strict=True):
        show(each, image)
    four[0].set_title(f"per_example={per_example}", loc="left")

# %% [markdown]
# ## Two switches: the images alone, the labels alone
#
# Which half does the work? `label_mixing=False` patches the images and gives each the hard label of its largest part;
# `image_mixing=False` leaves the images unchanged and gives them the soft label. The paper does not define its second
# ablation; this is the literal reading.

# %%
halves = plt.figure(figsize=(10, 2.1)).subfigures(1, 2)
for half, option in zip(halves, ("label_mixing", "image_mixing"), strict=True):
    outputs, targets = ricap(jax.random.key(172), images, labels, beta=1.0, **{option: False})
    for each, image, label in zip(half.subplots(1, 4), outputs, targets, strict=True):
        show(each, image, in_words(label))
    half.supxlabel(f"{option}=False", fontsize=10)

# %% [markdown]
# ## Comparison with mixup, CutMix and cutout
#
# Cutout hides a square and keeps the label. mixup blends two whole images, $\lambda x_i + (1-\lambda) x_j$. CutMix
# pastes a box of one image into another. RICAP shows parts of up to four, and each of its pixels is a pixel of some
# image, unchanged. All have the same form, `f(key, images, labels)`, or `f(key, images)` where labels do not change.

# %%
key = jax.random.key(8)
mixtures = {
    "the image": (images, labels),
    "cutout": (cutout(key, images, size=40, fill=0.5), labels),
    "mixup": mixup(key, images, labels),
    "CutMix": cutmix(key, images, labels),
    "RICAP, β = 1": ricap(key, images, labels, beta=1.0),
}
figure, axes = plt.subplots(3, 5, figsize=(8, 5.9))
for column, (name, (outputs, targets)) in zip(axes.T, mixtures.items(), strict=True):
    for each, image, label in zip(column, outputs, targets, strict=False):
        show(each, image, in_words(label))
    column[-1].text(0.5, -0.06, name, transform=column[-1].transAxes, ha="center", va="top", fontsize=11)

# %% [markdown]
# ## Other targets: one plan for an image and its mask
#
# A plan knows nothing of labels. Per-pixel targets, such as segmentation masks, are patched with the same plan and stay
# aligned; `apply_ricap` takes any dtype. Here the mask marks the pixels that are redder than green.


# %%
def redder(images):
    return (images[..., :1] > images[..., 1:2] + 0.1).astype(jnp.int32)


patched_masks = apply_ricap(plan, redder(images))
figure, axes = plt.subplots(2, 8, figsize=(10, 2.6))
for i in range(4):
    for column, picture, mask in ((i, images, redder(images)), (i + 4, patched, patched_masks)):
        show(axes[0, column], picture[i])
        show(axes[1, column], mask[i], cmap="gray", vmin=0, vmax=1)
axes[0, 0].set_title("images and masks", loc="left")
axes[0, 4].set_title("the same plan applied to both", loc="left")
print("the mask of the patched image is the patched mask:", bool((redder(patched) == patched_masks).all()))

# %% [markdown]
# ## Does it help here?
#
# Crop and RICAP, each off and on: four arms with a few seeds each. Since the `prob` of `sometimes` is a number in the
# state, one compiled program trains all of them, and networks of one seed start with the same weights and see the
# images in the same order. With RICAP the training loss cannot reach 0: labels are soft, and their entropy is the lower
# bound.
#
# The images here are few and small, and so is the network. `results/ricap_cifar/page.md` asks the same on CIFAR-10,
# where RICAP increased the error of a network that underfits; the card has the paper's figures for large networks.
# Learning rate and epochs were chosen in a few trials on these test images, and in some of them RICAP was no better
# than no augmentation: the table is a demonstration, not a result.

# %%
ARMS = {"none": (0.0, 0.0), "crop": (1.0, 0.0), "RICAP": (0.0, 1.0), "crop, RICAP": (1.0, 1.0)}


def policy(crop_prob, ricap_prob):
    cropped = sometimes(on_images(crop, padding=padding), prob=crop_prob)
    return chain(cropped, sometimes(on_pairs(ricap, beta=0.3), prob=ricap_prob))


strategy, examples = always(policy(0.0, 0.0), in_state=True), len(data.train.labels)
schedule = make_schedule(learning_rate=0.15, epochs=epochs, steps_per_epoch=-(-examples // batch_size))
optimizer = make_optimizer(learning_rate=schedule, weight_decay=5e-4)
keys = list(jax.random.split(jax.random.key(0), seeds)) * len(ARMS)
states = init_population(keys, model, optimizer, strategy, shape=data.shape, num_examples=examples)
policies = [policy(*probs) for probs in ARMS.values() for _ in range(seeds)]
states = [dataclasses.replace(s, strategy_state=p) for s, p in zip(states, policies, strict=True)]
steps = make_train_step(model, optimizer, strategy), make_eval_step(model)
states, records = fit_population(states, *steps, data, epochs=epochs, batch_size=batch_size, eval_every=epochs)

# %%
error = np.array([100 - 100 * member[-1]["test_accuracy"] for member in records]).reshape(len(ARMS), seeds)
loss = np.array([[record["train_loss"] for record in member] for member in records]).reshape(len(ARMS), seeds, epochs)

figure, axes = plt.subplots(1, 2, figsize=(10, 3.6))
for a, name in enumerate(ARMS):
    axes[0].plot(error[a], [a] * seeds, "o", color=COLORS[a], alpha=0.6)
    axes[0].plot(error[a].mean(), a, "|", color="black", markersize=24)
    axes[1].plot(np.arange(1, epochs + 1), loss[a].mean(axis=0), color=COLORS[a], label=name)
axes[0].set(yticks=range(len(ARMS)), yticklabels=ARMS, xlabel="test error, %", title="one dot a seed, bar: mean")
axes[0].set_ylim(len(ARMS) - 0.5, -0.5)
axes[1].set(xlabel="epoch", ylabel="training loss", title="mean over seeds")
axes[1].legend()

print(f"{'':12} test error, %   difference to none, same seeds")
for name, row, difference in zip(ARMS, error, error - error[0], strict=True):
    spread = f"{difference.mean():+.2f} ± {difference.std(ddof=1) / seeds**0.5:.2f}" if name != "none" else "-"
    print(f"{name:12} {row.mean():5.2f} ± {row.std(ddof=1) / seeds**0.5:.2f}    {spread}")
print("± standard error over the seeds")

# %% [markdown]
# ## Where the evidence is
#
# The class activation map $M_c(x, y) = \sum_k w_k^c f_k(x, y)$ is the evidence for class $c$ at each position of the
# last features $f_k$; its mean, with the bias, is the logit. It is drawn over test images for two networks of one seed,
# trained without and with RICAP; yellow is the maximum of a map. The numbers are the entropy of the positive part of
# the map, 0 for a single position and 1 for uniform evidence: the mean over all test images and seeds.


# %%
@jax.jit
def label_maps(state, pictures, classes):
    features = model.apply(state.variables, pictures, method="features")
    return cam(features, state.params["classifier"]["kernel"], classes)


pictures, classes = jnp.asarray(data.test.images[:1000] / np.float32(255)), jnp.asarray(data.test.labels[:1000])
shown = np.array([np.argmax(data.test.labels == k) for k in range(8)])  # one image of each class
maps = np.stack([label_maps(state, pictures, classes) for state in states])

enlarged = jax.image.resize(pictures[shown], (len(shown), 96, 96, data.shape[-1]), "linear")
figure, axes = plt.subplots(3, len(shown), figsize=(9, 3.6))
for row, (name, which) in zip(axes, {"image": None, "none": 0, "RICAP": 2 * seeds}.items(), strict=True):
    seen = enlarged if which is None else overlay(enlarged, maps[which, shown], strength=0.6)
    for each, picture in zip(row, seen, strict=True):
        show(each, picture, cmap="gray")
    name_row(row[0], name)

entropy = np.array([map_entropy(each).mean() for each in maps]).reshape(len(ARMS), seeds)
for name, row in zip(ARMS, entropy, strict=True):
    print(f"{name:12} entropy {row.mean():.3f} ± {row.std(ddof=1) / seeds**0.5:.3f}")

# %% [markdown]
# ## What to try next
#
# - `beta=0.1` in `policy`: a boundary closer to the sides, with less mixing.
# - More or fewer images: change the 300 in `subset`, and see whether the order of the arms changes.
# - `on_pairs(cutmix)` or `on_pairs(mixup)` instead of `on_pairs(ricap, ...)`, and the maps of those networks.
# - `00_tour` uses RICAP in your own training loop.
# - The card [docs/methods/ricap.md](https://github.com/jaxaug/jaxaug/blob/main/docs/methods/ricap.md): its cost,
#   results, and differences between paper and code.
