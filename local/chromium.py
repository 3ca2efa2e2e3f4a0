"""A headless Chromium for tests of pages as people see them on a phone: layout, colours, security rules.

It is driven over the DevTools protocol, which reads the layout that came out and is not subject to the
page's Content-Security-Policy as an injected script would be: https://chromedevtools.github.io/devtools-protocol
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import time
from base64 import b64decode
from pathlib import Path
from types import TracebackType
from typing import Any

import aiohttp

from local.process import Child
from shared.kernel.errors import Unavailable

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--remote-debugging-port=0",
    # A window that it believes to be covered draws nothing, and a screenshot waits for the next drawing.
    "--disable-backgrounding-occluded-windows", "--disable-renderer-backgrounding",
    # Nothing but this machine: names are not looked up at all.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # fmt: skip
_PATIENCE_SECONDS = 60.0
_DRAWING_SECONDS = 15.0
# The share of contrast as WCAG 2.2 reckons it: https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio
_LOOK = """
(() => {
  const rgb = text => text.match(/[\\d.]+/g).map(Number);
  const light = c => c.slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const dark = matchMedia('(prefers-color-scheme: dark)').matches;
  const back = e => {
    for (; e; e = e.parentElement) {
      const c = rgb(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || c[3] > 0) return c;
    }
    return dark ? [18, 18, 18] : [255, 255, 255];
  };
  const contrast = e => {
    const [a, b] = [light(rgb(getComputedStyle(e).color)), light(back(e))];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  };
  const texts = [...document.querySelectorAll('h1,h2,p,small,label,button,a,dt,dd,li,pre,summary')];
  const boxes = [...document.querySelectorAll('body *')].map(e => e.getBoundingClientRect());
  return {
    title: document.title,
    text: document.body.innerText,
    wide: document.documentElement.scrollWidth,
    right: Math.max(...boxes.map(b => b.right)),
    left: Math.min(...boxes.map(b => b.left)),
    smallest: Math.min(...texts.map(e => parseFloat(getComputedStyle(e).fontSize))),
    contrast: Math.min(...texts.map(contrast)),
    targets: [...document.querySelectorAll('button,select,summary,nav a,h2 a')].map(e => e.getBoundingClientRect())
      .map(b => Math.min(b.width, b.height)),
    buttons: [...document.querySelectorAll('button')].map(e => e.innerText),
    radius: document.querySelector('section') && getComputedStyle(document.querySelector('section')).borderRadius,
  };
})()
"""  # noqa: E501


def find_chromium() -> str | None:
    """The browser's path, or None where there is none."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


class Phone:
    """A window of a phone's size on a browser of its own. A context manager, for one thread."""

    def __init__(self, binary: str, folder: Path, *, width: int = 390, height: int = 844) -> None:
        self._size, self._folder = (width, height), folder
        profile = folder / "profile"
        self._port_file = profile / "DevToolsActivePort"
        argv = [binary, *_FLAGS, f"--user-data-dir={profile}", "about:blank"]
        self._child = Child("chromium", argv, log=folder / "chromium.log")
        self._loop = asyncio.new_event_loop()
        self._session: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._number = 0

    def __enter__(self) -> Phone:
        self._child.start()
        try:
            self._loop.run_until_complete(self._connect(self._port()))
            width, height = self._size
            size: dict[str, Any] = {"width": width, "height": height, "deviceScaleFactor": 2, "mobile": True}
            self._call_method("Emulation.setDeviceMetricsOverride", **size)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.run_until_complete(self._disconnect())
        self._loop.close()
        self._child.stop()

    def open(self, url: str) -> None:
        """Go to that address and wait until it is loaded."""
        failed = self._call_method("Page.navigate", url=url).get("errorText")
        if failed:
            raise Unavailable("the page did not open", value=failed)
        self.wait_for("document.readyState === 'complete'")

    def read(self, script: str) -> Any:
        """The value of an expression in the page, or what its promise comes to.

        Raises `Unavailable` while it goes to another page.
        """
        asked: dict[str, Any] = {"expression": script, "returnByValue": True, "awaitPromise": True}
        answer = self._call_method("Runtime.evaluate", **asked)
        if "exceptionDetails" in answer:
            raise Unavailable("the script failed", value=answer["exceptionDetails"].get("text"))
        return answer["result"].get("value")

    def measure_page(self) -> dict[str, Any]:
        """How the page came out: edges and sizes in pixels, the poorest contrast, texts."""
        page: dict[str, Any] = self.read(_LOOK)
        return page

    def wait_for(self, script: str, *, seconds: float = _PATIENCE_SECONDS) -> None:
        """Until the expression is true. Raises `Unavailable`."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with contextlib.suppress(Unavailable):
                if self.read(script):
                    return
            time.sleep(0.05)
        raise Unavailable("the page did not become as expected", value=script)

    def prefer_dark(self) -> None:
        """As a phone at night."""
        dark = {"name": "prefers-color-scheme", "value": "dark"}
        self._call_method("Emulation.setEmulatedMedia", features=[dark])

    def take_screenshot(self, path: Path, *, whole: bool = False) -> None:
        """Write what is seen as a PNG, or the whole page down to its end. Raises `Unavailable`."""
        # It is taken with the next frame. A page that stands still may have none under load, and the answer
        # never comes: then the page is brought to the front, which draws it, and asked again.
        for _ in range(int(_PATIENCE_SECONDS / _DRAWING_SECONDS)):
            with contextlib.suppress(TimeoutError):
                self._call_method("Page.bringToFront", patience=_DRAWING_SECONDS)
                asked: dict[str, Any] = {"format": "png", "captureBeyondViewport": whole}
                taken = self._call_method("Page.captureScreenshot", patience=_DRAWING_SECONDS, **asked)
                path.write_bytes(b64decode(taken["data"]))
                return
        raise Unavailable(
            "chromium took no screenshot", value=f"{_PATIENCE_SECONDS:.0f} s", hint=self._child.tail()
        )

    def _port(self) -> int:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, ValueError, IndexError):
                return int(self._port_file.read_text().splitlines()[0])
            time.sleep(0.05)
        raise Unavailable("chromium did not come up", hint=self._child.tail())

    async def _connect(self, port: int) -> None:
        self._session = aiohttp.ClientSession()
        async with self._session.get(f"http://127.0.0.1:{port}/json/list") as answer:
            pages = [one for one in await answer.json(content_type=None) if one["type"] == "page"]
        address = pages[0]["webSocketDebuggerUrl"]
        self._socket = await self._session.ws_connect(address, max_msg_size=64 << 20)

    async def _disconnect(self) -> None:
        if self._socket is not None:
            await self._socket.close()
        if self._session is not None:
            await self._session.close()

    def _call_method(
        self, method: str, *, patience: float = _PATIENCE_SECONDS, **params: Any
    ) -> dict[str, Any]:
        return self._loop.run_until_complete(asyncio.wait_for(self._answer(method, params), patience))

    async def _answer(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        if self._socket is None:
            raise Unavailable("the browser is not open")
        self._number += 1
        await self._socket.send_str(json.dumps({"id": self._number, "method": method, "params": params}))
        while True:
            reply = await self._socket.receive_json()
            if reply.get("id") != self._number:
                continue  # an event
            if "error" in reply:
                raise Unavailable(f"chromium: {method}", value=reply["error"].get("message"))
            result: dict[str, Any] = reply["result"]
            return result
