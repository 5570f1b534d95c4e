"""The page that shifts a picture and shows how still every variant's answer holds; the only room with Gradio."""

import ipaddress
from pathlib import Path

from unetlift.demo import style
from unetlift.demo.blocks import build
from unetlift.errors import UsageError

__all__ = ["build", "launch"]


def launch(checkpoints: Path, host: str = "127.0.0.1", port: int | None = None, open_browser: bool = False) -> None:
    """Serves the page until interrupted, and prints its address.

    Args:
        checkpoints: a folder with model folders below it.
        host: an address of this machine's own loopback; the page knows no passwords.
        port: by default the first free one from 7860 on.
        open_browser: show the page.

    Raises:
        UsageError: the folder holds no networks, the host is public, or the port is taken or none.
        ModelFolderError: a network cannot be loaded.
    """
    _refuse_public(host)
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
            share=False,  # every switch that opens the page to others or writes visits down is off by name, not by default
            enable_monitoring=False,
            run_history=False,
            mcp_server=False,
            pwa=False,
            ssr_mode=False,
            footer_links=[],
            show_error=True,
            max_file_size="20mb",
            state_session_capacity=64,
            theme=style.theme(),
            css=style.CSS,
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
            f"The host {host!r} is not this machine's loopback, and the page has no passwords; use 127.0.0.1, "
            "and let other machines in through a tunnel or a proxy that asks who they are."
        )
