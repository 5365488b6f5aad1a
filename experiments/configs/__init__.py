"""The named configs: each module here is one, its name with dashes; CONFIG is the config, the docstring says why."""

import importlib
import pkgutil

from experiments.run.config import Config
from jaxaug.checks import nearest

DEFAULT = "digits"


def config_names() -> list[str]:
    """Returns the names of all configs."""
    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__))


def named_config(name: str) -> Config:
    """Returns the config of a name; an unknown one raises `ValueError` with the nearest known."""
    if name not in config_names():
        raise ValueError(nearest(name, config_names(), "config"))
    return importlib.import_module(f"{__name__}.{name.replace('-', '_')}").CONFIG


def config_summary(name: str) -> str:
    """Returns the first line of the config's docstring."""
    module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    return (module.__doc__ or "").strip().splitlines()[0]
