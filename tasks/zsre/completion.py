"""Turn zsRE questions into declarative prompts that the answer completes.

The conversion is a table of regular expressions over the question in which the subject is
replaced by one placeholder character, so no rule can match inside or rewrite the subject.
Rules are tried in order; the first match decides. A question no rule covers gives None.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_X = "\ue000"  # private-use character standing for the subject
_PREP_NAMES = (
    "about|after|as|at|by|during|for|from|in|into|near|of|on|out|over|through|to|under|upon|with"
)
_PREPOSITIONS = frozenset(_PREP_NAMES.split("|"))
_PREP = rf"(?:{_PREP_NAMES})"
_BE = r"(?P<be>is|was|are|were)"
_AUX = "is|was|are|were|did|does|do|can|could|would|has|have|had"
_WORD = rf"(?!(?:{_AUX})\b)[\w'/-]+"
_NOUN = rf"(?P<n>(?!of\b){_WORD}(?: {_WORD}){{0,6}}?)"
_ADV = r"(?P<adv>(?:(?:first|last|\w+ly) )?)"
# Nouns that may stand before the name itself ("the film X"); a closed list, because in
# "the country X was from" the noun is what is asked for and belongs to the question.
_APPOSITION = (
    "actor|actress|album|artwork|band|book|character|company|film|game|gene|genus|group|movie"
    "|novel|painting|person|play|player|ship|show|single|singer|song|species|star|team|work"
)
_S = (
    rf"(?P<s>(?:(?:the )?(?:{_APPOSITION}) |the )?{_X}(?: \([^()]*\))?"
    r"(?: (?:project|gene))?(?= |$))"
)
_OF = rf"(?P<o>the (?:[\w-]+ ){{1,3}}of (?:the )?{_X})"
_PARTICIPLE = r"(?:\w+ed|\w+en|\w+wn|made|found|built|held|set|led|won)"
_FINITE = (
    r"(?:[a-z]+ed|began|broadcast|built|contains|gave|has|hosts|had|held|is|led|made|makes"
    r"|manufactures|owns|plays|produces|publishes|ran|sang|was|were|are|won|wrote)"
)
# Slips that are common in the crowd-written questions, repaired so that the prompt is
# grammatical; none of them changes what is asked.
_TYPOS = {
    "commited": "committed", "desigened": "designed", "designor": "designer",
    "ilustrator": "illustrator", "iucn": "IUCN", "liscensed": "licensed",
    "occured": "occurred", "occurr": "occur", "profesisonal": "professional",
    "realeased": "released",
}  # fmt: skip
_REPAIRS: tuple[tuple[str, str], ...] = (
    (r"\bdiseased did\b", "disease did"), (r"\bpremier$", "premiere"),
    (r"\bapart of\b", "a part of"), (r"\binstrument\(s\)", "instrument"),
    (r" company or companies\b", " company"), (r"^who id the\b", "who is the"),
    (r"^what cast members where\b", "what cast members were"),
    (r"\b(is|was) (year|date|name) of\b", r"\1 the \2 of"),
    (r"\bname (?:of )?university\b", "name of the university"),
    (r"\bcountry of original$", "country of origin"),
    (rf"{_X} (mother|father|birth country|cause of death|specialty)\b", rf"{_X}'s \1"),
    (rf"\b(year {_X}) discovered$", r"\1 was discovered"), (rf"\bThe (?={_X})", "the "),
    (rf"(that {_X} belong) to$", r"\1s to"), (rf", ({_X} has been)\b", r" \1"),
    (rf"([a-z]) which ({_X} belongs)$", r"\1 to which \2"),
    (rf"^(where was {_X} born) in$", r"\1"),
)  # fmt: skip
# Simple past of irregular verbs, as far as the auxiliary "did" can hide one in a question.
_PAST = {
    "become": "became", "begin": "began", "build": "built", "come": "came", "do": "did",
    "draw": "drew", "fall": "fell", "fight": "fought", "find": "found", "fly": "flew",
    "get": "got", "give": "gave", "go": "went", "have": "had", "hold": "held", "lead": "led",
    "leave": "left", "lose": "lost", "make": "made", "meet": "met", "occur": "occurred",
    "run": "ran", "sell": "sold", "sing": "sang", "speak": "spoke", "spend": "spent",
    "take": "took", "teach": "taught", "win": "won", "write": "wrote",
}  # fmt: skip
_PARTICIPLES = {"wrote": "written", "sang": "sung", "drew": "drawn"}
_TIME = re.compile(r"\b(?:year|date|day|month|century|decade|time)$")
_PLACE = re.compile(
    r"\b(?:area|channel|city|continent|country|county|location|network|place|planet|province"
    r"|region|state|station|town|village)\b"
)
# Verbs that take no object, so a place asked for without a preposition means "where".
_INTRANSITIVE = re.compile(
    r"\b(?:air|appear|base|born|die|exist|form|found|live|locate|occur|originate|premiere|sit"
    r"|situate)(?:d|s|ed)?\b(?! by)"
)


def _inflect(verb: str, aux: str) -> str:
    """Inflect a base verb as its auxiliary (did, does or do) was inflected."""
    if " or " in verb:  # "did X study or work"
        return " or ".join(_inflect(part, aux) for part in verb.split(" or "))
    if aux == "do":
        return verb
    y_to_i = re.fullmatch(r".*[^aeiou]y", verb)
    if aux == "does":
        if y_to_i or verb == "have":
            return "has" if verb == "have" else verb[:-1] + "ies"
        return verb + ("es" if verb.endswith(("s", "sh", "ch", "x", "z", "o")) else "s")
    if verb in _PAST or verb.endswith("e"):
        return _PAST.get(verb, verb + "d")
    if y_to_i:
        return verb[:-1] + "ied"
    doubled = re.fullmatch(r"[^aeiou]*[aeiou][bdgklmnprt]", verb)  # stop, stopped
    return verb + (verb[-1] if doubled else "") + "ed"


def _relative(noun: str, prep: str | None, clause: str) -> str | None:
    """Build "The <noun> <clause> is" with the relative word that the clause needs."""
    copula = "are" if noun.endswith("members") else "is"
    words = clause.split()
    person = re.search(r"\b(?:person|woman|man|lady|artist|performer|player|singer)\b", noun)
    link = ""
    if words[-1] in _PREPOSITIONS or words[0] == "that":
        pass  # a stranded preposition wins over a doubled fronted one
    elif prep:
        link = f"{prep} {'whom' if person else 'which'} "
    elif words[-1].startswith("belong"):
        link = "to which "
    elif words[-1].startswith("participat") or words[-1] in ("spoken", "written"):
        link = "in which "
    elif _TIME.search(noun):
        pass  # "the year X ended"
    elif _INTRANSITIVE.search(clause):
        if not _PLACE.search(noun):
            return None
        link = "where "
    return f"the {noun} {link}{clause} {copula}"


def _clause(match: re.Match[str]) -> str:
    """Undo do-support: subject, adverb, inflected verb and the rest."""
    return f"{match['s']} {match['adv']}{_inflect(match['v'], match['aux'])}{match['r']}"


def _with_be(match: re.Match[str]) -> str | None:
    noun, subject, be, rest = match["n"], match["s"], match["be"], match["r"].strip()
    if rest not in ("", "of"):
        return _relative(noun, match["p"], f"{subject} {be} {rest}")
    if "'s " in noun:
        return None
    kind = re.fullmatch(r"((?:\w+ )?)(type|kind|sort) of (.+)", noun)
    if kind and not rest:
        article = "an" if kind[3][0] in "aeio" else "a"
        return f"{subject} {be} {article} {kind[3]} of the {kind[1]}{kind[2]}"
    return f"the {noun} of {subject} {be}"


def _after_topic(match: re.Match[str]) -> str | None:
    inner = _apply(match["r"])
    return inner and f"{match['t']}, {inner}"


_WH = r"(?:what|which)"
_FRONT = rf"(?:(?P<p>{_PREP}) )?{_WH} {_NOUN}"
_DO = rf"(?P<aux>did|does|do) {_S} {_ADV}(?P<v>(?!not\b)[a-z]+(?: or [a-z]+)?)"
# How to build the prompt: a template over the named groups, or a function of the match.
_Build = str | Callable[[re.Match[str]], str | None]
_RULES: tuple[tuple[str, _Build], ...] = (
    (r"(?P<t>in \w+), (?P<r>.+)", _after_topic),
    # Already declarative, with the question word left at the end.
    (r"(?P<b>.+ (?:is|was|are|were|by|for|after|as|upon|named)) (?:what|whom?|when|which)", "{b}"),
    (rf"(?P<b>(?:the|player) .+ {_PREP}) (?:a )?{_WH} (?P<n>[\w ]+)", "{b} the {n}"),
    (rf"(?P<b>.*{_X} has) {_WH} (?P<n>\w+)", "{b} the {n}"),
    (r"(?P<b>the .+ (?:is|was))", "{b}"),
    (rf"(?P<b>the (?:[\w-]+ )+of {_X})", "{b} is"),
    # Questions with a construction of their own.
    (rf"whose direction is {_S}", "{s} is under the direction of"),
    (rf"how endangered does the IUCN consider {_S}", "the IUCN considers {s} to be"),
    (rf"is {_S} (?:a )?male or (?:a )?female", "the gender of {s} is"),
    (rf"{_WH} country's citizenship does {_S} hold", "the country whose citizenship {s} holds is"),
    (rf"what level is (?P<b>{_X}'s .+)", "{b} is"),
    (rf"which describes (?P<b>the .+ of {_X})", "{b} is"),
    (rf"what year was it when (?P<b>.*{_X}.*)", "the year when {b} is"),
    (rf"{_WH} (?P<n>year|date) {_BE} (?P<b>the \w+ of {_X})", "the {n} of {b} {be}"),
    (rf"(?P<p>{_PREP}) {_WH} {_NOUN} (?P<m>would|can|could) you (?P<r>find .+)",
     "the {n} {p} which you {m} {r} is"),
    (rf"{_WH} {_NOUN} (?P<m>can|could) you find {_S}", "the {n} where you {m} find {s} is"),
    (rf"what killed {_S}", "{s} was killed by"),
    (rf"what caused (?P<b>{_X}'s death|the death of {_X})", "{b} was caused by"),
    (rf"what led to (?P<b>.*{_X}.*)", "what led to {b} was"),
    # "What is X named after?": the answer follows the stranded preposition.
    (rf"(?:by )?(?:what|whom?) {_BE} (?:{_S}|{_OF}) (?:was )?"
     rf"(?P<r>{_ADV}(?:{_PARTICIPLE} (?:or {_PARTICIPLE} )?)?{_PREP})",
     lambda m: f"{m['s'] or m['o']} {m['be']} {m['r']}"),
    (rf"by whom {_BE} {_S} (?P<r>{_ADV}{_PARTICIPLE})", "{s} {be} {r} by"),
    (rf"what {_BE} {_S} (?P<r>an? \w+ {_PREP})", "{s} {be} {r}"),
    # A noun phrase asked for: "Who is the director of X?". Not "the X" alone or "the X made".
    (rf"what {_BE} (?P<b>the .*{_X}.*) called", "{b} {be} called"),
    (rf"what {_BE} (?P<b>the \w+) called (?P<r>that .*)", "{b} {r} {be} called"),
    (rf"when {_BE} (?P<b>(?:the|{_X}'s) (?:[\w-]+ )*(?:date|year|day)\b.*)", "{b} {be}"),
    (rf"when {_BE} (?P<b>the \w+ of {_S}|{_X}'s \w+)", "the date of {b} {be}"),
    (rf"when did (?P<b>{_X}'s \w+) occur", "the date of {b} is"),
    (rf"(?:what|whom?|which) {_BE} (?!{_S})(?P<b>(?:an?|the) .*{_X}.*|{_X}'s .+)", "{b} {be}"),
    (rf"who {_BE} (?P<r>{_ADV}(?:behind|responsible for|involved (?:in|with)) .*{_X})",
     "the person {r} {be}"),
    (rf"who {_ADV}(?P<v>[a-z]+ed|made|found|built|wrote|sang|drew) {_S}",
     lambda m: f"{m['s']} was {m['adv']}{_PARTICIPLES.get(m['v'], m['v'])} by"),
    (rf"who (?!(?:is|was) {_S}$)(?P<r>(?:{_FINITE}) .*{_X}.*)", "the person who {r} is"),
    # The asked-for noun comes first: "What war did X fight in?", "In what city was X born?".
    (rf"{_FRONT} {_DO}(?P<r>(?: .+)?)", lambda m: _relative(m["n"], m["p"], _clause(m))),
    (rf"{_FRONT} (?P<be>is|was|are|were|can|has(?= .* {_PARTICIPLE}\b)) {_S}(?P<r>.*)", _with_be),
    (rf"{_FRONT} (?P<r>(?:the [\w ]+ of )?{_X} (?:is|was|has|ceased)\b.+)",
     lambda m: _relative(m["n"], m["p"], m["r"])),
    (rf"{_WH} {_NOUN} (?P<r>(?!is where){_ADV}{_FINITE} .*{_X}.*)",
     lambda m: _relative(m["n"], "", f"that {m['r']}")),
    # Times and places without a noun; "the date when" suits a year and a full date alike.
    (rf"when was {_S} born", "the date of birth of {s} is"),
    (rf"when did {_S} die", "the date of death of {s} is"),
    (rf"where {_BE} {_S} from", "the place {s} {be} from is"),
    (rf"when {_DO}(?P<r>(?: .+)?)", lambda m: f"the date when {_clause(m)} is"),
    (rf"when {_BE} {_S} (?P<r>[a-z].*)", "the date when {s} {be} {r} is"),
    (rf"where {_DO}(?P<r>(?: .+)?)", lambda m: f"the place where {_clause(m)} is"),
    (rf"where {_BE} {_S} (?P<r>[a-z].*)", "the place where {s} {be} {r} is"),
    (rf"(?:what|whom?) {_DO}(?P<r>(?: \w+)* {_PREP}|(?<! do))", _clause),
)  # fmt: skip
_COMPILED = tuple((re.compile(pattern), build) for pattern, build in _RULES)


def _apply(text: str) -> str | None:
    """Apply the first rule that matches the whole text."""
    for pattern, build in _COMPILED:
        if match := pattern.fullmatch(text):
            return build.format(**match.groupdict()) if isinstance(build, str) else build(match)
    return None


def to_completion(question: str, subject: str) -> str | None:
    """Convert a zsRE question into a declarative prompt.

    Args:
        question: The question; it must contain the subject exactly once, as whole words.
        subject: The entity the question asks about.

    Returns:
        A prompt that contains the subject and that the answer continues, without a trailing
        space or question mark, or None when no rule covers the question.
    """
    subject = subject.strip()
    text, count = re.subn(rf"(?<!\w){re.escape(subject)}(?!\w)", _X, question)
    if not subject or count != 1:
        return None
    text = re.sub(r"\s+", " ", text).strip().rstrip("?").rstrip()
    text = text[:1].lower() + text[1:]
    text = re.sub(r"\w+", lambda word: _TYPOS.get(word[0], word[0]), text)
    for pattern, replacement in _REPAIRS:
        text = re.sub(pattern, replacement, text)
    prompt = _apply(text)
    if prompt is None or prompt.count(_X) != 1:
        return None
    return (prompt[0].upper() + prompt[1:]).replace(_X, subject)
