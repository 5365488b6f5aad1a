"""Networks of the papers, with slots for the layers of `jaxaug.layers`."""

from jaxaug.models.layer_factory import ModuleDef
from jaxaug.models.network import Network
from jaxaug.models.pooling import AveragePool, MaxPool
from jaxaug.models.registry import create_model

__all__ = ["AveragePool", "MaxPool", "ModuleDef", "Network", "create_model"]
