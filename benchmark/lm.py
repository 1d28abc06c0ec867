"""The model as lm-evaluation-harness sees it: live weights under a fast scorer."""

from __future__ import annotations

from collections.abc import Sequence

from ..tasks.tokenization import Pair, encode_pair
from .lmeval import HFLM, Instance, quiet
from .model import LoadedModel
from .scoring import Score, Scorer


class SequentialEditLM(HFLM):
    """An lm-eval model over weights that an editor changes between calls.

    The harness's own wrapper keeps a reference to the model, so every call sees the weights as
    they are. Log-likelihoods come from our scorer and carry their token counts.

    Args:
        loaded: The model in memory.
        batch_tokens: Tokens run at a time.
    """

    def __init__(self, loaded: LoadedModel, *, batch_tokens: int = 4096) -> None:
        with quiet():
            super().__init__(
                pretrained=loaded.model,
                tokenizer=loaded.tokenizer,
                batch_size=16,
                softmax_dtype="float32",
            )
        self.scorer = Scorer(loaded.model, max_length=self.max_length, batch_tokens=batch_tokens)

    def loglikelihood(self, requests: Sequence[Instance], disable_tqdm: bool = True) -> list[Score]:
        """Score (context, continuation) requests; an empty context becomes the prefix token."""
        assert self.cache_hook.dbdict is None, "an answer cache would return pre-edit answers"
        return self.scorer.score([self._pair(*request.args) for request in requests])

    def _pair(self, context: str, continuation: str) -> Pair:
        pair = encode_pair(self.tokenizer, context, continuation)
        return pair if pair.context else Pair([self.prefix_token_id], pair.continuation)
