# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Search this machine for secrets that others could read: the journal, what processes were started
with, and files that not only their owner may read.

Ends with 1 where it finds one, or cannot find what it knows to be there.

    secrets_stay.py PRIVATE... -- PLACE...   files and directories that hold secrets, and others

Secrets are the long lines of private keys, tokens and pre-shared keys; the search is for them as
they are and in base64.
"""

from __future__ import annotations

import base64
import os
import pathlib
import subprocess
import sys

CONTROL = "a-secret-that-the-search-must-find-0123456789"
SHORTEST = 32  # characters
NAMES = ("key", "token", "psk")  # which the names of files with secrets end in


def files(roots):
    """Yield the files that are there, and below."""
    for root in map(pathlib.Path, roots):
        for path in [root, *root.rglob("*")]:
            if path.is_file() and not path.is_symlink():
                yield path


def mode(path):
    """Return the permissions of a file, 0 of one that is gone."""
    return path.stat().st_mode if path.exists() else 0


def private(roots):
    """Yield (path, secret), and (path, "") of a file with secrets that others may read."""
    for path in files(roots):
        if path.name.endswith(NAMES):
            if mode(path) & 0o077:
                yield path, ""
            for line in path.read_text("utf-8", "replace").splitlines():
                if len(line) >= SHORTEST and " " not in line:
                    yield path, line


def places(roots):
    """Yield (name, text) of what others may read, or are sent, as journals are."""
    journal = ["journalctl", "--no-pager", "--all", "--output", "export"]
    if os.path.isdir("/run/systemd/journal"):
        subprocess.run(["logger", CONTROL], check=True)
        subprocess.run(["journalctl", "--sync"], check=False)
        yield "the journal", subprocess.run(journal, capture_output=True, check=True).stdout
    open_to_others = (path for path in files(roots) if mode(path) & 0o077)
    for path in [*pathlib.Path("/proc").glob("[0-9]*/cmdline"), *open_to_others]:
        try:
            yield str(path), path.read_bytes()
        except OSError:
            continue  # a process that has ended, a namespace


def forms(secret):
    """Return a secret as it is, and in base64 at any place of a text."""
    encoded = [base64.b64encode(b"x" * shift + secret)[4:-8] for shift in range(3)]
    return [secret, *encoded]


def main(arguments):
    cut = arguments.index("--")
    known, found, searched = {}, set(), 0
    for path, word in private(arguments[:cut]):
        if not word:
            found.add(f"others may read {path}")
        else:
            known.update(dict.fromkeys(forms(word.encode()), path))
    control = CONTROL.encode()
    for name, text in places(arguments[cut + 1 :]):
        searched += 1
        if name == "the journal" and control not in text:
            found.add("the search is blind: the journal lacks what was just said")
        found |= {f"{path} is in {name}" for secret, path in known.items() if secret in text}
    if not known:
        found.add("no secret was found to search for")
    print(f"{len(known)} secrets, {searched} places")
    print("\n".join(sorted(found)))
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
