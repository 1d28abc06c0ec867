"""The fast value optimisation gives what full forward passes and full logits give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from seqedit_bench.editors import EditRequest
from seqedit_bench.editors._architecture import Architecture
from seqedit_bench.editors._contexts import fill
from seqedit_bench.editors._values import (
    KL_TEMPLATE,
    Value,
    ValueSettings,
    _Reach,
    _rows,
    optimise_values,
)
from seqedit_bench.tasks.errors import InputError
from seqedit_bench.tasks.tokenization import encode_pair, last_token_of_span

Site = Literal["mlp", "layer"]
SETTINGS = ValueSettings(
    num_grad_steps=6, lr=0.5, weight_decay=0.5, clamp_norm_factor=4.0, kl_factor=0.0625
)


class Plain:
    """The same losses, one row at a time through the whole model."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerFast,
        *,
        layer: int,
        site: Site,
        templates: Sequence[str],
    ) -> None:
        architecture = Architecture.of(model)
        self.model, self.tokenizer, self.templates = model, tokenizer, templates
        self.module = (
            architecture.mlp_out(model, layer)
            if site == "mlp"
            else architecture.layers(model)[layer]
        )
        self.base = torch.empty(0)

    def log_probs(self, ids: list[int], at: int, delta: Tensor | None) -> Tensor:
        """Next-token log-probabilities (positions, vocabulary) with delta added at one position."""

        def hook(module: object, inputs: object, output: object) -> object:
            first = output[0] if isinstance(output, tuple) else output
            assert isinstance(first, Tensor)
            states = first.reshape(1, -1, first.shape[-1]).clone()
            self.base = states[0, at].detach().clone()
            if delta is not None:
                states[0, at] = states[0, at] + delta
            states = states.view_as(first)
            return (states, *output[1:]) if isinstance(output, tuple) else states

        handle = self.module.register_forward_hook(hook)
        try:
            return self.model(torch.tensor([ids])).logits[0].float().log_softmax(-1)
        finally:
            handle.remove()

    def losses(self, request: EditRequest, delta: Tensor) -> tuple[Tensor, Tensor]:
        nlls = []
        for template in self.templates:
            text, end = fill(template, request)
            pair = encode_pair(self.tokenizer, text, request.target_new)
            at = last_token_of_span(self.tokenizer, text, end)
            log_probs = self.log_probs(pair.context + pair.continuation[:-1], at, delta)
            first = len(pair.context) - 1
            picked = [log_probs[first + j, token] for j, token in enumerate(pair.continuation)]
            nlls.append(-torch.stack(picked).mean())
        text = KL_TEMPLATE.replace("{}", request.subject)
        at = last_token_of_span(self.tokenizer, text, len(request.subject))
        ids = self.tokenizer(text).input_ids
        now = self.log_probs(ids, at, delta)[at]
        was = self.log_probs(ids, at, None)[at].detach()
        return torch.stack(nlls).mean(), (now.exp() * (now - was)).sum()

    def base_of(self, request: EditRequest) -> Tensor:
        at = last_token_of_span(self.tokenizer, request.text, request.subject_span[1])
        self.log_probs(self.tokenizer(request.text).input_ids, at, None)
        return self.base


@pytest.mark.parametrize("site", ["mlp", "layer"])
@pytest.mark.parametrize("layer", [0, 2, 3])
def test_losses_and_gradients_equal_the_plain_way(
    any_model: PreTrainedModel,
    tokenizers: dict[str, PreTrainedTokenizerFast],
    requests: list[EditRequest],
    templates: list[str],
    layer: int,
    site: Site,
) -> None:
    """On every family, with and without BOS, for three facts at once."""
    tokenizer = tokenizers["llama3" if layer == 2 else "gpt2"]
    architecture = Architecture.of(any_model)
    rows = [
        row
        for owner, fact in enumerate(requests)
        for row in _rows(tokenizer, fact, templates, owner)
    ]
    reach = _Reach(any_model, architecture, rows, layer=layer, site=site)
    plain = Plain(any_model, tokenizer, layer=layer, site=site, templates=templates)
    generator = torch.Generator().manual_seed(1)
    deltas = torch.randn(len(requests), 32, generator=generator, requires_grad=True)
    nll, kl = reach.losses(deltas)
    expected = [plain.losses(fact, deltas[index]) for index, fact in enumerate(requests)]
    torch.testing.assert_close(nll, torch.stack([each[0] for each in expected]), rtol=0, atol=1e-4)
    torch.testing.assert_close(kl, torch.stack([each[1] for each in expected]), rtol=0, atol=1e-4)
    (ours,) = torch.autograd.grad((nll + kl).sum(), deltas)
    (theirs,) = torch.autograd.grad(sum(a + b for a, b in expected), deltas)  # type: ignore[arg-type]
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)
    for index, fact in enumerate(requests):
        torch.testing.assert_close(reach.base[index], plain.base_of(fact), rtol=1e-4, atol=1e-4)


