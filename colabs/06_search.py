# %% [markdown]
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/jaxaug/jaxaug/blob/main/colabs/06_search.ipynb)
#
# # Which augmentation: affinity, diversity and a search
#
# Which augmentation suits a dataset, and how much of it? Training a network to the end with every candidate answers
# that, but is expensive. Affinity and diversity (Gontijo-Lopes, Smullin, Cubuk and Dyer, ICLR 2021) need one clean
# network and a few epochs of each candidate; `search` ranks the candidates by them, and this notebook checks the
# ranking against full trainings. It takes one to three minutes on two CPU cores, mostly for compilation.

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

from jaxaug import (
    affinity,
    always,
    chain,
    create_model,
    diversity,
    gaussian_noise,
    load,
    make_eval_step,
    make_train_step,
    on_images,
    on_pairs,
    rank_correlation,
    regret,
    ricap,
    rotate,
    sometimes,
    translate,
)
from jaxaug.data import with_validation
from jaxaug.search import search
from jaxaug.search.indicators import constrained, log_sum, product, rank_sum, z_score_sum
from jaxaug.training import fit, fit_population, init_population, init_state, make_optimizer, make_schedule

plt.rcParams.update({"figure.dpi": 100, "figure.constrained_layout.use": True})

FULL = False  # True on a GPU or TPU: CIFAR-10 and a larger network

# %%
# The validation split has the size at which batches divide the rest: a smaller last batch is one more compilation.
if FULL:
    # Prepared once by tensorflow-datasets:
    # tfds.builder("cifar10", file_format="array_record").download_and_prepare()
    dataset, network, beta = with_validation(load("cifar10"), 5072), "wrn_16_2", 0.3
    epochs, early_epochs, batch_size = 30, 3, 128
    full_seeds, search_seeds = (0, 1, 2), (3, 4)
else:
    dataset, network, beta = with_validation(load("digits"), 286), "mlp", 0.1
    epochs, early_epochs, batch_size = 15, 3, 64
    full_seeds, search_seeds = (0, 1, 2, 3, 4), (5, 6, 7)

model = create_model(network, dataset.num_classes)
steps_per_epoch = len(dataset.train.labels) // batch_size
schedule = make_schedule(learning_rate=0.05, epochs=epochs, steps_per_epoch=steps_per_epoch)
optimizer = make_optimizer(learning_rate=schedule, weight_decay=5e-4)


def normalize(images):
    return (images - dataset.mean) / dataset.std


print(dataset)

# %% [markdown]
# ## Candidates
#
# A candidate is an augmentation `(key, batch) -> batch`. All twelve are the same composition with different parameters:
# how far images move, how far they turn, how much noise is added, and how many of them RICAP mixes. A parameter of 0
# disables that part. The picture shows three draws of each candidate for the same image.


# %%
def policy(*, fraction=0.0, degrees=0.0, stddev=0.0, mixed=0.0):
    moved = chain(on_images(translate, fraction=fraction), on_images(rotate, degrees=degrees))
    return chain(moved, on_images(gaussian_noise, stddev=stddev), sometimes(on_pairs(ricap, beta=beta), prob=mixed))


candidates = {
    "nothing": policy(),
    "translate 0.05": policy(fraction=0.05),
    "translate 0.1": policy(fraction=0.1),
    "translate 0.2": policy(fraction=0.2),
    "rotate 10": policy(degrees=10.0),
    "rotate 40": policy(degrees=40.0),
    "noise 0.1": policy(stddev=0.1),
    "noise 0.2": policy(stddev=0.2),
    "noise 0.4": policy(stddev=0.4),
    "ricap": policy(mixed=1.0),
    "translate 0.05 + ricap": policy(fraction=0.05, mixed=1.0),
    "rotate 10 + noise 0.1": policy(degrees=10.0, stddev=0.1),
}
names = list(candidates)

