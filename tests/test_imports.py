"""Imports point one way, and `import jaxaug` loads no more than it must."""

import ast
import importlib
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent / "jaxaug"

# Each part, and the parts it may import beside itself and the array helpers.
BASE = {"augment", "mix", "compose", "layers"}
ALLOWED = {
    "augment": {"compose"},
    "mix": {"augment", "compose"},
    "layers": set(),
    "compose": set(),
    "sampling": BASE,
    "models": BASE,
    "data": BASE,
    "training": BASE | {"sampling", "models", "data"},
    "search": BASE | {"sampling", "models", "data", "training"},
    "explain": BASE,
}
# The package itself gathers all parts; helpers import no part at all.
GATHERS = "__init__"

HEAVY = ["optax", "orbax", "tensorflow", "tensorflow_datasets", "grain", "matplotlib", "sklearn", "tyro", "PIL", "tqdm"]

CONTRACT = {
    "augment": """flip_left_right flip_up_down crop resized_crop translate rotate shear zoom brightness contrast
        saturation hue color_jitter grayscale invert solarize posterize autocontrast equalize sharpness gaussian_blur
        cutout random_erasing gaussian_noise rand_augment trivial_augment""",
    "mix": "mixup cutmix ricap ricap_plan apply_ricap mix_labels RicapPlan",
    "compose": "chain sometimes one_of on_images on_pairs",
    "sampling": """Strategy always never self_paced importance_sampled max_loss batch_augmented importance_weights""",
    "layers": """shake_drop shake_drop_expected shake_shake stochastic_depth linear_decay local_statistics gaussian_pool
        max_entropy_pool gaussian_kernel gaussian_filter rotated_logits ShakeDrop ShakeShake StochasticDepth
        GaussianPool MaxEntropyPool DisentangledConv RotatedDense""",
    "models": "create_model",
    "search": "affinity diversity",
    "explain": "cam grad_cam",
    "data": "load",
    "training": "TrainState make_train_step make_eval_step fit",
}


def part_of(path: pathlib.Path) -> str:
    """Returns the part of the package a file belongs to: its first folder, or its own name beside them."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported_parts(path: pathlib.Path) -> set[str]:
    """Returns the parts of jaxaug that a file imports anywhere in it, inside functions too."""
    package = ["jaxaug", *path.relative_to(ROOT).parts[:-1]]
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*base, *([node.module] if node.module else [])])
            # `from jaxaug import mix` imports a part as `from jaxaug.mix import ricap` does.
            names |= {f"{base}.{alias.name}" if base == "jaxaug" else base for alias in node.names}
    inside = [name.split(".") for name in names if name.split(".")[0] == "jaxaug"]
    return {name[1] if len(name) > 1 else "jaxaug" for name in inside}


FILES = sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path: pathlib.Path) -> None:
    part = part_of(path)
    if part == GATHERS:
        return
    # What is no part is a helper, which all may import and which imports helpers only.
    parts_imported = imported_parts(path) & {*ALLOWED, "jaxaug"}
    assert parts_imported <= ALLOWED.get(part, set()) | ({part} if part in ALLOWED else set())


def test_every_part_has_its_place_in_the_order() -> None:
    assert {path.parent.name for path in ROOT.glob("*/__init__.py")} <= set(ALLOWED)


def test_order_has_no_circle() -> None:
    placed: set[str] = set()
    while len(placed) < len(ALLOWED):
        ready = {part for part, needs in ALLOWED.items() if needs <= placed} - placed
        assert ready, f"a circle among {set(ALLOWED) - placed}"
        placed |= ready


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import jaxaug.training.fit", {"training"}),
        ("from jaxaug.models import create_model", {"models"}),
        ("from jaxaug import data, mix", {"data", "mix"}),
        ("def f():\n    from ..search import affinity", {"search"}),
        ("from .. import explain", {"explain"}),
        ("from . import crop", {"augment"}),
        ("import jax, jaxaugment, numpy", set()),
        ("import jaxaug", {"jaxaug"}),
    ],
)
def test_imports_of_every_form_are_seen(source: str, found: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pathlib.Path, "read_text", lambda self: source)
    assert imported_parts(ROOT / "augment" / "new.py") == found


def test_import_loads_no_heavy_library() -> None:
    program = f"import sys, jaxaug; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("part", CONTRACT)
def test_names_of_a_part_are_names_of_the_package(part: str) -> None:
    package, module = importlib.import_module("jaxaug"), importlib.import_module(f"jaxaug.{part}")
    for name in CONTRACT[part].split():
        if hasattr(module, name):
            assert getattr(package, name) is getattr(module, name)
            assert name in package.__all__
            assert name in dir(package)
            assert name in module.__all__


def test_all_lists_what_is_there_once() -> None:
    package = importlib.import_module("jaxaug")
    assert len(package.__all__) == len(set(package.__all__))
    for name in package.__all__:
        assert getattr(package, name) is not None
