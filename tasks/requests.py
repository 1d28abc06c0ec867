"""What is edited and what is asked afterwards: the two records every editor and task shares.

What is edited is normalised here, once: one slot in the prompt, no double spaces, one leading space
on targets. Prompts that only measure lose the space at their end and nothing else: double spaces
inside are the data's, as published. No editor and no task repairs text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, Field, StringConstraints, ValidationError, field_validator

from .errors import InputError
from .zsre.completion import to_completion

SLOT = "{}"


def _single_spaced(text: str) -> str:
    return re.sub(r" {2,}", " ", text)


@dataclass(frozen=True, slots=True)
class EditRequest:
    """One fact to write into a model.

    Build it with `EditRequest.create`, which normalises and checks the text.
    """

    case_id: int
    """Identifier of the record in its data set."""
    prompt: str
    """Template with exactly one `{}`, the subject's place, and no space at its end."""
    subject: str
    """The entity the fact is about."""
    target_new: str
    """The object to write, with one leading space."""
    target_true: str | None = None
    """The object the unedited model should prefer, with one leading space, where one is given."""
    relation_id: str | None = None
    """Wikidata property of the fact, where known."""

    @classmethod
    def create(
        cls,
        *,
        case_id: int,
        prompt: str,
        subject: str,
        target_new: str,
        target_true: str | None = None,
        relation_id: str | None = None,
    ) -> EditRequest:
        """Normalise the text of an edit and check it.

        Raises:
            InputError: the prompt has not exactly one `{}`, or a text is empty.

        Example:
            >>> EditRequest.create(case_id=1, prompt="{}  plays", subject="Pelé ",
            ...                    target_new="chess", target_true=" football").text
            'Pelé plays'
        """
        slots = prompt.count(SLOT)
        if slots != 1:
            raise InputError(
                f"prompt {prompt!r} has {slots} '{{}}' for the subject, not exactly one"
            )
        texts = {"subject": subject, "target_new": target_new, "target_true": target_true}
        for name, text in texts.items():
            if text is not None and not text.strip():
                raise InputError(f"{name} is empty")
        if any("\0" in text for text in (prompt, *texts.values()) if text is not None):
            raise InputError("a text holds a NUL character")
        return cls(
            case_id=case_id,
            prompt=_single_spaced(prompt.rstrip()),
            subject=_single_spaced(subject.strip()),
            target_new=" " + _single_spaced(target_new.strip()),
            target_true=target_true and " " + _single_spaced(target_true.strip()),
            relation_id=relation_id,
        )

    @classmethod
    def from_text(cls, text: str, subject: str, **fields: Any) -> EditRequest:
        """Make the request from a full sentence that contains the subject exactly once.

        Raises:
            InputError: the subject is not in the text, or occurs more than once.
        """
        found = text.count(subject) if subject else 0
        if found != 1:
            raise InputError(
                f"subject {subject!r} is {found} times in the prompt {text!r}, not once"
            )
        return cls.create(prompt=text.replace(subject, SLOT), subject=subject, **fields)

    @property
    def text(self) -> str:
        """The prompt with the subject in its place."""
        return self.prompt.replace(SLOT, self.subject)

    @property
    def subject_span(self) -> tuple[int, int]:
        """Start and end (exclusive) of the subject in `text`, in characters."""
        start = self.prompt.index(SLOT)
        return start, start + len(self.subject)


class Question(NamedTuple):
    """Something else that is asked, with its own answer."""

    prompt: str
    answer: str
    """With one leading space."""


@dataclass(frozen=True, slots=True)
class EditCase:
    """An edit request with the prompts that measure it."""

    request: EditRequest
    paraphrase_prompts: tuple[str, ...] = ()
    """Other wordings of the fact, subject filled in; `target_new` should follow."""
    neighborhood_prompts: tuple[str, ...] = ()
    """The same relation for other subjects; `target_true` should still follow."""
    generation_prompts: tuple[str, ...] = ()
    """Openings about the subject, for free generation."""
    locality: tuple[Question, ...] = ()
    """Unrelated questions (zsRE): their answers should stay what they are."""
    completion_prompt: str | None = None
    """The fact's question (zsRE) as a text to be continued, where the rules can make one."""
    target_new_id: str | None = None
    """Wikidata item of `target_new`, where known."""

    @property
    def case_id(self) -> int:
        return self.request.case_id


class _Target(BaseModel):
    text: str = Field(alias="str")
    id: str | None = None