# %%
images = jnp.asarray(dataset.validation.images, jnp.float32) / 255
classes = jax.nn.one_hot(dataset.validation.labels, dataset.num_classes)
one_each = np.array([np.flatnonzero(dataset.validation.labels == k)[0] for k in range(dataset.num_classes)])
batch = {"image": images[one_each], "label": classes[one_each]}


@jax.jit  # the numbers of a candidate are arguments of the program, so it is compiled once for all of them
def augmented(augment, key):
    return augment(key, batch)


figure, axes = plt.subplots(3, len(names), figsize=(10, 3.2))
for column, name in zip(axes.T, names, strict=True):
    column[0].set_title(name.replace(" + ", "\n+ "), fontsize=8)
    for row, axis in enumerate(column):
        image = augmented(candidates[name], jax.random.key(row))["image"][2]
        axis.imshow(image.clip(0, 1), cmap="gray", vmin=0, vmax=1)
        axis.axis("off")
plt.show()

# %% [markdown]
# ## A population
#
# To evaluate a search, we need the full trainings that a search avoids. Here they are cheap enough: every candidate
# with every seed, all at once. `always(..., in_state=True)` keeps the parameters of an augmentation in the training
# state, so the members of a population differ only in their states, and `fit_population` compiles one program for all
# of them.

# %%
strategy = always(policy(), in_state=True)
sizes = {"shape": dataset.shape, "num_examples": len(dataset.train.labels)}
train_step = make_train_step(model, optimizer, strategy, normalize=normalize)
eval_step = make_eval_step(model, normalize=normalize)

runs = [(name, seed) for name in names for seed in full_seeds]
states = init_population([jax.random.key(seed) for _, seed in runs], model, optimizer, strategy, **sizes)
# As arrays, and each member has its own: fit_population gives the buffers of its states away.
numbers = [jax.tree.map(jnp.float32, candidates[name]) for name, _ in runs]
states = [dataclasses.replace(state, strategy_state=own) for state, own in zip(states, numbers, strict=True)]
trained, records = fit_population(states, train_step, eval_step, dataset, epochs=epochs, batch_size=batch_size)


# %%
def measured(metric):
    """A metric of every epoch, `[candidate, seed, epoch]`."""
    return np.array([[record[metric] for record in run] for run in records]).reshape(len(names), -1, epochs)


final = 100 * measured("test_accuracy")[:, :, -1]
figure, axis = plt.subplots(figsize=(8, 4))
for seed, accuracies in zip(full_seeds, final.T, strict=True):
    axis.plot(accuracies, names, "o", color="0.7", label="one seed" if seed == full_seeds[0] else None)
axis.plot(final.mean(axis=1), names, "d", color="tab:red", label="mean")
axis.invert_yaxis()
axis.set(xlabel="test accuracy, %", title=f"{len(runs)} networks after {epochs} epochs, trained by one program")
axis.legend()
plt.show()

# %% [markdown]
# ## Members equal single runs
#
# A member has its own weights, order of examples and noise, all from its key. So it equals a run of `fit` with the same
# key and augmentation, up to float rounding. Here one member is trained again on its own.

# %%
member = runs.index(("rotate 10 + noise 0.1", full_seeds[1]))
name, seed = runs[member]
alone_strategy = always(candidates[name])  # the numbers are constants of the program here
alone_step = make_train_step(model, optimizer, alone_strategy, normalize=normalize)
alone = init_state(jax.random.key(seed), model, optimizer, alone_strategy, **sizes)
alone, alone_records = fit(alone, alone_step, eval_step, dataset, epochs=epochs, batch_size=batch_size)

