# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ansible-test runs to get pip into its virtual environments, in place of the script it would
download.

ansible-test lets the file be put in its cache by hand; this one needs no other place than the
package index: Python brings a pip of its own (ensurepip), and that one installs the wanted version
from there.
Arguments: those of `pip install`, and get-pip's --no-setuptools and --no-wheel.
"""

from __future__ import annotations

import subprocess
import sys

subprocess.run(
    [sys.executable, "-m", "ensurepip", "--default-pip"], check=True, stdout=subprocess.DEVNULL
)
arguments = [
    argument for argument in sys.argv[1:] if argument not in ("--no-setuptools", "--no-wheel")
]
subprocess.run([sys.executable, "-m", "pip", "install", *arguments], check=True)