class _Rewrite(BaseModel):
    prompt: str
    subject: str
    relation_id: str | None = None
    target_new: _Target
    target_true: _Target


class _CounterFactRecord(BaseModel):
    """The structure of the official `counterfact.json` (Meng et al. 2022)."""

    case_id: int = Field(ge=-(2**63), lt=2**63)
    requested_rewrite: _Rewrite
    paraphrase_prompts: list[str] = []
    neighborhood_prompts: list[str] = []
    generation_prompts: list[str] = []

    @field_validator("paraphrase_prompts", "neighborhood_prompts", "generation_prompts")
    @classmethod
    def _not_blank(cls, prompts: list[str]) -> list[str]:
        if any(not prompt.strip() for prompt in prompts):
            raise ValueError("holds an empty prompt")
        return prompts


def _bad_field(error: ValidationError, where: str) -> InputError:
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"]) or "record"
    return InputError(f"{where}: field {field}: {first['msg']}")


def counterfact_case(record: Any, *, where: str) -> EditCase:
    """Read one CounterFact record.

    Args:
        record: The decoded JSON object.
        where: File and line (or position) of the record, for the message.

    Raises:
        InputError: a field is missing or malformed; says where and which.
    """
    try:
        row = _CounterFactRecord.model_validate(record)
        rewrite = row.requested_rewrite
        request = EditRequest.create(
            case_id=row.case_id,
            prompt=rewrite.prompt,
            subject=rewrite.subject,
            target_new=rewrite.target_new.text,
            target_true=rewrite.target_true.text,
            relation_id=rewrite.relation_id,
        )
    except ValidationError as error:
        raise _bad_field(error, where) from None
    except InputError as error:
        raise InputError(f"{where}: field requested_rewrite: {error}") from None
    return EditCase(
        request,
        tuple(prompt.rstrip() for prompt in row.paraphrase_prompts),
        tuple(prompt.rstrip() for prompt in row.neighborhood_prompts),
        tuple(prompt.rstrip() for prompt in row.generation_prompts),
        target_new_id=rewrite.target_new.id,
    )


def edit_row_case(record: Any, *, where: str) -> EditCase:
    """Read one row of `counterfact_all_edits.jsonl`: an edit with one prompt of each kind.

    Raises:
        InputError: a field is missing or malformed; says where and which.
    """
    if not isinstance(record, dict):
        raise InputError(f"{where}: expected a JSON object, found {type(record).__name__}")

    def prompts(kind: str) -> list[Any]:
        prompt = record.get(f"{kind}_prompt")
        return [] if prompt is None else [prompt]

    nested = {
        "case_id": record.get("case_id"),
        "requested_rewrite": {
            "prompt": record.get("prompt"),
            "subject": record.get("subject"),
            "relation_id": record.get("relation_id"),
            "target_new": {"str": record.get("target_new")},
            "target_true": {"str": record.get("target_true")},
        },
        "paraphrase_prompts": prompts("paraphrase"),
        "neighborhood_prompts": prompts("neighborhood"),
        "generation_prompts": prompts("generation"),
    }
    return counterfact_case(nested, where=where)


_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class _ZsreRecord(BaseModel):
    """What is used of MEND's zsRE structure (Mitchell et al. 2022)."""

    subject: _Text
    src: _Text
    rephrase: _Text
    answers: list[_Text] = Field(min_length=1)
    loc: _Text
    loc_ans: _Text


def zsre_case(record: Any, *, where: str, case_id: int) -> EditCase | None:
    """Read one zsRE record (spec section 7).

    Args:
        record: The decoded JSON object.
        where: File and line (or position) of the record, for the message.
        case_id: Its position in the file: the records have no identifier of their own.

    Returns:
        The case, or None if the question does not hold the subject exactly once, so that nothing
        says where the subject is.

    Raises:
        InputError: a field is missing or malformed; says where and which.
    """
    try:
        row = _ZsreRecord.model_validate(record)
        if row.src.count(row.subject) != 1:
            return None
        request = EditRequest.from_text(
            row.src, row.subject, case_id=case_id, target_new=row.answers[0]
        )
    except ValidationError as error:
        raise _bad_field(error, where) from None
    except InputError as error:
        raise InputError(f"{where}: field src: {error}") from None
    question = row.loc if row.loc.endswith("?") else row.loc + "?"
    return EditCase(
        request,
        paraphrase_prompts=(row.rephrase,),
        locality=(Question(question, " " + row.loc_ans),),
        completion_prompt=to_completion(request.text, request.subject),
    )
