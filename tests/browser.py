# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A headless Chromium that shows one page, by its own protocol (DevTools) over two pipes.

with Browser() as browser:
browser.show(path, dark=True)
browser.press("Tab")
assert browser.evaluate("document.activeElement.id") == ...
"""

from __future__ import annotations

import base64
import fcntl
import itertools
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

from waiting import PATIENCE

CHROMIUM = shutil.which("chromium")
KEYS = {"Tab": 9, "Enter": 13, "ArrowRight": 39}
# What moved by itself since the page was loaded
WATCH = """window.shifted = 0; new PerformanceObserver(list => {
  for (const entry of list.getEntries()) window.shifted += entry.value;
}).observe({type: "layout-shift", buffered: true})"""

LOADED = """new Promise(done => document.readyState === "complete" ? done(true)
  : addEventListener("load", () => done(true)))"""


class Browser:
    """Use as a context manager."""

    def __enter__(self):
        self.home = tempfile.TemporaryDirectory()
        read, self._to = os.pipe()
        self._from, write = os.pipe()
        # Out of the way of 3 and 4, where the browser takes its orders and answers
        there = [fcntl.fcntl(one, fcntl.F_DUPFD, 10) for one in (read, write)]
        os.close(read)
        os.close(write)
        command = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu"]
        command += ["--remote-debugging-pipe", f"--user-data-dir={self.home.name}", "about:blank"]
        shell = f'exec "$@" 3<&{there[0]} 4>&{there[1]}'
        self._process = subprocess.Popen(
            ["bash", "-c", shell, "bash", *command],
            pass_fds=there,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for one in there:
            os.close(one)
        self._numbers, self._rest, self._session = itertools.count(1), b"", None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        self.call("Page.enable")
        self.call("Page.addScriptToEvaluateOnNewDocument", source=WATCH)
        return self

    def __exit__(self, *exc):
        os.close(self._to)  # it ends with the pipe
        self._process.wait(PATIENCE)
        os.close(self._from)
        self.home.cleanup()

    def call(self, method, **parameters):
        """Give an order and return the answer."""
        number = next(self._numbers)
        order = {"id": number, "method": method, "params": parameters}
        if self._session:
            order["sessionId"] = self._session
        os.write(self._to, json.dumps(order).encode() + b"\0")
        while True:
            message = self._message()
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]

    def _message(self):
        while b"\0" not in self._rest:
            more = os.read(self._from, 1 << 20)
            assert more, "the browser has ended"
            self._rest += more
        text, dummy, self._rest = self._rest.partition(b"\0")
        return json.loads(text)

    def show(self, path, dark=False, width=1280, height=900):
        """Load the file at path."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        self.call("Page.navigate", url=pathlib.Path(path).resolve().as_uri())
        self.evaluate(LOADED)
        self.settle()

    def settle(self):
        """Wait until what was asked for is drawn."""
        drawn = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
        self.evaluate(f"{drawn}.then(() => true)")

    def evaluate(self, expression):
        """Return the value of an expression of JavaScript."""
        asked = {"expression": expression, "returnByValue": True, "awaitPromise": True}
        answer = self.call("Runtime.evaluate", **asked)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def press(self, key):
        """Press a key, as a person does."""
        text = {"text": "\r"} if key == "Enter" else {}
        code = {"key": key, "code": key, "windowsVirtualKeyCode": KEYS[key]}
        self.call("Input.dispatchKeyEvent", type="keyDown", **code, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **code)
        self.settle()

    def picture(self, path, whole=False):
        """Write what is seen, or the whole page, as a PNG."""
        drawn = self.call("Page.captureScreenshot", captureBeyondViewport=whole, format="png")
        pathlib.Path(path).write_bytes(base64.b64decode(drawn["data"]))
