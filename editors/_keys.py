"""Keys: what the MLP's down-projection reads at the subject's last token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from ..tasks.requests import EditRequest
from ..tasks.tokenization import Tokenizer, encode, last_token_of_span
from ._architecture import Architecture
from ._contexts import fill
from ._trace import Trace, by_row, record


class SubjectRow(NamedTuple):
    """A text in tokens and where its subject ends."""

    ids: list[int]
    last: int
    """Index of the subject's last token."""


def subject_rows(
    tokenizer: Tokenizer, request: EditRequest, templates: Sequence[str]
) -> list[SubjectRow]:
    """Tokenise a request in every template."""
    rows = []
    for template in templates:
        text, end = fill(template, request)
        rows.append(SubjectRow(encode(tokenizer, text), last_token_of_span(tokenizer, text, end)))
    return rows


def right_pad(rows: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Stack token ids of unequal length.

    Returns:
        ids and attention mask, both (rows, longest). Masks come from lengths: pads may be EOS.
    """
    longest = max(len(row) for row in rows)
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = torch.tensor(row)
        mask[index, : len(row)] = 1
    return ids.to(device), mask.to(device)


@torch.no_grad()
def keys_and_layer_output(
    model: PreTrainedModel,
    architecture: Architecture,
    layer: int,
    output_layer: int,
    rows: Sequence[SubjectRow],
) -> tuple[Tensor, Tensor]:
    """Return keys of one layer and the output of another, at each row's last subject token.

    Tokens behind the subject cannot change either, so they are not run.

    Returns:
        keys (rows, d_ff), and outputs of layer `output_layer` (rows, d_model).
    """
    ids, mask = right_pad([row.ids[: row.last + 1] for row in rows], model.device)
    key_module = architecture.mlp_out(model, layer)
    top = {"layer": architecture.layers(model)[output_layer]}
    with Trace({"key": key_module}, keep="input") as below:
        above = record(model, top, input_ids=ids, attention_mask=mask)
    every = torch.arange(len(rows), device=ids.device)
    last = mask.sum(1) - 1
    keys = by_row(below.kept["key"].to(ids.device), len(rows))
    return keys[every, last], above["layer"][every, last]


@torch.no_grad()
def keys_and_outputs(
    model: PreTrainedModel, architecture: Architecture, layer: int, rows: Sequence[SubjectRow]
) -> tuple[Tensor, Tensor]:
    """Return input and output of a down-projection at each row's last subject token.

    Returns:
        keys (rows, d_ff) and outputs (rows, d_model).
    """
    keys, _ = keys_and_layer_output(model, architecture, layer, layer, rows)
    module = architecture.mlp_out(model, layer)
    there = keys.to(module.get_parameter("weight").device)
    return keys, module(there).to(keys.device)


def mean_key_by_kind(keys: Tensor) -> Tensor:
    """Average keys over templates, the bare one counting as much as all others together.

    Args:
        keys: (templates, d_ff), the bare template's in row 0.

    Returns:
        (d_ff,)
    """
    if len(keys) == 1:
        return keys[0]
    return (keys[0] + keys[1:].mean(0)) / 2
