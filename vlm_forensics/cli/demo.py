"""`vlmf demo`: the web page on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

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
) -> None:
    """Open the page where an image is dropped and its report appears; nothing leaves here."""
    from importlib.util import find_spec

    from vlm_forensics.errors import PrerequisiteError

    if find_spec("gradio") is None:
        raise PrerequisiteError("gradio", "demo")
    from vlm_forensics.detector import Detector
    from vlm_forensics.ui import build_app

    build_app(Detector.from_pretrained(model)).launch(
        server_name=host, server_port=port, share=False
    )