gaps = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), alone.params, trained[member].params)
print(f"{name}, seed {seed}: largest difference of a weight {max(jax.tree.leaves(gaps)):.0e}")
print("epoch  training loss alone  in the population  test accuracy alone  in the population")
for epoch in (0, epochs // 2, epochs - 1):
    pair = alone_records[epoch], records[member][epoch]
    losses, accuracies = ([record[metric] for record in pair] for metric in ("train_loss", "test_accuracy"))
    print(f"{epoch + 1:5}  {losses[0]:19.5f}  {losses[1]:17.5f}  {accuracies[0]:19.4f}  {accuracies[1]:17.4f}")

# %% [markdown]
# ## Affinity
#
# How similar are augmented data to clean data? Affinity is the accuracy of a network trained on clean images, on
# augmented validation images relative to clean ones,
#
# $$T = \frac{A(m, D'_\mathrm{val})}{A(m, D_\mathrm{val})}.$$
#
# RICAP patches four images of the batch together and mixes their labels. For a mixed label, accuracy is the weight of
# the predicted class, so even a perfect network stays below 1. Below each image is the prediction of one clean network
# and the weight of that class in the label, in red if below one half. T is the mean over the whole validation split and
# all clean networks.

# %%
clean = [trained[runs.index(("nothing", seed))].inference_variables for seed in full_seeds]
clean = jax.tree.map(lambda *leaves: jnp.stack(leaves), *clean)


@jax.jit
def predict(variables, images):
    return model.apply(variables, normalize(images), train=False)


def affinity_of(augment, variables, images, classes):
    answers = functools.partial(predict, variables)
    return affinity(answers, augment, jax.random.key(0), images, classes, batch_size=500)


of_networks = jax.jit(jax.vmap(affinity_of, in_axes=(None, 0, None, None)))
each = [of_networks(augment, clean, images, classes) for augment in candidates.values()]
affinities = np.stack(each)  # [candidate, network]

# %%
shown = ["nothing", "translate 0.1", "rotate 40", "noise 0.4", "ricap"]
first_network = jax.tree.map(lambda leaf: leaf[0], clean)
figure, axes = plt.subplots(len(shown), len(one_each), figsize=(10, 6.2))
for row, name in zip(axes, shown, strict=True):
    drawn = augmented(candidates[name], jax.random.key(3))
    says = predict(first_network, drawn["image"]).argmax(axis=1)
    weights = jnp.take_along_axis(drawn["label"], says[:, None], axis=1)[:, 0]
    title = f"{name}\nT = {affinities[names.index(name)].mean():.2f}"
    row[0].text(-0.25, 0.5, title, ha="right", va="center", transform=row[0].transAxes)
    for axis, image, said, weight in zip(row, drawn["image"], says, weights, strict=True):
        axis.imshow(image.clip(0, 1), cmap="gray", vmin=0, vmax=1)
        color = "tab:red" if weight < 0.5 else "black"
        axis.set_title(f"{dataset.class_names[said]} ({weight:.2f})", y=-0.25, fontsize=7, color=color)
        axis.axis("off")
plt.show()

# %% [markdown]
# ## Diversity
#
# How much harder does an augmentation make the training data? Diversity is the training loss with the augmentation
# relative to the training loss without it, each for a network trained on those data,
#
# $$D = \frac{E_{D'_\mathrm{train}}[L]}{E_{D_\mathrm{train}}[L]}.$$
#
# The clean loss approaches 0, so the ratio grows during training; a search uses the ratio at an early epoch, the dashed
# line. Both curves are means over the seeds.

# %%
losses = measured("train_loss").mean(axis=1)  # [candidate, epoch]
diversities = diversity(losses, losses[names.index("nothing")])
figure, axes = plt.subplots(1, 2, figsize=(10, 4))
for axis, values, what in zip(axes, (losses, diversities), ("training loss, nats", "diversity"), strict=True):
    for name in shown:
        axis.plot(range(1, epochs + 1), values[names.index(name)], label=name)
    axis.axvline(early_epochs, color="0.5", linestyle="--", linewidth=1)
    axis.set(xlabel="epoch", ylabel=what, yscale="log")
    axis.xaxis.get_major_locator().set_params(integer=True)
figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center")
plt.show()

# %% [markdown]
# ## The search
#
# `search` does all of this with other seeds: for each of S seeds it trains one clean network for all E epochs, and each
# of P candidates for k epochs only. That takes $S (E + P k)$ epochs instead of $S P E$. An indicator combines T and D
# into one score; here it is $\log T + 0.5 \log D$. Stars mark the Pareto front.

# %%
found = search(
    candidates,
    dataset,
    model,
    optimizer,
    epochs=epochs,
    early_epochs=early_epochs,
    batch_size=batch_size,
    seeds=search_seeds,
    indicator="log_sum",
    normalize=normalize,
)
print(f"{'candidate':24} affinity  diversity  score  validation accuracy, early, %")
for name in found.ranking:
    i = names.index(name)
    numbers = f"{found.affinity[i]:8.3f}  {found.diversity[i]:9.2f}  {found.scores[i]:5.2f}"
    print(f"{name:24} {numbers}  {100 * found.validation_accuracy[i]:6.2f} {'*' if found.front[i] else ''}")
to_the_end = len(search_seeds) * len(names) * epochs * steps_per_epoch
print(f"\n{found.clean_steps + found.early_steps:,} steps; every candidate to the end: {to_the_end:,}")

# %% [markdown]
# ## Affinity and diversity
#
# Each candidate is a point, colored by the accuracy of the full trainings above, which the search does not see. At
# equal diversity, more affinity should be better, and vice versa, so good candidates are expected at the top right, on
# the front. Along the front, T decreases as D increases; an indicator chooses between its candidates.

# %%
figure, axis = plt.subplots(figsize=(9, 5.5))
front = np.flatnonzero(found.front)
front = front[np.argsort(found.diversity[front])]
axis.plot(found.diversity[front], found.affinity[front], color="0.7", zorder=1, label="Pareto front")
points = axis.scatter(found.diversity, found.affinity, c=final.mean(axis=1), cmap="viridis", s=50, zorder=2)
chosen = names.index(found.ranking[0])
ring = {"s": 200, "facecolors": "none", "edgecolors": "tab:red", "label": "chosen by the sum of ranks"}
axis.scatter(found.diversity[chosen], found.affinity[chosen], **ring)
for name, d, t in zip(names, found.diversity, found.affinity, strict=True):
    # Of two neighbors the lower one has its name below, so that names do not cover each other.
    below = ((np.abs(np.log(found.diversity / d)) < 0.05) & (found.affinity > t)).any()
    where = {"xytext": (-7, -12), "ha": "right"} if below else {"xytext": (7, 5)}
    axis.annotate(name, (d, t), textcoords="offset points", fontsize=8, **where)
axis.set(xscale="log", xlabel="diversity D, early", ylabel="affinity T", xlim=(None, 2 * found.diversity.max()))
axis.legend(loc="lower left")
figure.colorbar(points, label="test accuracy after full training, %")
plt.show()

# %% [markdown]
# ## How good are the indicators?
#
# The runs above include their early epochs, so they contain what a search with each of their seeds would see. Its
# choice is evaluated by the mean test accuracy of the other seeds: the regret is the distance to the best candidate,
# the rank correlation is Spearman's over all candidates. For comparison, there are the validation accuracy at the same
# early epoch, which needs no clean network, and a random choice. Gray is one seed, red the mean.

# %%
early_losses = measured("train_loss")[:, :, early_epochs - 1]  # [candidate, seed]
early_diversities = np.asarray(diversity(early_losses, early_losses[names.index("nothing")]))
indicators = {
    "product": product,
    "log sum, weight 0.5": functools.partial(log_sum, weight=0.5),
    "z-score sum": z_score_sum,
    "rank sum": rank_sum,
    "constrained": constrained,
}
scores = {way: jax.vmap(indicator)(affinities.T, early_diversities.T) for way, indicator in indicators.items()}
scores["early validation accuracy"] = measured("validation_accuracy")[:, :, early_epochs - 1].T
scores["drawn by lot"] = np.zeros_like(final).T  # equal scores: the mean over all candidates
truth = np.stack([np.delete(final, s, axis=1).mean(axis=1) for s in range(len(full_seeds))])  # [seed, candidate]

# %%
figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True)
for axis, judge in zip(axes, (regret, rank_correlation), strict=True):
    for way, of_seeds in scores.items():
        judged = np.asarray(jax.vmap(judge)(jnp.asarray(of_seeds), truth))
        axis.plot(judged, [way] * len(judged), "o", color="0.7")
        axis.plot(judged.mean(), way, "d", color="tab:red")
