# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one error of a CNI operation, with the codes of the specification (SPEC 1.1.0, section 5,
"Error").
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

INCOMPATIBLE_VERSION = 1
UNSUPPORTED_FIELD = 2
UNKNOWN_CONTAINER = 3
INVALID_ENVIRONMENT = 4
IO_FAILURE = 5
DECODING_FAILURE = 6
INVALID_CONFIGURATION = 7
INVALID_NETNS = 8
TRY_AGAIN_LATER = 11
NOT_AVAILABLE = 50
LIMITED_CONNECTIVITY = 51
INTERNAL = 999
# From 100 on, codes are a plugin's own; this is the one of ours.
ALREADY_ATTACHED = 100


class Error(Exception):
    """What a CNI operation fails with.

    code: one of this module's or a plugin's own (100 and up); msg: a sentence; details: more of it,
    if there is more.
    """

    def __init__(self, code: int, msg: str, details: str | None = "") -> None:
        super().__init__(msg)
        self.code = code
        self.msg = msg
        self.details = details or ""

    def within(self, place: str) -> Error:
        """Return this error with the place where it came up put before its message."""
        return Error(self.code, f"{place}: {self.msg}", self.details)

    def with_code(self, code: int) -> Error:
        """Return this error with another code."""
        return Error(code, self.msg, self.details)

    def with_details(self, more: str) -> Error:
        """Return this error with more added to its details."""
        return Error(self.code, self.msg, "; ".join(part for part in (self.details, more) if part))

    def to_dict(self, cni_version: str) -> dict[str, Any]:
        """Return the error object that goes to stdout."""
        error = {"cniVersion": cni_version, "code": self.code, "msg": self.msg}
        if self.details:
            error["details"] = self.details
        return error

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> Error | None:
        """Return the Error of a plugin's error object, or None when the dict is none."""
        code, msg = raw.get("code"), raw.get("msg")
        if (
            isinstance(code, bool)
            or not isinstance(code, int)
            or code <= 0
            or not isinstance(msg, str)
        ):
            return None
        details = raw.get("details") or ""
        return cls(code, msg, details if isinstance(details, str) else str(details))

    def __str__(self) -> str:
        text = f"{self.msg} (CNI error {self.code})"
        return f"{text}: {self.details}" if self.details else text


def io_failure(msg: str, error: OSError) -> Error:
    """Return the Error of what the operating system refused."""
    return Error(IO_FAILURE, msg, error.strerror or str(error))


def as_error(error: Exception, msg: str) -> Error:
    """Return an exception as it is when it is an Error, else as the details of one with msg."""
    if isinstance(error, Error):
        return error
    return Error(INTERNAL, msg, f"{type(error).__name__}: {error}")


def join(errors: list[Error]) -> Error:
    """Return one Error for a non-empty list of them: the first one's code, everybody's words."""
    if len(errors) == 1:
        return errors[0]
    return Error(
        errors[0].code,
        " / ".join(error.msg for error in errors),
        "; ".join(error.details for error in errors if error.details),
    )
