"""A headless Chromium, driven through ChromeDriver's own protocol (W3C WebDriver)."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--window-size=1400,1200",
]  # fmt: skip


class Browser:
    """One page in one browser; used as a context manager."""

    def __init__(self) -> None:
        chromium = shutil.which("chromium") or shutil.which("chromium-browser")
        driver = shutil.which("chromedriver")
        if chromium is None or driver is None:
            pytest.skip("Chromium and ChromeDriver are not installed (Debian: chromium-driver)")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._url = f"http://127.0.0.1:{port}/session"
        self._driver = subprocess.Popen(
            [driver, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        options = {"binary": chromium, "args": FLAGS}
        wanted = {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}}
        for _ in range(100):
            try:
                session = self._ask("POST", "", wanted)
                break
            except urllib.error.URLError as problem:
                if isinstance(problem, urllib.error.HTTPError):
                    message = problem.read().decode()
                    self._driver.kill()
                    self._driver.wait()
                    raise RuntimeError(message) from None
                time.sleep(0.1)
        else:
            raise RuntimeError("ChromeDriver did not answer within 10 seconds")
        self._url += f"/{session['sessionId']}"

    def open(self, page: Path, fragment: str = "") -> None:
        self._ask("POST", "/url", {"url": page.as_uri() + fragment})

    def run(self, script: str) -> Any:
        """What a JavaScript function body returns."""
        return self._ask("POST", "/execute/sync", {"script": script, "args": []})

    def text_of(self, element: str) -> str:
        """The text of the element of this id."""
        return str(self.run(f"return document.getElementById('{element}').textContent"))

    def wait_for(self, condition: str, seconds: float = 20) -> Any:
        """Wait until a JavaScript expression is true, and return it."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if value := self.run(f"return {condition}"):
                return value
            time.sleep(0.05)
        raise TimeoutError(f"{condition} did not become true within {seconds} seconds")

    def click(self, x: float, y: float) -> None:
        """Press and release the mouse at a point of the window."""
        steps = [
            {"type": "pointerMove", "duration": 50, "x": round(x), "y": round(y)},
            {"type": "pause", "duration": 200},
            {"type": "pointerDown", "button": 0},
            {"type": "pointerUp", "button": 0},
        ]
        mouse = {"type": "pointer", "id": "mouse", "actions": steps}
        self._ask("POST", "/actions", {"actions": [mouse]})

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Press the mouse at one point of the window and release it at another."""
        places = [{"x": round(x), "y": round(y)} for x, y in (start, end)]
        steps = [
            {"type": "pointerMove", "duration": 0, **places[0]},
            {"type": "pointerDown", "button": 0},
            {"type": "pointerMove", "duration": 100, **places[1]},
            {"type": "pointerUp", "button": 0},
        ]
        mouse = {"type": "pointer", "id": "mouse", "actions": steps}
        self._ask("POST", "/actions", {"actions": [mouse]})

    def press(self, *keys: str) -> None:
        """Press and release keys, one after the other, where the focus is."""
        steps = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        keyboard = {"type": "key", "id": "keyboard", "actions": steps}
        self._ask("POST", "/actions", {"actions": [keyboard]})

    def resize(self, width: int, height: int) -> None:
        """Give the page the size of another screen."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        command = {"cmd": "Emulation.setDeviceMetricsOverride", "params": size}
        self._ask("POST", "/goog/cdp/execute", command)

    def screenshot(self) -> bytes:
        return base64.b64decode(self._ask("GET", "/screenshot"))

    def _ask(self, method: str, path: str, values: Any = None) -> Any:
        request = urllib.request.Request(
            self._url + path,
            method=method,
            data=None if values is None else json.dumps(values).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._ask("DELETE", "")
        finally:
            self._driver.terminate()
            self._driver.wait(timeout=10)