def descend_plainly(plain: Plain, request: EditRequest, settings: ValueSettings) -> Value:
    """ROME's loop as the paper's code runs it, for one request."""
    base = plain.base_of(request)
    delta = torch.zeros_like(base, requires_grad=True)
    optimiser = torch.optim.Adam([delta], lr=settings.lr)
    loss, steps = 0.0, 0
    for step in range(settings.num_grad_steps):
        nll, kl = plain.losses(request, delta)
        decay = settings.weight_decay * delta.norm() / base.norm() ** 2
        total = nll + settings.kl_factor * kl + decay
        loss, steps = total.item(), step
        if loss < settings.loss_threshold or step == settings.num_grad_steps - 1:
            break
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        with torch.no_grad():
            limit = settings.clamp_norm_factor * base.norm()
            if delta.norm() > limit:
                delta.mul_(limit / delta.norm())
    return Value(delta.detach(), base, {"loss": loss, "steps": steps})


@pytest.mark.parametrize(("site", "clamp"), [("mlp", 4.0), ("layer", 0.75), ("mlp", 0.1)])
def test_descent_equals_the_plain_loop(
    main_model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    requests: list[EditRequest],
    templates: list[str],
    site: Site,
    clamp: float,
) -> None:
    """Facts optimised together end where each would end alone."""
    settings = ValueSettings(
        num_grad_steps=6,
        lr=0.2,
        weight_decay=0.5,
        clamp_norm_factor=clamp,
        kl_factor=0.0625,
        loss_threshold=2.5,
    )
    values = optimise_values(
        main_model,
        tokenizer,
        Architecture.of(main_model),
        requests,
        templates,
        layer=1,
        site=site,
        settings=settings,  # type: ignore[arg-type]
    )
    plain = Plain(main_model, tokenizer, layer=1, site=site, templates=templates)
    for request, value in zip(requests, values, strict=True):
        expected = descend_plainly(plain, request, settings)
        assert value.report["steps"] == expected.report["steps"]
        assert value.report["loss"] == pytest.approx(expected.report["loss"], abs=1e-3)
        torch.testing.assert_close(value.delta, expected.delta, rtol=2e-2, atol=2e-3)


def test_delta_stays_in_its_ball(
    main_model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    requests: list[EditRequest],
    templates: list[str],
) -> None:
    settings = ValueSettings(
        num_grad_steps=5, lr=5.0, weight_decay=0.0, clamp_norm_factor=0.3, kl_factor=0.0
    )
    values = optimise_values(
        main_model,
        tokenizer,
        Architecture.of(main_model),
        requests,
        templates,
        layer=1,
        site="mlp",
        settings=settings,
    )
    for value in values:
        assert value.delta.norm() == pytest.approx(0.3 * float(value.base.norm()), rel=1e-4)


def test_a_broken_model_is_reported_not_raised(
    main_model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    requests: list[EditRequest],
    templates: list[str],
) -> None:
    architecture = Architecture.of(main_model)
    with torch.no_grad():
        architecture.mlp_out(main_model, 0).get_parameter("weight").fill_(float("nan"))
    (value,) = optimise_values(
        main_model,
        tokenizer,
        architecture,
        requests[:1],
        templates,
        layer=1,
        site="mlp",
        settings=SETTINGS,
    )
    assert value.report["loss"] != value.report["loss"]
    assert value.report["steps"] == SETTINGS.num_grad_steps - 1


def test_a_subject_that_merges_with_the_target_is_refused(
    main_model: PreTrainedModel, tokenizers: dict[str, PreTrainedTokenizerFast]
) -> None:
    """Where the prompt ends in the subject, a tokenizer may join its end and the target."""
    tokenizer = tokenizers["gpt2"]
    words = (word for word in sorted(tokenizer.get_vocab()) if word.isascii() and word.isalpha())
    whole = next(word for word in words if len(word) > 2)
    # Built by hand: EditRequest.create would put a space before the target.
    request = EditRequest(0, "{}", whole[:-1], whole[-1], " x")
    assert not encode_pair(tokenizer, whole[:-1], whole[-1]).context, "the example must merge"
    with pytest.raises(InputError, match=r"case 0: .*merges"):
        optimise_values(
            main_model,
            tokenizer,
            Architecture.of(main_model),
            [request],
            ["{}"],
            layer=1,
            site="mlp",
            settings=SETTINGS,
        )
