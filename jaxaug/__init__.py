"""jaxaug decides what to augment, whom, where and how much, as pure JAX functions that compile into the training step.

Every public name is here as well as in its package. `jaxaug.training` alone loads more than jax, flax and numpy
(optax), so its names are loaded when first used.
"""

from typing import TYPE_CHECKING, Any

from jaxaug import augment, compose, data, explain, layers, mix, models, sampling, search
from jaxaug.augment import *
from jaxaug.compose import *
from jaxaug.data import *
from jaxaug.explain import *
from jaxaug.layers import *
from jaxaug.mix import *
from jaxaug.models import *
from jaxaug.sampling import *
from jaxaug.search import *
from jaxaug.version import __version__

if TYPE_CHECKING:
    from jaxaug.training import TrainState, fit, make_eval_step, make_train_step

_TRAINING = ("TrainState", "fit", "make_eval_step", "make_train_step")

__all__ = ["TrainState", "__version__", "fit", "make_eval_step", "make_train_step"]
__all__ += augment.__all__
__all__ += compose.__all__
__all__ += data.__all__
__all__ += explain.__all__
__all__ += layers.__all__
__all__ += mix.__all__
__all__ += models.__all__
__all__ += sampling.__all__
__all__ += search.__all__


def __getattr__(name: str) -> Any:
    if name in _TRAINING:
        from jaxaug import training

        return getattr(training, name)
    raise AttributeError(f"module 'jaxaug' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
