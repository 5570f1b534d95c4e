"""Stands before Gradio's server: what the page never asks for is refused before anything is read, fetched or written."""

import json
import traceback
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from pathlib import Path
from time import time
from typing import Any
from urllib.parse import unquote

from gradio.utils import get_upload_folder

from unetlift.demo.parcel import PARCELS

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

API = "/gradio_api/"
ASKED = (
    *("app_id", "cancel", "heartbeat/", "info", "queue/data", "queue/join", "queue/status", "reset", "startup-events", "theme.css"),
    *("upload", "upload_progress", "call/", "run/", "api/", "user", "login_check", "openapi.json"),
)
"""What the page and gradio_client ask for below the API's address. Not among them is what Gradio also has: /file= and /proxy=, which
fetch addresses of the visitor's choice; /process_recording, which knows no largest size; /deep_link, which keeps what visitors see."""
CLOSED = ("/monitoring", "/pwa_icon", "/docs", "/redoc", "/openapi.json")

LOGIN = "/login"
"""Takes a form, the only one that there is, where the page has passwords."""

MOST_OF_A_FORM = 2**12
MOST_UPLOADED = 2**28
"""Bytes of one upload, all its files together; Gradio itself caps each of up to a thousand."""
MOST_ASKED = 2**24
"""Bytes of anything else; a picture may come inside as text."""
MOST_KEPT = 2**31
"""Bytes that uploads may take on the disk."""
LONGEST = 3600
"""Seconds after which what lies in Gradio's folder belongs to nobody any more: what was not taken, and what Gradio has forgotten."""


class Refused(Exception):
    """An HTTP status and one sentence."""

    def __init__(self, status: int, sentence: str):
        super().__init__(sentence)
        self.status = status


class Guard:
    """ASGI middleware; for `launch(app_kwargs={"middleware": [Middleware(Guard)]})`.

    Args:
        app: what is guarded.
    """

    def __init__(self, app: App):
        self.app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            path, length = _path(scope), _length(scope)
            _check_route(path)
            uploads, login = path.removeprefix(API).rstrip("/") == "upload", path.rstrip("/") == LOGIN
            _check_length(length, MOST_OF_A_FORM if login else MOST_UPLOADED if uploads else MOST_ASKED)
            if uploads:
                _make_room(Path(get_upload_folder()), length)
            elif length and not login:
                receive = await _checked(receive)
        except Refused as refused:
            await _answer(send, refused)
        else:
            await self._pass_on(scope, receive, send)

    async def _pass_on(self, scope: Message, receive: Receive, send: Send) -> None:
        """Asks Gradio, which hangs up without a word over a number that is none of its events'."""
        begun = False

        async def sent(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self.app(scope, receive, sent)
        except Exception:  # nobody has a list of what it raises over what strangers make up
            if begun:
                raise
            traceback.print_exc()
            await _answer(send, Refused(500, "The request cannot be answered; ask as the page does."))


def _path(scope: Message) -> str:
    """As Gradio sees it, below wherever the page is mounted."""
    return scope["path"].removeprefix(scope.get("root_path", "").rstrip("/"))


def _check_route(path: str) -> None:
    below = path.removeprefix(API) if path.startswith(API) else None
    closed = any(path == route or path.startswith(route + "/") for route in CLOSED)
    if below is not None:
        asked = any(below.rstrip("/") == route or (route.endswith("/") and below.startswith(route)) for route in ASKED)
        closed = not asked and not _is_parcel(below)
    if closed or path.startswith("/gradio_api/gradio_api"):
        raise Refused(404, "There is nothing here.")


def _is_parcel(below: str) -> bool:
    """Whether it is the address of somebody's answers, which nobody else can guess."""
    if not below.startswith("file="):
        return False
    file = Path(unquote(below.removeprefix("file=")))
    return ".." not in file.parts and file.parent.parent == Path(get_upload_folder()).absolute() / PARCELS


def _length(scope: Message) -> int:
    headers = dict(scope["headers"])
    if b"transfer-encoding" in headers:
        raise Refused(411, "Say how long the request is; what comes without a length is not read.")
    length = headers.get(b"content-length", b"0")
    if not length.isdigit():
        raise Refused(400, "The length of the request is no number.")
    return int(length)


def _check_length(length: int, most: int) -> None:
    if length > most:
        raise Refused(413, f"The request has {length / 2**20:.0f} MB; up to {most / 2**20:.0f} MB are taken.")


def _make_room(folder: Path, length: int) -> None:
    """Removes what belongs to nobody any more; what is cut off while it comes in, Gradio leaves behind."""
    kept = 0
    for file in folder.rglob("*"):
        try:
            found = file.lstat()
            if file.is_file() and time() - found.st_mtime > LONGEST:
                file.unlink()
            else:
                kept += found.st_size
        except FileNotFoundError:  # taken in the meantime
            continue
    if kept + length > MOST_KEPT:
        raise Refused(503, "The server holds as many uploads as it may; try again in a few minutes.")


async def _checked(receive: Receive) -> Receive:
    """Reads the whole request, which is short, and hands it on once the files that it names are uploads."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            break  # hung up; whoever is asked next hears it too
        body, more = body + message.get("body", b""), message.get("more_body", False)
    try:
        asked = json.loads(body) if body else None
    except (ValueError, RecursionError) as error:
        raise Refused(400, "The request is no JSON.") from error
    for path in _files(asked):
        _check_file(path)
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again


def _files(asked: object) -> Iterator[object]:
    """Every path that Gradio could take for a file's, wherever it stands: it looks for them in the values of all components."""
    waiting = [asked]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if {"path", "url"} & set(value):
                yield value.get("path")
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def _check_file(path: object) -> None:
    """A file below Gradio's folder, not one that is fetched from elsewhere or lies elsewhere on this machine."""
    folder = Path(get_upload_folder()).absolute()
    inside = isinstance(path, str) and "\0" not in path and ".." not in Path(path).parts and folder in Path(path).parents
    if not inside:
        raise Refused(400, "The request names a file that was not uploaded here; addresses and files of the server are not read.")


async def _answer(send: Send, refused: Refused) -> None:
    body = json.dumps({"detail": str(refused)}).encode()
    # Closed, because the rest of a long request is not going to be read.
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
