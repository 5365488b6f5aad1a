"""Networks of the papers, with the layers of `jaxaug.layers` handed in where they belong."""

from jaxaug.models.registry import create_model

__all__ = ["create_model"]
