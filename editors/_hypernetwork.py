"""MEND's hypernetwork: from the rank-one pieces of a gradient to those of an edit.

The gradient of a projection y = W x is a sum over tokens of delta_t u_t^T, with u_t its input and
delta_t the loss's gradient at its output. Both are normalised coordinate by coordinate, joined,
mapped by g, and split again (Mitchell et al. 2022, "Fast model editing at scale", section 3):
g is two layers z -> z + max(0, s (U V z + b) + o). Matrices of equal shape share U, V and b; each
has its own scale s and shift o. As U starts at zero, an untrained g hands its input on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ._upper import LowRank, Pieces

NORMALISER_EPS = 1e-7
"""Added to standard deviations (released code)."""


@dataclass(frozen=True, slots=True)
class Matrix:
    """One edited projection."""

    name: str
    """Its module's name in the model."""
    d_in: int
    d_out: int

    @property
    def shape_key(self) -> str:
        """Name of the network that it shares with others of its shape."""
        return f"{self.d_in}x{self.d_out}"


class Normaliser(nn.Module):
    """Running mean and standard deviation of a vector's coordinates (Welford's recurrence)."""

    count: Tensor
    mean: Tensor
    squares: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("squares", torch.zeros(width))

    @torch.no_grad()
    def add(self, vectors: Tensor) -> None:
        """Take in more vectors, (n, width)."""
        many = len(vectors)
        if not many:
            return
        total = self.count + many
        mean = vectors.mean(0)
        apart = mean - self.mean
        between = apart.square() * self.count * many / total
        self.squares += (vectors - mean).square().sum(0) + between
        self.mean += apart * many / total
        self.count.copy_(total)

    def reset(self) -> None:
        """Forget every vector."""
        for buffer in (self.count, self.mean, self.squares):
            buffer.zero_()

    @property
    def deviation(self) -> Tensor:
        """Standard deviation of each coordinate (width,); 1 before anything was seen."""
        if self.count < 1:
            return torch.ones_like(self.squares)
        return (self.squares / (self.count - 1).clamp(min=1)).sqrt()

    def forward(self, vectors: Tensor) -> Tensor:
        return (vectors - self.mean) / (self.deviation + NORMALISER_EPS)


class _Layer(nn.Module):
    """One layer of g, for all matrices of a shape."""

    def __init__(self, width: int, rank: int, modes: int, generator: torch.Generator) -> None:
        super().__init__()
        rank = min(rank, width)
        self.left = nn.Parameter(torch.zeros(width, rank))
        self.right = nn.Parameter(torch.randn(rank, width, generator=generator))
        self.bias = nn.Parameter(torch.zeros(width))
        self.scale = nn.Parameter(torch.ones(modes, width))
        self.shift = nn.Parameter(torch.zeros(modes, width))

    def forward(self, inputs: Tensor, mode: int) -> Tensor:
        inner = inputs @ self.right.T @ self.left.T + self.bias
        # clamp hands gradients on at exactly zero, where an untrained layer is; relu would not.
        return inputs + (self.scale[mode] * inner + self.shift[mode]).clamp(min=0)


class _Network(nn.Module):
    """g and its normalisers, for all matrices of a shape."""

    def __init__(
        self, d_in: int, d_out: int, rank: int, modes: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.inputs, self.gradients = Normaliser(d_in), Normaliser(d_out)
        self.layers = nn.ModuleList(_Layer(d_in + d_out, rank, modes, generator) for _ in range(2))
        self.d_in, self.d_out = d_in, d_out

    def forward(self, inputs: Tensor, gradients: Tensor, mode: int) -> tuple[Tensor, Tensor]:
        joined = torch.cat([self.inputs(inputs), self.gradients(gradients)], -1)
        for layer in self.layers:
            joined = layer(joined, mode)
        first, second = joined.split([self.d_in, self.d_out], -1)
        return first, second


class Hypernetwork(nn.Module):
    """The networks of all shapes, and one learned rate a matrix.

    Args:
        matrices: The edited projections, in the order in which their rates are kept.
        rank: Largest rank of U V.
        edit_lr: Initial rate of every matrix.
        seed: Seed of V.
    """

    def __init__(
        self, matrices: Sequence[Matrix], *, rank: int, edit_lr: float, seed: int = 0
    ) -> None:
        super().__init__()
        self.matrices = tuple(matrices)
        generator = torch.Generator().manual_seed(seed)
        members: dict[str, list[Matrix]] = {}
        for matrix in matrices:
            members.setdefault(matrix.shape_key, []).append(matrix)
        self._mode = {m.name: i for each in members.values() for i, m in enumerate(each)}
        self.networks = nn.ModuleDict(
            {
                key: _Network(each[0].d_in, each[0].d_out, rank, len(each), generator)
                for key, each in members.items()
            }
        )
        self.edit_lrs = nn.Parameter(torch.full((len(matrices),), edit_lr))

    def network(self, matrix: Matrix) -> _Network:
        """Return the network that serves a matrix."""
        network = self.networks[matrix.shape_key]
        assert isinstance(network, _Network)
        return network

    def rate(self, matrix: Matrix) -> Tensor:
        """Return a matrix's learned rate, ()."""
        return self.edit_lrs[self.matrices.index(matrix)]

    def forward(self, matrix: Matrix, inputs: Tensor, gradients: Tensor) -> tuple[Tensor, Tensor]:
        """Map a matrix's inputs (n, d_in) and gradients (n, d_out) to those of its edit."""
        return self.network(matrix)(inputs, gradients, self._mode[matrix.name])

    def observe(self, matrix: Matrix, found: Pieces) -> None:
        """Let the normalisers of a matrix see more tokens."""
        network = self.network(matrix)
        counts = found.counts
        network.inputs.add(found.inputs[counts].float())
        network.gradients.add(found.gradients[counts].float())

    def updates(
        self,
        found: Mapping[str, Pieces],
        rates: Mapping[str, Tensor],
        *,
        running: bool = False,
    ) -> dict[str, LowRank]:
        """Return the edit of each fact: +rate * sum_t delta~_t u~_t^T, by projection.

        The sign is for training to find; the paper writes a minus.

        Args:
            found: The pieces of every fact's gradient, by projection.
            rates: By projection, ().
            running: Let the normalisers see each projection's tokens before they are mapped.
        """
        edits = {}
        for matrix in self.matrices:
            if running:
                self.observe(matrix, found[matrix.name])
            counts = found[matrix.name].counts
            inputs, gradients = (part.float() for part in found[matrix.name])
            new_inputs, new_gradients = self(matrix, inputs[counts], gradients[counts])
            edits[matrix.name] = LowRank(
                torch.zeros_like(inputs).index_put((counts,), new_inputs),
                torch.zeros_like(gradients).index_put(
                    (counts,), rates[matrix.name] * new_gradients
                ),
            )
        return edits
