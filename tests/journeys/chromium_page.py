"""One page of a real Chromium: what a person does with it, and what it asked for meanwhile."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.journeys.chromium_pipe import CannotDo, Json, Pipe

WIDTH, HEIGHT = 1280, 800

_TEXT = "() => (document.body?.innerText ?? '')"
# The middle of the element, when a click there meets it and nothing that lies over it.
_POINT = """
selector => {
  const found = document.querySelector(selector);
  if (!found) return null;
  found.scrollIntoView({block: 'center', behavior: 'instant'});
  const box = found.getBoundingClientRect();
  const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
  return found.contains(document.elementFromPoint(x, y)) ? [x, y] : null;
}
"""


class Page:
    """A page in a browser context of its own.

    `asked`: the address of every request, also of its frames, workers and sockets. `refused`: each
    that got a status of 400 or more, was blocked or failed, as `403 POST http://...`. `errors`:
    what no script caught, and breaches of the page's security policy. A test may clear them.
    """

    def __init__(self, pipe: Pipe, context: str) -> None:
        self.asked: list[str] = []
        self.refused: list[str] = []
        self.errors: list[str] = []
        self._pipe = pipe
        self._context = context
        self._requests: dict[str, str] = {}
        self._documents: dict[str, int] = {}  # Their statuses, by Chromium's id of each load.
        self._loaded: set[str] = set()
        self._pretended: dict[str, str] = {}
        target = pipe.call(
            "Target.createTarget", url="about:blank", browserContextId=context, newWindow=True
        )["targetId"]
        attached = pipe.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = str(attached["sessionId"])
        self._frame = str(self._call("Page.getFrameTree")["frameTree"]["frame"]["id"])
        self._watch()

    # -- what a person does ---------------------------------------------------------------------

    def visit(self, url: str) -> int:
        """Go to an address and wait until it has loaded; return the document's status.

        It is 0 where no document was asked for: another place (`#...`) of the same page.
        """
        answer = self._call("Page.navigate", url=url)
        load = answer.get("loaderId")
        if load is None:
            return 0
        if load not in self._documents:
            assert "errorText" not in answer, f"{url}: {answer['errorText']}"
        return self._wait_for_document(lambda: load, url)

    def follow(self, action: Callable[[], object]) -> int:
        """Do what leads to another document, and wait until that has loaded; return its status."""
        before = len(self._documents)
        action()
        return self._wait_for_document(
            lambda: [*self._documents][-1] if len(self._documents) > before else None,
            "another document",
        )

    def show(self, html: str) -> None:
        """Put something else in the place of the document, from nowhere."""
        self._call("Page.setDocumentContent", frameId=self._frame, html=html)

    def click(self, selector: str) -> None:
        """Click with the mouse on the first element of a CSS selector, once it can be hit."""
        x, y = self.wait_until(lambda: self.run(_POINT, selector), f"`{selector}` to click on")
        where = {"x": x, "y": y, "button": "left", "clickCount": 1}
        for kind in ("mousePressed", "mouseReleased"):
            self._call("Input.dispatchMouseEvent", type=kind, **where)

    def text(self) -> str:
        """Return all the text that shows, as a reader would copy it."""
        return str(self.run(_TEXT))

    def wait_for_text(self, text: str) -> None:
        """Wait until `text` shows somewhere on the page, in whatever case and line breaks."""
        self.wait_until(lambda: _plain(text) in _plain(self.text()), f"the text `{text}`")

    def wait_until(self, seen: Callable[[], Any], what: str) -> Any:
        """Wait until `seen()` is truthy, and return that; what it cannot do yet is tried again."""
        said: list[str] = []

        def look() -> Any:
            try:
                return seen()
            except CannotDo as err:
                said[:] = [str(err)]  # Passes, when the page is being left for another.
                return None

        try:
            return self._pipe.wait_for(look, what)
        except AssertionError as err:
            err.add_note(f"refused: {self.refused}; errors: {self.errors}; last: {said}")
            raise

    def run(self, function: str, *arguments: Any) -> Any:
        """Call a function of JavaScript in the page; return what it, or its promise, comes to.

        Arguments and result are JSON. Raises CannotDo for what it throws, or if the page is left.
        """
        call = f"({function})({', '.join(map(json.dumps, arguments))})"
        answer = self._call(
            "Runtime.evaluate", expression=call, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in answer:
            raise CannotDo(_said(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def resize(self, width: int, height: int) -> None:
        """Make the window as large as this, in pixels: a phone is 390 x 844."""
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def screenshot(self, path: Path) -> Path:
        """Write what the window shows as a PNG file."""
        taken = self._call("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(taken["data"]))
        return path

    def cookies(self) -> list[Json]:
        """Return every cookie of this browser context, of whatever host."""
        found = self._pipe.call("Storage.getCookies", browserContextId=self._context)
        return list(found["cookies"])

    def pretend(self, addresses: str, html: str) -> None:
        """Answer each address like `http://evil.example/*` with a page, and ask nobody for it."""
        self._pretended[addresses] = html
        patterns = [{"urlPattern": each} for each in self._pretended]
        self._call("Fetch.enable", patterns=patterns)

    # -- what Chromium says ---------------------------------------------------------------------

    def _watch(self) -> None:
        self._pipe.listen(self._session, self._note)
        for domain in ("Page", "Network", "Runtime", "Log"):
            self._call(f"{domain}.enable")
        self._call("Page.setLifecycleEventsEnabled", enabled=True)
        self.resize(WIDTH, HEIGHT)
        # Of several pages, one would have the focus, and the others' timers go slowly.
        self._call("Emulation.setFocusEmulationEnabled", enabled=True)
        self._attach_parts(self._session)

    def _attach_parts(self, session: str) -> None:
        """Watch its workers and the frames of other sites too, from their first request on."""
        self._pipe.send(
            "Target.setAutoAttach",
            session,
            autoAttach=True,
            waitForDebuggerOnStart=True,
            flatten=True,
        )

    def _note(self, event: str, told: Json) -> None:
        match event:
            case "Target.attachedToTarget":
                self._watch_part(told["sessionId"])
            case "Page.lifecycleEvent" if told["name"] == "load":
                self._loaded.add(told["loaderId"])
            case "Runtime.exceptionThrown":
                self.errors.append(_said(told["exceptionDetails"]))
            case "Log.entryAdded" if told["entry"]["source"] == "security":
                self.errors.append(told["entry"]["text"])
            case "Fetch.requestPaused":
                self._answer_instead(told)
            case _ if event.startswith("Network."):
                self._note_traffic(event, told)

    def _watch_part(self, session: str) -> None:
        self._pipe.listen(session, self._note)
        for domain in ("Network", "Runtime", "Log"):
            self._pipe.send(f"{domain}.enable", session)
        self._attach_parts(session)
        self._pipe.send("Runtime.runIfWaitingForDebugger", session)

    def _note_traffic(self, event: str, told: Json) -> None:
        match event.removeprefix("Network."):
            case "requestWillBeSent":
                self._note_request(told, told["request"]["method"], told["request"]["url"])
            case "webSocketCreated":
                self._note_request(told, "GET", told["url"])
            case "responseReceived":
                self._note_answer(told)
            case "webSocketHandshakeResponseReceived":
                self._note_status(told, told["response"]["status"])
            case "loadingFailed" if not told.get("canceled"):
                self._refuse(told, told.get("blockedReason") or told["errorText"])

    def _note_request(self, told: Json, method: str, url: str) -> None:
        self.asked.append(url)
        self._requests[told["requestId"]] = f"{method} {url}"

    def _note_answer(self, told: Json) -> None:
        status = told["response"]["status"]
        if told["type"] == "Document" and told.get("frameId") == self._frame:
            self._documents[told["loaderId"]] = status
        self._note_status(told, status)

    def _note_status(self, told: Json, status: int) -> None:
        if status >= 400:
            self._refuse(told, str(status))

    def _refuse(self, told: Json, reason: str) -> None:
        self.refused.append(
            f"{reason} {self._requests.get(told['requestId'], 'an unknown request')}"
        )

    def _answer_instead(self, told: Json) -> None:
        url = told["request"]["url"]
        html = next(
            html for each, html in self._pretended.items() if url.startswith(each.rstrip("*"))
        )
        self._pipe.send(
            "Fetch.fulfillRequest",
            self._session,
            requestId=told["requestId"],
            responseCode=200,
            responseHeaders=[{"name": "content-type", "value": "text/html; charset=utf-8"}],
            body=base64.b64encode(html.encode()).decode(),
        )

    def _call(self, method: str, **parameters: Any) -> Json:
        return self._pipe.call(method, self._session, **parameters)

    def _wait_for_document(self, load: Callable[[], str | None], what: str) -> int:
        self.wait_until(lambda: load() in self._loaded, what)
        return self._documents.get(load() or "", 0)


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()


def _said(details: Json) -> str:
    return str(details.get("exception", {}).get("description") or details["text"])
