"""The web page on this machine: drop an image, read its report.

    with serve(lambda: Detector.from_pretrained(), port=7860) as address:
        ...

The page shows the same HTML report that `vlmf explain --html` writes, inside a frame without any
rights: text from a hostile image that slipped through the escaping could still not run, load
anything or reach the page around it.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from html import escape
from importlib.resources import files as resources
from typing import TYPE_CHECKING, Any, Final, Protocol

import gradio as gr

from vlm_forensics.errors import VlmfError
from vlm_forensics.exporting import files, html, wording
from vlm_forensics.image import DEFAULT_LIMITS, EvidenceImage

if TYPE_CHECKING:
    from vlm_forensics.detector import Examination

QUEUE: Final = 16
"""Images that may wait; one more is told to come back."""
KEPT_SECONDS: Final = 300
"""An uploaded file is deleted when it is older than this."""

_LOG = logging.getLogger(__name__)
_TITLE = "vlm_forensics"
_PRIVACY = (
    "Images are examined on the computer that runs this page and sent nowhere else; "
    "uploads are deleted after a few minutes."
)
_PROMPT = "Image (or paste one with Ctrl+V)"
_SANS = ("system-ui", "Segoe UI", "DejaVu Sans", "sans-serif")
_MONO = ("ui-monospace", "DejaVu Sans Mono", "monospace")
_SAVE_JSON = "(text) => vlmfSave('json', text)"
_SAVE_HTML = "() => vlmfSave('html')"


class Examiner(Protocol):
    """What the page needs of a detector."""

    def examine(self, image: EvidenceImage) -> Examination:
        """Everything found on this image."""
        ...


class _Desk:
    """Answers one upload after another; the detector is loaded when the first image was read."""

    def __init__(self, factory: Callable[[], Examiner]) -> None:
        self._factory = factory

    @cached_property
    def _detector(self) -> Examiner:
        return self._factory()  # one that raises is not kept, so the next image tries again

    def answer(
        self,
        path: str,
        progress: gr.Progress = gr.Progress(),  # noqa: B008  # how Gradio hands it over
    ) -> tuple[str, str, Any, Any, None]:
        """The page part, the report as JSON, both buttons' state and the emptied upload field."""
        try:
            examination = self._examine(path, progress)
        except VlmfError as error:
            return *_refusal(error), None
        except Exception as error:  # the last line of defence: the page never goes blank
            _LOG.exception("an image could not be examined")
            defect = VlmfError("unexpected", type(error).__name__, hint="see the terminal")
            return *_refusal(defect), None
        shown = gr.update(visible=True)
        return _frame(examination), examination.report.to_json(), shown, shown, None

    def _examine(self, path: str, progress: gr.Progress) -> Examination:
        progress((0, 3), desc="Reading the file", unit="steps")
        image = EvidenceImage.open(path)
        if "_detector" not in self.__dict__:
            progress((1, 3), desc="Loading the model, slow the first time", unit="steps")
        detector = self._detector
        progress((2, 3), desc="Examining the image", unit="steps")
        return detector.examine(image)


def _refusal(error: VlmfError) -> tuple[str, str, Any, Any]:
    """The error in the words of the command line; the last report must not stay beside it."""
    hidden = gr.update(visible=False)
    hint = f"<p>hint: {escape(wording.clean(error.hint))}</p>" if error.hint else ""
    panel = (
        f'<div class="refusal" role="alert"><p><strong>error[{escape(error.code)}]</strong> '
        f"{escape(wording.clean(error.message))}</p>{hint}</div>"
    )
    return _inert(panel), "", hidden, hidden


def _frame(examination: Examination) -> str:
    """The report in a frame of its own origin, which may run the report's script and no more."""
    key = escape(files.key(examination.report.image))
    page = _inert(escape(html.page(examination)))
    return (
        f'<iframe class="report" title="Report" data-key="{key}" sandbox="allow-scripts" '
        f'referrerpolicy="no-referrer" srcdoc="{page}"></iframe>'
    )


def _inert(text: str) -> str:
    """HTML whose text cannot be taken for a placeholder of Gradio's HTML templates."""
    return text.replace("$", "&#36;").replace("{", "&#123;").replace("}", "&#125;")


