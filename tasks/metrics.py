"""Metrics of one prompt: numbers in, numbers out; nothing here knows a model or a file.

`nll_new` and `nll_true` are mean negative log-likelihoods per target token, in nats (lower is
likelier): the paper's code compares means, so that long targets are not punished.
"""

from __future__ import annotations

import math


def preferred(nll_wanted: float, nll_other: float) -> float:
    """Return 1.0 if the wanted target is strictly likelier, else 0.0; ties and NaN are failures.

    Example:
        >>> preferred(1.0, 2.0), preferred(2.0, 2.0), preferred(float("nan"), 2.0)
        (1.0, 0.0, 0.0)
    """
    return float(nll_wanted < nll_other)


def magnitude(nll_wanted: float, nll_other: float) -> float:
    """Return the per-token probability of wanted minus other, in [-1, 1]; NaN gives 0.

    Example:
        >>> round(magnitude(0.0, math.log(2)), 6)
        0.5
    """
    difference = math.exp(-nll_wanted) - math.exp(-nll_other)
    return 0.0 if math.isnan(difference) else difference