axes[0].set(xlabel="regret, percentage points", title="lower is better")
axes[1].set(xlabel="rank correlation", title="higher is better")
axes[0].invert_yaxis()
plt.show()

# %% [markdown]
# The order of the indicators in this picture is not conclusive: the candidates are few and were chosen by hand, knowing
# that RICAP works well here; a few test images are a percentage point; and the seeds share the data.
# `results/search/page.md` has about 50 candidates on all digits, on 300 of them, and on CIFAR-10. There the order of
# the indicators changed with the number of early epochs and with the dataset; $\log T + 0.5 \log D$ of the first epochs
# was the best of them on all digits and among the best on CIFAR-10, and on 300 digits early validation accuracy was as
# good as any.

# %% [markdown]
# ## The chosen policy compared with no augmentation
#
# In practice only the chosen candidate is trained to the end. The full trainings above use other seeds than the search,
# and the search sees no test image, so they are a fair test. Thin lines are seeds, thick ones their mean.

# %%
curves = 100 * measured("test_accuracy")
figure, axis = plt.subplots(figsize=(8, 4))
for name, color in ((found.ranking[0], "tab:red"), ("nothing", "0.4")):
    of_seeds = curves[names.index(name)]
    axis.plot(range(1, epochs + 1), of_seeds.T, color=color, alpha=0.25, linewidth=1)
    axis.plot(range(1, epochs + 1), of_seeds.mean(axis=0), color=color, label=name)
