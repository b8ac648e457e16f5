# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ansible-test runs to get pip into its virtual environments, in place of the script it would
download.

ansible-test lets the file be put in its cache by hand; this one needs no other place than the
package index: the first pip in the path, that of requirements.txt's environment, installs the
wanted version for this Python. ensurepip would first install Python's own pip, in each of a dozen
environments, which takes longer than all the rest. It is for a Python that is too new for that pip.
Arguments: those of `pip install`, and get-pip's --no-setuptools and --no-wheel.
"""

from __future__ import annotations

import subprocess
import sys

arguments = [
    argument for argument in sys.argv[1:] if argument not in ("--no-setuptools", "--no-wheel")
]
done = subprocess.run(["pip", "--python", sys.executable, "install", *arguments], check=False)
if done.returncode:
    own = [sys.executable, "-m"]
    subprocess.run([*own, "ensurepip", "--default-pip"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([*own, "pip", "install", *arguments], check=True)
