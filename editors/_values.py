"""Values: the vector that, put in at the subject's last token, makes the model say the target.

This is `v*` of ROME (added to an MLP's output) and `z` of MEMIT (added to a layer's output), found
by the same gradient descent on delta (Meng et al. 2022, eq. 4; 2023, eq. 16).

A causal model lets delta change nothing to its left and nothing below its layer. So the tokens
before the subject's last one are run once and kept as keys and values, the layers below as hidden
states, and each step runs only what delta can reach.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from transformers import Cache, DynamicCache, PreTrainedModel

from ..tasks.errors import InputError, RequestError
from ..tasks.requests import SLOT, EditRequest
from ..tasks.tokenization import Tokenizer, encode, encode_pair, last_token_of_span
from ._architecture import Architecture
from ._contexts import fill
from ._head import output_logits
from ._keys import right_pad
from ._memory import Budget
from ._trace import Trace, by_row, cache_argument, frozen, start_at

KL_TEMPLATE = "{} is a"
"""The neutral text that keeps the subject's essence (Meng et al. 2022, eq. 4)."""


@dataclass(frozen=True, slots=True)
class ValueSettings:
    """Settings of the descent; names as in the published hyper-parameter files."""

    num_grad_steps: int
    """Forward passes; the last one makes no step."""
    lr: float
    """Adam's step size."""
    weight_decay: float
    """Weight of ||delta|| / ||base||^2."""
    clamp_norm_factor: float
    """delta is projected onto the ball of this radius times ||base||."""
    kl_factor: float
    """Weight of the KL divergence on the neutral text."""
    loss_threshold: float = 0.05
    """Stop a request below this loss."""
    most_probable_passes: int = 0
    """Stop it too after this many passes, consecutive or not, in which every target token is the
    likeliest in every text (Gupta et al. 2025, "most-probable early stopping"); 0 never does."""


class Value(NamedTuple):
    """The found value of one request."""

    delta: Tensor
    """(d_model,), what to add."""
    base: Tensor
    """(d_model,), what is there without it, in the bare prompt."""
    report: dict[str, float]
    """Losses, steps and norms."""


class _Row(NamedTuple):
    """One text: `ids[:start]` is run once, the rest at every step; delta goes in at `start`."""

    owner: int
    ids: list[int]
    start: int
    labels: list[int]
    """Target ids; the last of them is predicted from the row's last position."""


def optimise_values(
    model: PreTrainedModel,
    tokenizer: Tokenizer,
    architecture: Architecture,
    requests: Sequence[EditRequest],
    templates: Sequence[str],
    *,
    layer: int,
    site: Literal["mlp", "layer"],
    settings: ValueSettings,
    budget: Budget | None = None,
) -> list[Value]:
    """Find the value of each request, all of them together.

    The loss of a request is the mean over templates of the target's mean NLL per token, plus
    `kl_factor` * KL(P_delta || P_0) of the next token at the subject's last token of the neutral
    text, plus the decay term. Each request stops at its own threshold.

    Args:
        model: The live model; its weights are not changed.
        tokenizer: Its tokenizer.
        architecture: Where it keeps its layers.
        requests: The facts.
        templates: Context templates, the bare one first.
        layer: The layer whose output delta is added to.
        site: `mlp` adds to the MLP's output (ROME), `layer` to the layer's (MEMIT).
        settings: Settings of the descent.
        budget: How many requests memory holds together; None tries all of them.

    Returns:
        One value a request, in order. A loss that is not finite is reported, not raised.

    Raises:
        OutOfMemory: memory does not hold a single request.
        RequestError: a request has no position that could be edited, or does not fit the window.
    """
    window = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    found: dict[int, Value] = {}

    def find(batch: Sequence[int]) -> None:
        rows = [
            row
            for owner, index in enumerate(batch)
            for row in _fitting_rows(tokenizer, requests[index], templates, owner, window)
        ]
        reach = _Reach(model, architecture, rows, layer=layer, site=site)
        found.update(zip(batch, _descend(reach, len(batch), settings), strict=True))

    budget = Budget(len(requests), "fact") if budget is None else budget
    with frozen(model):
        budget.run(range(len(requests)), lambda left, many: left[:many], find)
    return [found[index] for index in range(len(requests))]


def _fitting_rows(
    tokenizer: Tokenizer,
    request: EditRequest,
    templates: Sequence[str],
    owner: int,
    window: int | None,
) -> list[_Row]:
    try:
        rows = _rows(tokenizer, request, templates, owner)
    except InputError as error:
        raise RequestError(request.case_id, str(error)) from None
    longest = max(len(row.ids) for row in rows)
    if window is not None and longest > window:
        raise RequestError(
            request.case_id,
            f"behind a context template it has {longest} tokens, the context window {window}",
        )
    return rows


