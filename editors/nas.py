"""NAS: norm-anchor scaling (arXiv 2602.02543): give each solved value the norm it has when clean.

Along a sequence the norms of solved values and of edited weights drive each other up. Before a
value v* is written it is put on the anchor m, the mean norm of the values of pilot edits on the
unedited model: v* m / |v*|, up as well as down. Above 2 m the edit is dropped: its target becomes
the present value. v* is what the MLP shall give: v0 + delta, v0 what it gives now for the bare
prompt. Editors that find values at the layer's output (MEMIT) get what that adds to it.

Released code computes the anchor inside the first edit, on whatever model is there, with a loss
that batches of pilots share. Here `prepare` does, on the unedited model, each pilot with its own
loss. The pilots are the last records of the default edit order, so that short sequences in that
order do not meet them. Other orders do, the sooner the fewer records there are: with 184 bundled
ones and 20 pilots, among their first 100 edits are 8 to 16. An edit that was a pilot says so
(`nas_pilot`); it had one vote of many on the anchor.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from ..tasks import EditRequest
from ..tasks.edits import load_stream
from ..tasks.errors import InputError, RequestError
from ..tasks.sources import Source
from ._base import Editor, Hparams, ModelShape
from ._cache_files import replacing
from ._contexts import BARE
from ._keys import keys_and_outputs, subject_rows
from ._steps import SolvesValues
from ._values import KL_TEMPLATE, Value
from ._wrapper import Wrapper, innermost

TRIMMED = 0.05
"""Share of the pilots, those with the largest norms, that is left out of the mean."""
DROP_ABOVE = 2.0
"""Edits whose value has more than so many anchors are dropped."""
PILOTS_AT_ONCE = 4
"""Solved together; what has been solved is kept if the run stops."""
PILOT_ORDER = 1
"""The default edit order (`--sample`)."""


class NASHparams(Hparams):
    pilots: int = Field(1000, ge=1)
    """Pilot edits that the anchor is the mean of."""
    pilot_data: str = "bundled"
    """Where they are from: bundled, hub, or a folder that has counterfact.json."""
    anchor: float | None = None
    """The anchor itself, where it is known; no pilots are solved. Not above 0: no scaling."""

    @classmethod
    def derive(cls, shape: ModelShape) -> dict[str, Any]:
        # Norms of values differ by a tenth or so: 50 pilots know the mean to 2 %.
        return {"pilots": 50}


class Scaled(NamedTuple):
    """A value on the anchor."""

    delta: Tensor
    """(d_model,), what to add in place of the delta that was found."""
    dropped: bool
    norm_before: float
    norm: float


def scale_to(anchor: float, present: Tensor, delta: Tensor) -> Scaled:
    """Put present + delta on the anchor, or back on present where it is too far off.

    Args:
        anchor: m; not above 0 leaves everything as it is.
        present: v0, (d_model,).
        delta: (d_model,).

    Example:
        >>> scale_to(1.0, torch.zeros(2), torch.tensor([0.0, 2.0])).delta
        tensor([0., 1.])
    """
    value = present.double() + delta.double()
    norm = float(value.norm())
    if anchor <= 0:
        return Scaled(delta, False, norm, norm)
    if norm > DROP_ABOVE * anchor:
        return Scaled(torch.zeros_like(delta), True, norm, float(present.norm()))
    # Not m v* / |v*| - v0, which would round delta where the norm is m already.
    moved = delta.double() + (anchor / norm - 1 if norm else math.nan) * value
    return Scaled(moved.to(delta), False, norm, anchor)


def _kept_norms(path: Path) -> list[float]:
    """Return the norms that an earlier run kept; none if there are none, or the file is spoilt."""
    try:
        norms = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return []
    whole = isinstance(norms, list) and all(isinstance(norm, float) for norm in norms)
    return norms if whole else []


def trimmed_mean(norms: Sequence[float]) -> float:
    """Return the mean without the largest 5 %, rounded down.

    Example:
        >>> trimmed_mean([1.0] * 19 + [99.0])
        1.0
    """
    kept = sorted(norms)[: len(norms) - int(TRIMMED * len(norms))]
    return math.fsum(kept) / len(kept)


class NAS(Wrapper[NASHparams]):
    """Norm-anchor scaling, around any editor that first solves for values."""

    name = "nas"
    Settings = NASHparams

    @classmethod
    def misfit(cls, base: type[Editor]) -> str | None:
        if issubclass(innermost(base), SolvesValues):
            return None
        return "nas scales solved values, and this one solves for none (rome, memit, ... do)"

    @property
    def _solver(self) -> SolvesValues[Any]:
        assert isinstance(self.core, SolvesValues)
        return self.core

    def prepare(self) -> dict[str, Any]:
        self._pilots = self._choose_pilots()  # before the base computes for minutes
        return super().prepare()

    def _prepare(self) -> dict[str, Any]:
        self._anchor, record = self._find_anchor()
        self._solver.value_transform = self._scale
        return {"anchor": self._anchor, **record}

    def _choose_pilots(self) -> list[EditRequest]:
        if self.settings.anchor is not None:
            return []
        wanted, place = self.settings.pilots, self.settings.pilot_data
        named = place in ("bundled", "hub")
        source = Source.choose(place, None) if named else Source.choose(None, Path(place))
        cases = load_stream(source, "counterfact", sample=PILOT_ORDER).cases
        if len(cases) < wanted:
            raise InputError(
                f"nas.pilots={wanted}, but {place} CounterFact has {len(cases)} edits: ask for "
                "fewer, or name a folder with counterfact.json (--hparams nas.pilot_data=...)"
            )
        return [case.request for case in cases[-wanted:]]

    def _find_anchor(self) -> tuple[float, dict[str, Any]]:
        """Return the anchor and what to record of its pilots; the model must be unedited."""
        if self.settings.anchor is not None:
            return self.settings.anchor, {}
        key = {
            "weights": self.weights_sha256,
            "vocabulary": len(self.tokenizer),
            "layer": self._solver.value_layer,
            "site": self._solver.site,
            "settings": asdict(self._solver.hparams.value_settings),
            "templates": [BARE, KL_TEMPLATE],
            "pilots": [[each.prompt, each.subject, each.target_new] for each in self._pilots],
        }
        digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:32]
        norms = self._norms(self.cache_dir / "anchors" / f"{digest}.json")
        # A record that cannot be edited in this model's tokens is no pilot.
        used = [
            (pilot.case_id, norm)
            for pilot, norm in zip(self._pilots, norms, strict=True)
            if not math.isnan(norm)
        ]
        if not used:
            raise InputError("nas: none of the pilots can be edited (--hparams nas.pilot_data=...)")
        anchor = trimmed_mean([norm for _, norm in used])
        return anchor, {"pilot_case_ids": [case_id for case_id, _ in used]}

    def _norms(self, path: Path) -> list[float]:
        """Return the norm of each pilot's value, from `path` as far as it has them."""
        norms = _kept_norms(path)[: len(self._pilots)]
        while len(norms) < len(self._pilots):
            pilots = self._pilots[len(norms) : len(norms) + PILOTS_AT_ONCE]
            norms += self._solve(pilots)
            with replacing(path) as temporary:
                temporary.write_text(json.dumps(norms))
            self.progress("pilot edits", len(norms), len(self._pilots))
        return norms

    def _solve(self, pilots: list[EditRequest]) -> list[float]:
        """Return the norm of each pilot's value; NaN for one that cannot be edited."""
        left, norms = list(pilots), {pilot.case_id: math.nan for pilot in pilots}
        while left:
            try:
                values = self._solver.solve_values(left, [BARE])
            except RequestError as error:
                left = [pilot for pilot in left if pilot.case_id != error.case_id]
                continue
            for pilot, now, value in zip(left, self._present(left, values), values, strict=True):
                norms[pilot.case_id] = float((now.double() + value.delta.double()).norm())
            break
        return list(norms.values())

    def _present(self, requests: Sequence[EditRequest], values: Sequence[Value]) -> list[Tensor]:
        """Return v0 of each request, what the MLP gives now at the bare prompt's subject."""
        if self._solver.site == "mlp":
            return [value.base for value in values]
        rows = [subject_rows(self.tokenizer, request, [BARE])[0] for request in requests]
        architecture, layer = self._solver._architecture, self._solver.value_layer
        _, outputs = keys_and_outputs(self.model, architecture, layer, rows)
        return list(outputs.float())

    def _scale(self, requests: Sequence[EditRequest], values: list[Value]) -> list[Value]:
        pilots = {(pilot.prompt, pilot.subject) for pilot in self._pilots}
        scaled = []
        for request, now, value in zip(
            requests, self._present(requests, values), values, strict=True
        ):
            found = scale_to(self._anchor, now, value.delta)
            report = {
                **value.report,
                "nas_skipped": float(found.dropped),
                "nas_norm_before": found.norm_before,
                "nas_norm": found.norm,
                "nas_pilot": float((request.prompt, request.subject) in pilots),
            }
            scaled.append(Value(found.delta, value.base, report))
        return scaled

    def state_dict(self) -> dict[str, Tensor]:
        # Kept although `prepare` finds it again: in another place rounding may differ.
        anchor = torch.tensor(self._anchor, dtype=torch.float64)
        return {**self.base.state_dict(), "nas.anchor": anchor}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self._anchor = float(state["nas.anchor"])
        own = {name: tensor for name, tensor in state.items() if name != "nas.anchor"}
        self.base.load_state_dict(own)
