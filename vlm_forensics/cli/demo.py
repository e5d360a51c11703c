"""`vlmf demo`: the web page on this machine."""

from __future__ import annotations

import ipaddress
import signal
import threading
from typing import Annotated

import typer

from vlm_forensics.cli import console

EPILOG = """\b
Examples:
  vlmf demo
  vlmf demo --port 8080 --model ./my-model
"""


def demo(
    host: Annotated[
        str, typer.Option(help="Address to listen on; the default is reachable only from here.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 7860,
    model: Annotated[
        str, typer.Option(envvar="VLMF_MODEL", help="Name or folder of the model.")
    ] = "vlmf-mini",
    no_rationale: Annotated[
        bool,
        typer.Option("--no-rationale", help="Skip the language model: verdict and mask only."),
    ] = False,
) -> None:
    """Serve the page where an image is dropped and its report appears; nothing leaves here."""
    from importlib.util import find_spec

    from vlm_forensics.errors import PrerequisiteError

    if find_spec("gradio") is None:
        raise PrerequisiteError("gradio", "demo")
    from vlm_forensics import ui

    def load() -> ui.Examiner:
        from vlm_forensics.detector import Detector

        return Detector.from_pretrained(model, rationale=not no_rationale)

    with ui.serve(load, host=host, port=port) as address:
        console.note(f"serving {address} (Ctrl+C ends it)")
        if not _is_loopback(host):
            console.note(f"anyone who can reach {host} can use this page; it asks for no password")
        _wait()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _wait() -> None:
    """Until Ctrl+C or SIGTERM, which is how this command ends and no failure."""
    # Without this, `kill` and containers would leave the uploads behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        return