def _rows(
    tokenizer: Tokenizer, request: EditRequest, templates: Sequence[str], owner: int
) -> list[_Row]:
    rows = []
    for template in templates:
        text, end = fill(template, request)
        pair = encode_pair(tokenizer, text, request.target_new)
        last = last_token_of_span(tokenizer, text, end)
        if last >= len(pair.context):
            raise InputError(
                f"in {text + request.target_new!r} the subject's last token merges with the "
                "target's first: no position is left to edit"
            )
        ids = pair.context + pair.continuation[:-1]
        rows.append(_Row(owner, ids, last, pair.continuation))
    text = KL_TEMPLATE.replace(SLOT, request.subject)
    last = last_token_of_span(tokenizer, text, len(request.subject))
    # Only the next token at the subject's last token is compared: what follows is not run.
    rows.append(_Row(owner, encode(tokenizer, text)[: last + 1], last, []))
    return rows


class _Reach:
    """The part of the forward pass that delta can reach, ready to be run again and again."""

    def __init__(
        self,
        model: PreTrainedModel,
        architecture: Architecture,
        rows: Sequence[_Row],
        *,
        layer: int,
        site: Literal["mlp", "layer"],
    ) -> None:
        self.model = model
        self.architecture = architecture
        self.start = layer if site == "mlp" else layer + 1
        self.site = architecture.mlp_out(model, layer) if site == "mlp" else None
        device = model.device
        self.owner = torch.tensor([row.owner for row in rows], device=device)
        self.ids, suffix_mask = right_pad([row.ids[row.start :] for row in rows], device)
        prefix = max(row.start for row in rows)
        starts = torch.tensor([row.start for row in rows], device=device)
        # Prefixes are padded on the left: each row's suffix then begins in the same column.
        columns = torch.arange(prefix, device=device)
        prefix_mask = (columns[None] >= prefix - starts[:, None]).long()
        self.mask = torch.cat([prefix_mask, suffix_mask], 1)
        width = self.ids.shape[1]
        self.positions = starts[:, None] + torch.arange(width, device=device)[None]
        self.cache = self._run_prefix(rows, prefix_mask, starts) if prefix else None
        self._index_labels(rows, device)
        self._run_base()

    def _run_prefix(self, rows: Sequence[_Row], mask: Tensor, starts: Tensor) -> Cache:
        width = mask.shape[1]
        ids = torch.zeros_like(mask)
        for index, row in enumerate(rows):
            if row.start:
                ids[index, width - row.start :] = torch.tensor(row.ids[: row.start])
        positions = (
            torch.arange(width, device=mask.device)[None] - (width - starts[:, None])
        ).clamp(min=0)
        cache = DynamicCache(config=self.model.config)
        with torch.no_grad():
            self.model.base_model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=positions,
                use_cache=True,
                **cache_argument(self.model, cache),
            )
        return cache

    def _index_labels(self, rows: Sequence[_Row], device: torch.device) -> None:
        """Flatten the scored positions: row, suffix column, token, weight of each."""
        row_of, column, label, weight = [], [], [], []
        texts = [0] * (int(self.owner.max()) + 1)
        for row in rows:
            texts[row.owner] += bool(row.labels)
        for index, row in enumerate(rows):
            last = len(row.ids) - 1 - row.start
            for back, token in enumerate(reversed(row.labels)):
                row_of.append(index)
                column.append(last - back)
                label.append(token)
                weight.append(1.0 / (len(row.labels) * texts[row.owner]))
        self.label_row = torch.tensor(row_of, device=device)
        self.label_column = torch.tensor(column, device=device)
        self.labels = torch.tensor(label, device=device)
        self.label_weight = torch.tensor(weight, device=device)
        self.kl_rows = torch.tensor(
            [index for index, row in enumerate(rows) if not row.labels], device=device
        )

    @torch.no_grad()
    def _run_base(self) -> None:
        """Run the suffix once without delta: hidden states below, base values, P_0."""
        layers = self.architecture.layers(self.model)
        watched = {}
        if self.start:
            watched["below"] = layers[self.start - 1]
        if self.site is not None:
            watched["site"] = self.site
        with Trace(watched) as trace:
            hidden = self._forward()
        self.below = trace.kept.get("below")
        outputs = trace.kept["site"] if self.site is not None else trace.kept["below"]
        # A request's rows begin with the bare prompt's: that one gives the base value.
        first = torch.stack(
            [(self.owner == owner).nonzero()[0, 0] for owner in self.owner.unique()]
        )
        self.base = by_row(outputs.to(hidden.device), len(self.owner))[first, 0].float()
        self.base_log_probs = self._log_probs(hidden[self.kl_rows, 0])

    def _forward(self) -> Tensor:
        cache = None
        if self.cache is not None:
            # Layers of a dynamic cache grow by making new tensors, so a shallow copy shares the
            # prefix and leaves it alone.
            cache = copy.copy(self.cache)
            cache.layers = [copy.copy(layer) for layer in self.cache.layers]
        return self.model.base_model(
            input_ids=self.ids,
            attention_mask=self.mask,
            position_ids=self.positions,
            use_cache=cache is not None,
            **cache_argument(self.model, cache),
        ).last_hidden_state.to(self.ids.device)

    def _log_probs(self, hidden: Tensor) -> Tensor:
        return functional.log_softmax(output_logits(self.model, hidden).float(), dim=-1)

    def losses(self, deltas: Tensor) -> tuple[Tensor, Tensor]:
        """Return NLL and KL of every request with its delta put in, each (requests,).

        Sets `most_probable`, (requests,): whether all of a request's target tokens are the
        likeliest in all of its texts.
        """
        added = deltas[self.owner].to(self.model.dtype)

        def add(_: str, output: Tensor) -> Tensor:
            states = by_row(output, len(added))
            first = states[:, :1] + added[:, None].to(states.device)
            edited = torch.cat([first, states[:, 1:]], 1)
            return edited.view_as(output)

        below = self.below
        watched = {} if self.site is None else {"site": self.site}
        if self.site is None and below is not None:
            below = add("below", below)
        with start_at(self.model, self.architecture, self.start, below), Trace(watched, edit=add):
            hidden = self._forward()
        log_probs = self._log_probs(hidden[self.label_row, self.label_column])
        missed = (log_probs.argmax(1) != self.labels).long()
        nll = -log_probs.gather(1, self.labels[:, None])[:, 0] * self.label_weight
        count = len(deltas)
        of_label = self.owner[self.label_row]
        per_request = torch.zeros(count, device=nll.device).index_add(0, of_label, nll)
        self.most_probable = missed.new_zeros(count).index_add(0, of_label, missed) == 0
        now = self._log_probs(hidden[self.kl_rows, 0])
        kl = (now.exp() * (now - self.base_log_probs)).sum(1)
        per_kl = torch.zeros(count, device=kl.device).index_add(0, self.owner[self.kl_rows], kl)
        return per_request, per_kl


