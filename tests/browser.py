"""A page as Debian's Chromium shows it: what went wrong in it, what it asked for, when it was painted."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import Any

CHROMIUM = shutil.which("chromium")


@dataclass(frozen=True)
class Shown:
    """A page that was opened. `problems`: script errors, and what the console says of the page; `asked`: the
    addresses that it asked for beside its own and what is data; `first_paint_s`; `drawn_s`: when its figures
    were drawn; `too_wide`: pixels beyond the window."""

    problems: list[str]
    asked: list[str]
    first_paint_s: float
    drawn_s: float
    too_wide: int
    picture: bytes


class PageLeft(Exception):
    """The page was left while it was asked."""


_LEAVING = ("Inspected target navigated or closed", "Execution context was destroyed.")


class Browser:
    """Chromium, told over its pipe what to do."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands, self._answers = commands, answers
        self._read = b""
        self._last = 0
        self._events: list[dict[str, Any]] = []
        target = self._tell("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._tell("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._tell(f"{domain}.enable")

    def show(
        self, page: Path, width: int = 900, height: int = 900, dark: bool = False, whole: bool = False
    ) -> Shown:
        """Open a file in a window of so many pixels, and wait for its figures. `whole`: the picture has all
        of the page."""
        self.resize(width, height)
        self.prefer(dark)
        self._events.clear()
        address = page.resolve().as_uri()
        self._tell("Page.navigate", url=address)
        self._wait("Page.loadEventFired")
        paint = 0.0
        for _ in range(100):
            paint = self.value("performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0")
            if paint:
                break
            time.sleep(0.05)
        self.wait_for("!document.querySelector('.chart:not(:has(.main-svg))')")
        drawn = self.value("performance.now()")
        too_wide = self.value("document.documentElement.scrollWidth - innerWidth")
        picture = base64.b64decode(
            self._tell("Page.captureScreenshot", captureBeyondViewport=whole, **self._clip(whole))["data"]
        )
        problems = [
            json.dumps(event["params"])
            for event in self._events
            if event["method"] in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
        ]
        requests = [
            e["params"]["request"]["url"] for e in self._events if e["method"] == "Network.requestWillBeSent"
        ]
        asked = [one for one in requests if one != address and not one.startswith("data:")]
        return Shown(problems, asked, paint / 1000, drawn / 1000, max(0, too_wide), picture)

    def visit(self, address: str, seen: str) -> None:
        """Open an address in a wide window, and wait until the regular expression `seen` finds something in
        its text."""
        self.resize(1400)
        self._events.clear()
        self._tell("Page.navigate", url=address)
        self.wait_for_text(seen)

    def wait_for_text(self, seen: str) -> None:
        """Wait until a regular expression finds something in the text of the page; fail where it does not."""
        found = f"new RegExp({json.dumps(seen)}).test(document.body?.innerText)"
        self.wait_for(found, seconds=30)
        assert self.value(found), self.value("document.body.innerText")

    def picture(self) -> bytes:
        """Return what the window shows, as PNG."""
        return base64.b64decode(self._tell("Page.captureScreenshot")["data"])

    def write(self, text: str) -> None:
        """Type a text where the cursor is."""
        self._tell("Input.insertText", text=text)

    def resize(self, width: int, height: int = 900) -> None:
        """Give the window so many pixels."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._tell("Emulation.setDeviceMetricsOverride", **size)

    def prefer(self, dark: bool) -> None:
        """Choose the scheme of colours, of the page that is open too."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._tell("Emulation.setEmulatedMedia", features=[scheme])

    def wait_for(self, condition: str, seconds: float = 20.0) -> None:
        """Wait until a condition holds in the page; after so many seconds go on."""
        end = time.monotonic() + seconds
        while not self._holds(condition) and time.monotonic() < end:
            time.sleep(0.05)

    def _holds(self, condition: str) -> bool:
        """Return whether it holds in the page, not while that is left for another."""
        try:
            return bool(self.value(condition))
        except PageLeft:
            return False

    def _clip(self, whole: bool) -> dict[str, Any]:
        if not whole:
            return {}
        size = self._tell("Page.getLayoutMetrics")["cssContentSize"]
        return {"clip": {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}}

    def value(self, expression: str) -> Any:
        """Return what JavaScript in the page gives, waited for where it is a promise."""
        given = {"expression": expression, "returnByValue": True, "awaitPromise": True}
        found = self._tell("Runtime.evaluate", **given)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def _tell(self, method: str, **params: Any) -> dict[str, Any]:
        self._last += 1
        message = {"id": self._last, "method": method, "params": params}
        if hasattr(self, "_session"):
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._hear()
            if answer.get("id") == self._last:
                if (said := answer.get("error", {}).get("message", "")) in _LEAVING:
                    raise PageLeft(said)
                assert "error" not in answer, answer
                return dict(answer["result"])
            self._events.append(answer)

    def _wait(self, method: str) -> None:
        while not any(event.get("method") == method for event in self._events):
            self._events.append(self._hear())

    def _hear(self) -> dict[str, Any]:
        while b"\0" not in self._read:
            part = os.read(self._answers, 1 << 20)
            assert part, "Chromium has ended"
            self._read += part
        message, _, self._read = self._read.partition(b"\0")
        return dict(json.loads(message))


@contextmanager
def browser(seconds: float = 60) -> Iterator[Browser]:
    """Start Chromium without a window, and end it, after so many seconds whatever it does."""
    assert CHROMIUM is not None
    ours_in, its_out = os.pipe()
    its_in, ours_out = os.pipe()
    with tempfile.TemporaryDirectory() as profile:
        command = (
            f'exec "$0" --headless --no-sandbox --disable-gpu --remote-debugging-pipe --user-data-dir="$1" '
            f"--no-first-run --hide-scrollbars 3<&{its_in} 4>&{its_out}"
        )
        process = subprocess.Popen(
            ["bash", "-c", command, CHROMIUM, profile], pass_fds=(its_in, its_out), start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "TMPDIR": profile},
        )  # fmt: skip
        for end in (its_in, its_out):
            os.close(end)

        def end_it() -> None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

        late = Timer(seconds, end_it)
        late.start()
        try:
            yield Browser(ours_out, ours_in)
        finally:
            late.cancel()
            end_it()
            process.wait()
            for end in (ours_in, ours_out):
                os.close(end)
            time.sleep(0.2)  # its children are gone, and the profile with them
