# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A site's own rules, `multinet_expectations`: what they may say, and whether they hold.

Each is an expression in JMESPath (https://jmespath.org) over documents that playbooks make. Pure,
on the controller: a rule and documents in, sentences out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .._libraries import need
from .._plan.pairs import blocked
from .._plan.sentences import nearest, show
from .variables import near

# What a rule may read -> the playbook that makes it; the plan is there in all of them.
DOCUMENTS = {"plan": "", "report": "verify", "status": "status", "addresses": "addresses"}
KEYS = ("that", "message")

# Nodes of jmespath's syntax tree of which only the first part reads what the whole reads.
_FIRST_READS = (
    "filter_projection",
    "flatten",
    "index_expression",
    "pipe",
    "projection",
    "subexpression",
    "value_projection",
)
_READ_NOTHING = ("expref", "identity", "index", "literal", "slice")
# What jmespath raises about values: its own errors are a ValueError; it does not check all that its
# functions and slices are given.
_NO_ANSWER = (ValueError, TypeError, ArithmeticError)
_TYPES = {str: "a text", list: "a list", dict: "a mapping", type(None): "null"}


def problems(declared: Any) -> list[str]:
    """Return a sentence for each thing that is wrong with multinet_expectations, whatever it is.

    Raises MissingLibraryError without jmespath, unless there is nothing to read.
    """
    if declared == []:
        return []
    if not isinstance(declared, list):
        return [
            f"multinet_expectations is {show(declared)}, not a list; write a list of rules, each"
            " with that and message."
        ]
    need("jmespath")
    return [
        f"multinet_expectations number {number}: {problem}."
        for number, rule in enumerate(declared, 1)
        for problem in _rule_problems(rule)
    ]


def judged(declared: list[dict[str, str]], documents: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return {that, message, holds: bool, problem: a sentence or ""} of each rule that reads
    nothing but these documents (names of DOCUMENTS -> JSON types). The plan's have `blocked`
    too, the pairs that are kept apart.

    declared: rules without problems(). A rule that has no answer does not hold; `problem` says why.
    """
    if not declared:
        return []
    need("jmespath")
    if "isolated" in documents.get("plan", {}):
        documents = dict(
            documents, plan=dict(documents["plan"], blocked=blocked(documents["plan"]))
        )
    return [
        dict(rule, **_judge(rule["that"], documents))
        for rule in declared
        if set(_reads(_parsed(rule["that"]))) <= set(documents)
    ]


def told(judgement: Mapping[str, Any]) -> str:
    """Return the sentence about a rule of judged() that does not hold."""
    why = judgement["problem"] or f"`{judgement['that']}` is false"
    return f"{judgement['message'].rstrip('.')} ({why.rstrip('.')})."


def _rule_problems(rule: Any) -> Iterator[str]:
    if not isinstance(rule, dict):
        yield f"{show(rule)} is not a mapping; write that and message"
        return
    for key in rule:
        if key not in KEYS:
            yield f"{show(key)} is not a key of a rule; {nearest(key, KEYS)}"
    for key, write in (
        ("message", "write the sentence that users read if the rule does not hold"),
        ("that", "write a JMESPath expression that is true if all is well"),
    ):
        value = rule.get(key)
        if not isinstance(value, str) or not value.strip():
            yield f"{key} is {show(value) if key in rule else 'missing'}; {write}"
        elif key == "that":
            yield from _expression_problems(value)


def _expression_problems(expression: str) -> Iterator[str]:
    from jmespath import exceptions, functions

    try:
        tree = _parsed(expression)
    except exceptions.EmptyExpressionError:
        return  # said already
    except exceptions.LexerError as error:
        yield _unreadable(expression, error.lexer_position, error.lexer_value)
        return
    except exceptions.ParseError as error:
        yield _unreadable(expression, error.lex_position, error.token_value)
        return
    known = functions.Functions().FUNCTION_TABLE
    for name, given in _calls(tree):
        if name not in known:
            yield f"{expression!r} calls {name}(), which does not exist; {nearest(name, known)}"
            continue
        signature = known[name]["signature"]
        endless = bool(signature) and bool(signature[-1].get("variadic"))
        if given < len(signature) or (given > len(signature) and not endless):
            yield (
                f"{expression!r} calls {name}() with {given} arguments; write"
                f" {len(signature)}{' or more' if endless else ''}"
            )
    names = sorted(set(_reads(tree)))
    yield from (
        f"{expression!r} reads {show(name)}, which does not exist; {_instead(name)}"
        for name in names
        if name not in DOCUMENTS
    )
    made = [name for name in names if DOCUMENTS.get(name)]
    if not names:
        yield f"{expression!r} reads no document; write one of {', '.join(DOCUMENTS)} into it"
    if len(made) > 1:
        yield (
            f"{expression!r} reads {' and '.join(made)}, which no playbook has together; write"
            " a rule for each"
        )


def _instead(name: str) -> str:
    if name in ("true", "false", "null"):
        return f"write `{name}`, in backticks"
    meant = near(name, DOCUMENTS)
    if meant:
        return f"write {meant}"
    return f"write one of {', '.join(DOCUMENTS)} before it, or a text in single quotes"


def _unreadable(expression: str, position: int | None, value: Any) -> str:
    """position: of jmespath, from 0; null or the end where the expression breaks off."""
    said = f"{expression!r} cannot be read"
    if position is None or position >= len(expression):
        return f"{said}: its end is missing; complete it"
    said += f" at character {position + 1}, {expression[position:]!r}"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f"{said}; write a number in backticks: `{value}`"
    if expression[position] == "=":
        return f"{said}; write == to compare"
    return f"{said}; write a number in backticks, and a text in single quotes"


def _parsed(expression: str) -> Mapping[str, Any]:
    import jmespath

    return jmespath.compile(expression).parsed


def _reads(node: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names that an expression reads of what it is asked about."""
    kind = node["type"]
    if kind == "field":
        yield node["value"]
    elif kind == "current":
        yield "@"
    elif kind not in _READ_NOTHING:
        children = node["children"]
        for child in children[:1] if kind in _FIRST_READS else children:
            yield from _reads(child)


def _calls(node: Any) -> Iterator[tuple[str, int]]:
    """Yield (name, number of arguments) of every function that is called."""
    if not isinstance(node, dict):
        return
    if node["type"] == "function_expression":
        yield node["value"], len(node["children"])
    for child in node["children"]:
        yield from _calls(child)


def _judge(expression: str, documents: Mapping[str, Any]) -> dict[str, Any]:
    import jmespath

    try:
        value = jmespath.search(expression, dict(documents))
    except _NO_ANSWER as error:
        return {
            "holds": False,
            "problem": (
                f"`{expression}` cannot be evaluated: {error}; perhaps a path in it does not exist"
            ),
        }
    if isinstance(value, bool):
        return {"holds": value, "problem": ""}
    shown = _TYPES.get(type(value), f"the number {value}")
    return {
        "holds": False,
        "problem": f"`{expression}` is {shown}, neither true nor false; compare it with something,"
        " for example == `0`",
    }