def _descend(reach: _Reach, count: int, settings: ValueSettings) -> list[Value]:
    base_norm = reach.base.norm(dim=1)
    deltas = [torch.zeros_like(reach.base[0]).requires_grad_() for _ in range(count)]
    optimiser = torch.optim.Adam(deltas, lr=settings.lr)
    reports: list[dict[str, float]] = [{} for _ in range(count)]
    running = [True] * count
    passes = [0] * count
    for step in range(settings.num_grad_steps):
        stacked = torch.stack(deltas)
        nll, kl = reach.losses(stacked)
        decay = settings.weight_decay * stacked.norm(dim=1) / base_norm**2
        losses = nll + settings.kl_factor * kl + decay
        for index in range(count):
            if running[index]:
                reports[index].setdefault("loss_first", losses[index].item())
                reports[index] |= {
                    "loss": losses[index].item(),
                    "nll": nll[index].item(),
                    "kl": kl[index].item(),
                    "steps": step,
                }
                passes[index] += int(reach.most_probable[index])
                running[index] = not (
                    losses[index].item() < settings.loss_threshold
                    or 0 < settings.most_probable_passes <= passes[index]
                )
        if step == settings.num_grad_steps - 1 or not any(running):
            break
        optimiser.zero_grad()
        torch.stack([loss for loss, go in zip(losses, running, strict=True) if go]).sum().backward()
        for delta, go in zip(deltas, running, strict=True):
            if not go:
                delta.grad = None  # Adam passes over it: the request has stopped.
        optimiser.step()
        with torch.no_grad():
            for delta, norm in zip(deltas, base_norm, strict=True):
                delta.mul_((settings.clamp_norm_factor * norm / delta.norm()).clamp(max=1.0))
    values = []
    for delta, base, report in zip(deltas, reach.base, reports, strict=True):
        final = delta.detach()
        report["delta_norm"] = final.norm().item()
        report["base_norm"] = base.norm().item()
        values.append(Value(final, base, report))
    return values