def build_app(detector_factory: Callable[[], Examiner]) -> gr.Blocks:
    """The page. Nothing is loaded, opened or started by building it.

    Args:
        detector_factory: Called once, when the first readable image has arrived; a call that raises
            is repeated for the next image. A `VlmfError` from it is shown as the page's answer.
    """
    desk = _Desk(detector_factory)
    with gr.Blocks(
        title=_TITLE, analytics_enabled=False, delete_cache=(60, KEPT_SECONDS), fill_width=False
    ) as app:
        gr.HTML(
            f"<h1>{_TITLE}</h1><p>Is this image real, synthetic or tampered, where, and on what "
            f'evidence?</p><p class="caveat"><strong>{wording.CAVEAT}</strong> {_PRIVACY}</p>'
        )
        # A plain file field: the image field would open the file in this process, unprotected.
        upload = gr.File(label=_PROMPT, type="filepath", height=150, elem_id="image")
        with gr.Row():
            save_json = gr.Button("Download JSON", visible=False, size="sm")
            save_html = gr.Button("Download HTML report", visible=False, size="sm")
        report = gr.HTML(elem_id="report", min_height=120)
        as_json = gr.Textbox(visible=False)
        upload.upload(
            desk.answer,
            upload,
            [report, as_json, save_json, save_html, upload],
            api_name="examine",
            api_visibility="undocumented",
            concurrency_limit=1,
            show_progress_on=report,
        )
        # Saved by the browser out of what it already has: no report lies on a disk of ours.
        save_json.click(None, as_json, js=_SAVE_JSON, api_visibility="private")
        save_html.click(None, js=_SAVE_HTML, api_visibility="private")
    app.queue(max_size=QUEUE, default_concurrency_limit=1, api_open=False)
    return app


@contextmanager
def serve(
    detector_factory: Callable[[], Examiner], *, host: str = "127.0.0.1", port: int = 7860
) -> Iterator[str]:
    """Serve the page as long as the context lasts; its temporary files go with it.

    Yields:
        The page's address.

    Raises:
        VlmfError: port_unusable.
    """
    with tempfile.TemporaryDirectory(prefix="vlmf-demo-") as folder:  # mode 0700
        os.environ["GRADIO_TEMP_DIR"] = folder
        app = build_app(detector_factory)
        try:
            _, address, _ = app.launch(server_name=host, server_port=port, **_launch_settings())
        except OSError:
            raise VlmfError(
                "port_unusable",
                f"the page cannot be served on {host} port {port}",
                hint="another program may use it; choose another with --port",
            ) from None
        try:
            yield address.rstrip("/")
        finally:
            app.close(verbose=False)
            os.environ.pop("GRADIO_TEMP_DIR", None)


def _launch_settings() -> dict[str, Any]:
    """Everything that could reach out, keep data or show more than the page is off."""
    return {
        "share": False,
        "show_error": False,
        "ssr_mode": False,
        "mcp_server": False,
        "pwa": False,
        "enable_monitoring": False,
        "run_history": False,
        "strict_cors": True,
        "allowed_paths": [],
        "max_file_size": DEFAULT_LIMITS.max_bytes,
        "footer_links": [],
        "quiet": True,
        "prevent_thread_lock": True,
        "theme": _theme(),
        "css": _resource("ui.css"),
        "head": f"<script>{_resource('ui.js')}</script>",
    }


def _resource(name: str) -> str:
    return resources("vlm_forensics").joinpath(name).read_text(encoding="utf-8")


def _theme() -> gr.themes.Base:
    """The report's colours, and fonts of the system: the usual themes ask a server for theirs."""
    return gr.themes.Base(primary_hue="blue", font=_SANS, font_mono=_MONO).set(
        body_background_fill="#fbfbfa",
        body_background_fill_dark="#15181c",
        body_text_color="#1b1f24",
        body_text_color_dark="#e8eaed",
        block_background_fill="#ffffff",
        block_background_fill_dark="#1d2126",
        border_color_primary="#d9dce0",
        border_color_primary_dark="#363c44",
    )
