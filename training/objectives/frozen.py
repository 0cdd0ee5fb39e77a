"""Models that an objective only compares with: frozen, named by the hash of their weights, and held to it."""

from __future__ import annotations

from torch import nn

from training.loop.fingerprint import weights_sha256


class ReferenceChanged(ValueError):
    """A model that should have stayed as it was has other weights now; nothing measured against it counts."""


class FrozenWeights:
    """Freezes ``module`` and remembers the sha256 of its weights.

    ``glance`` looks at every ``check_every``-th call only, since hashing reads every weight.
    """

    def __init__(self, module: nn.Module, *, name: str, check_every: int = 10) -> None:
        module.eval().requires_grad_(False)
        self.module, self.name, self.check_every = module, name, check_every
        self.sha256 = weights_sha256(module)
        self._glances = 0

    def glance(self) -> None:
        """Check now and then. Raises ReferenceChanged."""
        self._glances += 1
        if self._glances % self.check_every == 0:
            self.check()

    def check(self) -> None:
        """Raises ReferenceChanged unless every weight is what it was."""
        found = weights_sha256(self.module)
        if found != self.sha256:
            raise ReferenceChanged(
                f"{self.name} was {self.sha256} when the run began and is {found} now: something trained it"
            )
