"""How the branches of a residual block become one residual, regularized or mixed."""

from typing import Literal, NamedTuple

import flax.linen as nn
from jaxtyping import Array, Float

from jaxaug.layers import ShakeShake
from jaxaug.layers.levels import Level
from jaxaug.layers.shake_shake import Backward, Forward
from jaxaug.models.parts import Parts


class Shake(NamedTuple):
    """Two branches under the random weights of Shake-Shake."""

    forward: Forward = "shake"
    backward: Backward = "shake"
    level: Level = "example"


Joining = Literal["A", "B"]
"""A sum that is regularized: as a whole ("A"), or in each of its branches ("B")."""


class Joined(nn.Module):
    """Residual of one or two branches: r(F(x)), r(F1(x) + F2(x)) ("A"), r1(F1(x)) + r2(F2(x)) ("B"), or a `Shake`.

    r is the regularizer, with draws of its own wherever it stands; a `Shake` has none.

    References:
      Yamada et al., "ShakeDrop regularization for deep residual learning", IEEE Access 7, 2019 (types A and B).
      Gastaldi, "Shake-shake regularization", arXiv 1705.07485, 2017, equation 2.
    """

    parts: Parts
    keep_prob: float | int
    joining: Joining | Shake = "A"

    def setup(self) -> None:
        """Names the layers."""
        if isinstance(self.joining, Shake):
            self.shake = ShakeShake(*self.joining)
        else:
            self.regularizer1 = self.parts.branch_regularizer(self.keep_prob)
            self.regularizer2 = self.parts.branch_regularizer(self.keep_prob) if self.joining == "B" else None

    def __call__(self, *branches: Float[Array, "b h w c"], train: bool) -> Float[Array, "b h w c"]:
        """Returns the residual, of the shape of each branch."""
        if isinstance(self.joining, Shake):
            first, second = branches
            return self.shake(first, second, deterministic=not train)

        def regularized(regularizer: nn.Module | None, branch: Array) -> Array:
            return branch if regularizer is None else regularizer(branch, deterministic=not train)

        first, *rest = branches
        if self.joining == "B" and rest:
            return regularized(self.regularizer1, first) + regularized(self.regularizer2, rest[0])
        return regularized(self.regularizer1, sum(rest, first))