# The first epochs are steep and would flatten the rest.
lowest = curves[[chosen, names.index("nothing")], :, early_epochs - 1].min()
axis.set(xlabel="epoch", ylabel="test accuracy, %", ylim=(lowest - 1, curves.max() + 0.5))
axis.xaxis.get_major_locator().set_params(integer=True)
axis.legend(loc="lower right")
plt.show()

gain = final[chosen] - final[names.index("nothing")]  # of the same seed: the same first weights and order
error = gain.std(ddof=1) / len(gain) ** 0.5
place = int((final.mean(axis=1) > final[chosen].mean()).sum()) + 1
print(f"{names[chosen]}: {final[chosen].mean():.2f} %, nothing: {final[names.index('nothing')].mean():.2f} %")
print(f"gain {gain.mean():.2f} ± {error:.2f} (standard error of {len(gain)} seeds) percentage points")
print(f"by full training the chosen one is number {place} of {len(names)}")

# %% [markdown]
# ## The same from the command line
#
# In a clone of the repository, the search is a command. It evaluates a longer list of candidates, prints the table, and
# writes `search/search.json` and a picture of affinity and diversity:
#
# ```sh
# python -m experiments.search digits
# python -m experiments.train --augment search/search.json
# ```
#
# The second command trains with the policy in the file. `--early-epochs`, `--seeds` and `--indicator` are the arguments
# of `search`, and `--model` is the network; `--help` lists all options.

# %% [markdown]
# ## What to try next
#
# - Another `indicator=` of `search`: `"product"`, `"z_score_sum"`, `"rank_sum"`, `"constrained"`, or a function of
#   affinity and diversity.
# - `early_epochs` of 1 and of 10: how the ranking improves with more epochs, and what that costs.
# - Fewer training images, by `jaxaug.data.subset`; `results/search/page.md` has 300 digits.
# - Other candidates, `on_images(flip_left_right)` or a function of your own: any `(key, batch) -> batch` that keeps
#   shapes. Each new composition is compiled once.
# - The card
#   [docs/methods/affinity_and_diversity.md](https://github.com/jaxaug/jaxaug/blob/main/docs/methods/affinity_and_diversity.md)
#   and the page [results/search/page.md](https://github.com/jaxaug/jaxaug/blob/main/results/search/page.md).
