"""The plain ways: what the engine does, written as one would without it.

They are the other side of each row of the benchmark, and the reference of its equality checks, so
they use nothing of the engine but the hook that adds to a module's output.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel

from ...editors._trace import Trace
from ...editors._values import ValueSettings
from ...tasks.requests import SLOT, EditRequest
from ...tasks.tokenization import Pair, Tokenizer, encode, encode_pair, last_token_of_span


def padded(rows: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return right-padded ids and their mask, (rows, longest)."""
    longest = max(map(len, rows))
    ids = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows], device=device)
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    return ids, mask.to(device)


@torch.no_grad()
def score_in_one_batch(model: PreTrainedModel, pairs: Sequence[Pair]) -> list[float]:
    """Score each pair as a row of its own of one batch, with logits at every position."""
    ids, mask = padded([pair.context + pair.continuation for pair in pairs], model.device)
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits.float()
    log_probs = logits.log_softmax(-1)
    return [
        sum(
            float(log_probs[row, len(pair.context) - 1 + at, token])
            for at, token in enumerate(pair.continuation)
        )
        for row, pair in enumerate(pairs)
    ]


def generate_one_by_one(
    model: Any, tokenizer: Tokenizer, prompts: Sequence[str], new_tokens: int
) -> list[str]:
    """Continue each prompt greedily with `generate`, in a batch of one."""
    texts = []
    for prompt in prompts:
        ids = torch.tensor([encode(tokenizer, prompt)], device=model.device)
        out = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=new_tokens,
            do_sample=False,
            pad_token_id=tokenizer.eos_token_id,
        )
        before, whole = (
            tokenizer.decode(each, skip_special_tokens=True) for each in (ids[0], out[0])
        )
        texts.append(whole[len(before) :])
    return texts


def rome_update(
    model: PreTrainedModel,
    tokenizer: Tokenizer,
    request: EditRequest,
    templates: Sequence[str],
    module: torch.nn.Linear,
    moment: Tensor,
    settings: ValueSettings,
) -> tuple[Tensor, int]:
    """Find ROME's change of one projection with whole forward passes (Meng et al. 2022, eq. 2-4).

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        request: The fact.
        templates: Context templates, the bare one first.
        module: The projection.
        moment: C, (d_ff, d_ff), float64.
        settings: Settings of the descent.

    Returns:
        The change, (d_model, d_ff), and how many passes it took.
    """
    texts = [template.replace(SLOT, request.text) for template in templates]
    ends = [
        len(template[: template.index(SLOT)]) + request.prompt.index(SLOT) + len(request.subject)
        for template in templates
    ]
    pairs = [encode_pair(tokenizer, text, request.target_new) for text in texts]
    last = [last_token_of_span(tokenizer, text, end) for text, end in zip(texts, ends, strict=True)]
    neutral = encode(tokenizer, f"{request.subject} is a")
    last.append(last_token_of_span(tokenizer, f"{request.subject} is a", len(request.subject)))
    ids, mask = padded([*(p.context + p.continuation for p in pairs), neutral], model.device)
    every = torch.arange(len(ids))
    delta = torch.zeros(module.out_features, requires_grad=True)
    with torch.no_grad(), Trace({"keys": module}, keep="input") as seen:
        clean = model(input_ids=ids, attention_mask=mask, use_cache=False).logits.log_softmax(-1)
    keys = seen.kept["keys"][every, last][:-1]
    base = module(keys[0]).detach().norm()

    def add(_: str, output: Tensor) -> Tensor:
        changed = output.clone()
        changed[every, last] += delta
        return changed

    optimiser = torch.optim.Adam([delta], lr=settings.lr)
    flags = [parameter.requires_grad for parameter in model.parameters()]
    model.requires_grad_(False)
    passes = 0
    try:
        for step in range(settings.num_grad_steps):
            with Trace({"mlp": module}, edit=add):
                logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
            log_probs = logits.log_softmax(-1)
            passes += 1
            nll = torch.stack(
                [_mean_nll(log_probs[row], pair) for row, pair in enumerate(pairs)]
            ).mean()
            now = log_probs[-1, last[-1]]
            kl = functional.kl_div(clean[-1, last[-1]], now, log_target=True, reduction="sum")
            loss = nll + settings.kl_factor * kl + settings.weight_decay * delta.norm() / base**2
            if loss < settings.loss_threshold or step == settings.num_grad_steps - 1:
                break
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            with torch.no_grad():
                delta *= min(1.0, float(settings.clamp_norm_factor * base / delta.norm()))
    finally:
        for parameter, flag in zip(model.parameters(), flags, strict=True):
            parameter.requires_grad_(flag)
    keys = keys.double()
    direction = torch.linalg.solve(moment, keys.mean(0))
    update = torch.outer(delta.detach().double(), direction) / (keys[0] @ direction)
    return update, passes


def _mean_nll(log_probs: Tensor, pair: Pair) -> Tensor:
    first = len(pair.context) - 1
    targets = torch.tensor(pair.continuation, device=log_probs.device)
    return -log_probs[first : first + len(targets)].gather(1, targets[:, None]).mean()


def memit_update(residual: Tensor, key: Tensor, weighted: Tensor) -> Tensor:
    """Solve MEMIT's normal equations for one fact as they stand (Meng et al. 2023, eq. 14).

    Args:
        residual: (d_model,)
        key: (d_ff,)
        weighted: lambda C, (d_ff, d_ff).
    """
    system = weighted + torch.outer(key, key)
    return torch.outer(residual, torch.linalg.solve(system, key))
