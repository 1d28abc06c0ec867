"""The model as lm-evaluation-harness sees it: live weights under a fast scorer."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast

from ..editors import Editor
from ..tasks.errors import InputError
from ..tasks.tokenization import Pair, encode, encode_pair
from .generation import Decoding, Generator
from .interventions import Interventions, case_id_of
from .lmeval import HFLM, Instance, quiet, rolling_windows
from .lower import LowerStates
from .model import LoadedModel
from .scoring import Score, Scorer


class _Prompt(NamedTuple):
    """A prompt with what an editor puts before it."""

    text: str
    added: int
    """Tokens more than the bare prompt has."""


_SHOWN = 40
"""Characters of a text that a message repeats."""
_DECODING_KEYS = {"until", "max_gen_toks", "do_sample", "temperature", "top_k"}


class SequentialEditLM(HFLM):
    """An lm-eval model over weights that an editor changes between calls.

    The harness's own wrapper keeps a reference to the model, so every call sees the weights as
    they are. Log-likelihoods come from our scorer and carry their token counts, texts from our
    generator, which is seeded for each prompt.

    Args:
        loaded: The model in memory.
        batch_tokens: Tokens run at a time; None takes what suits the model and its device.
        seed: Seed of sampled texts.
        editor: The editor whose edits are measured.
        cache_gb: Memory for hidden states under the edited layers, of prompts that come again.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        *,
        batch_tokens: int | None = None,
        seed: int = 0,
        editor: Editor | None = None,
        cache_gb: float = 0.0,
    ) -> None:
        with quiet():
            super().__init__(
                pretrained=loaded.model,
                tokenizer=loaded.tokenizer,
                batch_size=16,
                softmax_dtype="float32",
            )
        self._hooks = editor if editor is not None and editor.kind == "hooks" else None
        self._context = editor if editor is not None and editor.kind == "context" else None
        self.interventions = Interventions()
        """What the editor did to requests; stays empty for edits in the weights."""
        self._told: set[str] = set()
        self.lower = LowerStates.under(editor, loaded.model, cache_gb)
        self.scorer = Scorer(
            loaded.model,
            max_length=self.max_length,
            batch_tokens=batch_tokens,
            hooks=self._hooks,
            lower=self.lower,
        )
        self.generator = Generator(
            loaded.model,
            loaded.tokenizer,
            max_length=self.max_length,
            batch_tokens=batch_tokens,
            seed=seed,
            hooks=self._hooks,
            relief=self.give_back,
        )

    def set_cache_hook(self, cache_hook: Any) -> None:
        """Refuse an answer cache: its keys know the text and not the weights.

        Raises:
            InputError: always; the harness calls this for a cache alone.
        """
        raise InputError("--use_cache would give answers of another model's edits: leave it out")

    def news(self) -> list[str]:
        """Return what users should know of how requests are run, each thing once."""
        budgets = {"scoring": self.scorer.budget, "generation": self.generator.budget}
        now = [
            f"memory ran out: {what} goes on with {budget.size} tokens at a time"
            for what, budget in budgets.items()
            if budget.halved
        ]
        if self.lower is not None and self.lower.given_back:
            now.append("memory ran out: what is under the edited layers is kept no more")
        if self.scorer.not_shared:
            now.append(f"shared prefixes are run again for each prompt: {self.scorer.not_shared}")
        fresh = [text for text in now if text not in self._told]
        self._told.update(fresh)
        return fresh

    def give_back(self) -> bool:
        """Give back the memory of what can be made again; return whether there was any."""
        return self.lower is not None and self.lower.clear()

    @property
    def tokens_run(self) -> int:
        """Tokens run through the model for evaluation so far, padding aside."""
        return self.scorer.tokens_scored + self.generator.tokens_run

    def loglikelihood(self, requests: Sequence[Instance], disable_tqdm: bool = True) -> list[Score]:
        """Score (context, continuation) requests; an empty context becomes the prefix token."""
        arguments = [cast(Any, request.args) for request in requests]

        def fits(text: str, index: int) -> bool:
            pair = self.pair(text, arguments[index][1])
            return len(pair.context) + len(pair.continuation) - 1 <= self.max_length

        prompts = self._prompts(requests, fits)
        scores = self.scorer.score(
            [
                self.pair(prompt.text, args[1])
                for prompt, args in zip(prompts, arguments, strict=True)
            ]
        )
        self._count(requests, prompts, self.scorer.hits)
        return scores

    def _prompts(
        self, requests: Sequence[Instance], fits: Callable[[str, int], bool]
    ) -> list[_Prompt]:
        """Put an editor's texts before prompts, without those in front where they do not fit.

        Args:
            requests: Their first argument is the prompt.
            fits: Called with a text and the index of its request: whether the window holds them.
        """
        prompts: list[str] = [request.args[0] for request in requests]
        if self._context is None:
            return [_Prompt(prompt, 0) for prompt in prompts]
        found = self._context.context_for(prompts, [case_id_of(request) for request in requests])
        joined = []
        for index, (prompt, texts) in enumerate(zip(prompts, found, strict=True)):
            candidates = ["".join([*texts[start:], prompt]) for start in range(len(texts) + 1)]
            text = next(each for each in candidates if each == prompt or fits(each, index))
            lengths = [len(encode(self.tokenizer, each)) for each in (text, prompt)]
            joined.append(_Prompt(text, lengths[0] - lengths[1]))
        return joined

    def _count(
        self, requests: Sequence[Instance], prompts: Sequence[_Prompt], hits: Sequence[bool]
    ) -> None:
        """Count what was done to these requests: by hooks (`hits`), or to their prompts."""
        if self._context is not None:
            hits = [
                prompt.text != request.args[0]
                for request, prompt in zip(requests, prompts, strict=True)
            ]
        # Without an editor of these kinds there is nothing to be counted.
        for request, prompt, hit in zip(requests, prompts, hits, strict=False):
            self.interventions.count(request, hit, prompt.added)

    def refusal(self, context: str, continuation: str) -> str | None:
        """Return why a continuation cannot be scored, or None if it can."""
        try:
            length = len(self.pair(context, continuation).continuation)
        except InputError as error:
            return str(error)
        # Behind another prompt it can have a token more.
        if length < self.max_length:
            return None
        shown = continuation if len(continuation) <= _SHOWN else f"{continuation[:_SHOWN]}..."
        return f"continuation {shown!r} has {length} tokens, the context window {self.max_length}"

    def pair(self, context: str, continuation: str) -> Pair:
        """Return a request in tokens; an empty context becomes the prefix token."""
        pair = encode_pair(self.tokenizer, context, continuation)
        return pair if pair.context else Pair([self.prefix_token_id], pair.continuation)

    def loglikelihood_rolling(
        self, requests: Sequence[Instance], disable_tqdm: bool = True
    ) -> list[float]:
        """Score whole texts, each token given what fits the window before it.

        Nothing is put before them: they have no prompt. For hooks, what a window has before its
        scored tokens is the prompt.
        """
        pairs: list[Pair] = []
        owners: list[int] = []
        for owner, request in enumerate(requests):
            tokens = self.tok_encode(request.args[0])
            windows = rolling_windows(tokens, self.prefix_token_id, self.max_length)
            pairs += [Pair(*window) for window in windows]
            owners += [owner] * (len(pairs) - len(owners))
        totals = [0.0] * len(requests)
        for owner, score in zip(owners, self.scorer.score(pairs), strict=True):
            totals[owner] += score[0]
        hit = {owner for owner, hit in zip(owners, self.scorer.hits, strict=False) if hit}
        if self._hooks is not None or self._context is not None:
            for owner, request in enumerate(requests):
                self.interventions.count(request, owner in hit)
        return totals

    def generate_until(self, requests: Sequence[Instance], disable_tqdm: bool = True) -> list[str]:
        """Continue texts; what our generator cannot do (beams, ...) is left to the harness's."""
        arguments: list[Mapping[str, Any]] = [cast(Any, request.args)[1] for request in requests]

        def fits(text: str, index: int) -> bool:
            new = int(arguments[index].get("max_gen_toks", self.max_gen_toks))
            return len(encode(self.tokenizer, text)) + new <= self.max_length

        prompts = self._prompts(requests, fits)
        texts: dict[int, str] = {}
        hits: dict[int, bool] = {}
        by_decoding: dict[Decoding, list[int]] = {}
        for index, request in enumerate(requests):
            if set(arguments[index]) <= _DECODING_KEYS:
                by_decoding.setdefault(self._decoding(arguments[index]), []).append(index)
            else:
                texts[index] = self._by_the_harness(request, prompts[index].text)
        for decoding, indices in by_decoding.items():
            ids = [
                encode(self.tokenizer, prompts[index].text) or [self.prefix_token_id]
                for index in indices
            ]
            found = self.generator.generate(ids, decoding)
            texts.update(zip(indices, found, strict=True))
            hits.update(zip(indices, self.generator.hits, strict=False))
        self._count(requests, prompts, [hits[index] for index in sorted(hits)])
        return [texts[index] for index in range(len(requests))]

    def _by_the_harness(self, request: Instance, prompt: str) -> str:
        """Let the harness's own wrapper continue a prompt."""
        arguments = cast(Any, request.args)[1]
        if self._hooks is not None:
            strange = ", ".join(sorted(set(arguments) - _DECODING_KEYS))
            raise InputError(
                f"task {request.task_name}: generation with {strange} is the harness's own, which "
                f"{type(self._hooks).__name__} cannot follow: leave the task out (--skip)"
            )
        changed = copy.copy(request)
        # A broken model has no probabilities to sample from, and the run goes on.
        changed.arguments = (prompt, {**arguments, "remove_invalid_values": True})
        return super().generate_until([changed], disable_tqdm=True)[0]

    def _decoding(self, arguments: Mapping[str, Any]) -> Decoding:
        until = arguments.get("until") or []
        temperature = float(arguments.get("temperature") or 0.0)
        # The harness's default: a temperature above zero asks for sampling.
        sample = bool(arguments.get("do_sample", temperature > 0))
        return Decoding(
            max_new_tokens=int(arguments.get("max_gen_toks", self.max_gen_toks)),
            stop=(until,) if isinstance(until, str) else tuple(stop for stop in until if stop),
            sample=sample,
            top_k=arguments.get("top_k") if sample else None,
            temperature=(temperature or 1.0) if sample else 1.0,
        )
