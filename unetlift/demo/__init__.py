"""The page that shifts a picture and shows how still every variant's answer holds; the only room with Gradio."""

import ipaddress
from pathlib import Path

from gradio.utils import get_space
from starlette.middleware import Middleware

from unetlift.demo import blocks, script, style
from unetlift.demo.blocks import build
from unetlift.demo.guard import Guard
from unetlift.errors import UsageError

__all__ = ["build", "launch"]


def launch(
    checkpoints: Path, host: str = "127.0.0.1", port: int | None = None, passwords: Path | None = None, open_browser: bool = False
) -> None:
    """Serves the page until interrupted, and prints its address.

    Args:
        checkpoints: a folder with model folders below it.
        host: an address of this machine's own loopback; any other wants passwords.
        port: by default the first free one from 7860 on.
        passwords: a file with a line `USER:PASSWORD` for each who may come in; by default there is no door.
        open_browser: show the page.

    Raises:
        UsageError: the folder holds no networks, the host is public without passwords, or the port is taken or none.
        ModelFolderError: a network cannot be loaded.
    """
    known = None if passwords is None else _read(passwords)
    if get_space() is None:
        if known is None:
            _refuse_public(host)
    else:  # a Hugging Face Space: its container is published on purpose, and asked by nobody but the proxy before it
        host = "0.0.0.0"  # noqa: S104
    if port is not None and not 1 <= port <= 65535:
        raise UsageError(f"port is {port}; it is a whole number from 1 to 65535.")
    page = build(checkpoints)
    try:
        _, address, _ = page.launch(
            server_name=f"[{host}]" if ":" in host else host,
            server_port=port,
            inbrowser=open_browser,
            prevent_thread_lock=True,
            quiet=True,
            auth=known,
            share=False,  # every switch that opens the page to others or writes visits down is off by name, not by default
            enable_monitoring=False,
            run_history=False,
            mcp_server=False,
            pwa=False,
            ssr_mode=False,
            footer_links=[],
            show_error=False,  # what is the visitor's to mend is said all the same
            max_file_size="128mb",
            app_kwargs={"middleware": [Middleware(Guard)]},
            state_session_capacity=64,
            theme=style.theme(),
            css=style.CSS + "".join(getattr(module, "CSS", "") for _, module in blocks.TABS.values()),
            head=script.HEAD,
        )
    except OSError as error:
        where = f"port {port}" if port else "any port from 7860 on"
        raise UsageError(f"{host} cannot be served on {where} ({' '.join(str(error).split())[:120]}); give another --port.") from error
    print(f"unetlift: the page is at {address} ; end it with Ctrl+C.", flush=True)
    page.block_thread()


def _refuse_public(host: str) -> None:
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise UsageError(
            f"The host {host!r} is not this machine's loopback, and the page has no passwords; use 127.0.0.1 and a tunnel, "
            "or give --passwords FILE with lines USER:PASSWORD, behind a proxy that encrypts."
        )


def _read(passwords: Path) -> list[tuple[str, str]]:
    """Who may come in."""
    try:
        lines = passwords.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{passwords} cannot be read ({error}); it has a line USER:PASSWORD for each who may come in.") from error
    known = [tuple(line.split(":", 1)) for line in lines if line.strip()]
    if not known or not all(len(pair) == 2 and all(pair) for pair in known):
        raise UsageError(f"{passwords} has a line that is not USER:PASSWORD, or none; write one for each who may come in.")
    return known
