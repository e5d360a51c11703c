import hashlib
import io
import json
import re
import socket
from html import unescape

import doubles
import httpx
import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

gr = pytest.importorskip("gradio")

from gradio_client import Client, handle_file  # noqa: E402

from vlm_forensics import ui  # noqa: E402
from vlm_forensics.errors import InputError, VlmfError  # noqa: E402
from vlm_forensics.image import EvidenceImage  # noqa: E402
from vlm_forensics.report import Report  # noqa: E402

# Gradio counts its own queue with an option that pandas is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:.*no_silent_downcasting")


class Factory:
    """Hands out the stub detector and counts how often it was asked."""

    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return doubles.Detector.from_pretrained()


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@pytest.fixture(scope="module")
def factory():
    return Factory()


@pytest.fixture(scope="module")
def address(factory):
    with ui.serve(factory, port=free_port()) as address:
        yield address


@pytest.fixture(scope="module")
def examine(address):
    page = Client(address, verbose=False, analytics_enabled=False)
    return lambda path: page.predict(handle_file(path), api_name="/examine")


def noise(size=(96, 64)):
    pixels = np.random.default_rng(5).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return Image.fromarray(pixels)


def png_with_metadata(path):
    text = PngInfo()
    text.add_text("Software", "an editor", zip=True)
    noise().save(path, pnginfo=text, compress_level=1)
    return path


def rotated_jpeg(path):
    exif = Image.Exif()
    exif[274] = 6
    noise().save(path, exif=exif, quality=71, subsampling=2)
    return path


def framed(shown):
    """The report page inside the frame."""
    return unescape(re.search(r'srcdoc="([^"]*)"', shown)[1])


# --- through the running page ------------------------------------------------------------------


def test_a_file_that_is_no_image_is_refused_like_on_the_command_line(examine, factory, tmp_path):
    (tmp_path / "bad.jpg").write_text("no image at all")
    before = factory.calls
    shown, report, *_ = examine(tmp_path / "bad.jpg")
    with pytest.raises(InputError) as refused:
        EvidenceImage.open(tmp_path / "bad.jpg")
    text = unescape(re.sub(r"<[^>]+>", " ", shown))
    assert report == ""
    assert "error[unsupported_format]" in text
    assert refused.value.message in text
    assert f"hint: {refused.value.hint}" in text
    assert "Traceback" not in shown
    assert factory.calls == before  # a refused image costs no model


@pytest.mark.parametrize(("make", "name", "orientation"), [
    (png_with_metadata, "with metadata.png", 1), (rotated_jpeg, "turned.jpg", 6)
])  # fmt: skip
def test_the_bytes_arrive_as_they_are(examine, tmp_path, make, name, orientation):
    path = make(tmp_path / name)
    report = Report.from_json(examine(path)[1])
    assert report.image.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert report.image.bytes == path.stat().st_size
    assert (report.image.name, report.image.orientation) == (name, orientation)
    assert (report.image.width, report.image.height) == (96, 64)


def test_the_model_is_loaded_once_and_not_before_the_first_image(examine, factory, tmp_path):
    examine(png_with_metadata(tmp_path / "a.png"))
    examine(png_with_metadata(tmp_path / "b.png"))
    assert factory.calls == 1


def test_the_page_shows_the_turned_picture_and_the_stub_s_warning(examine, tmp_path):
    page = framed(examine(rotated_jpeg(tmp_path / "turned.jpg"))[0])
    assert 'viewBox="0 0 64 96"' in page
    assert "test double" in page
    assert "Strong evidence" in page


def test_a_path_of_the_machine_that_was_not_uploaded_is_not_read(address, tmp_path, factory):
    path = png_with_metadata(tmp_path / "private.png")
    before = factory.calls
    config = httpx.get(f"{address}/config").json()
    (index,) = (d["id"] for d in config["dependencies"] if d["api_name"] == "examine")
    claim = {"path": str(path), "meta": {"_type": "gradio.FileData"}}
    session = {"session_hash": "forged"}
    joined = httpx.post(f"{address}/gradio_api/queue/join",
                        json={"data": [claim], "fn_index": index, **session})  # fmt: skip
    assert joined.status_code == 200
    events = httpx.get(f"{address}/gradio_api/queue/data", params=session, timeout=20).text
    (done,) = (json.loads(line[6:]) for line in events.splitlines() if "process_completed" in line)
    assert done["success"] is False
    assert "sha256" not in events
    assert factory.calls == before
    assert httpx.get(f"{address}/gradio_api/file={path}").status_code == 403


def test_other_sites_may_not_read_the_answers(address):
    answer = httpx.get(f"{address}/config", headers={"Origin": "https://elsewhere.example"})
    assert "access-control-allow-origin" not in answer.headers


def test_the_page_loads_nothing_from_elsewhere(address):
    page = httpx.get(address).text
    theme = httpx.get(f"{address}/theme.css").text
    loaded = re.findall(r"<(?:script|link|img|iframe)\b[^>]*?\b(?:src|href)=\"([^\"]+)\"", page)
    loaded += re.findall(r"(?:@import|url\()\s*[\"']?([^\"')]+)", theme)
    local = ("/", "./", "data:", "static/", address)
    assert [url for url in loaded if url.startswith("//") or not url.startswith(local)] == []
    assert "fonts.googleapis" not in page + theme
    assert not httpx.get(f"{address}/config").json()["stylesheets"]


def test_what_reaches_out_keeps_data_or_shows_internals_is_off(address):
    config = httpx.get(f"{address}/config").json()
    assert address.startswith("http://127.0.0.1:")
    for name in ("analytics_enabled", "show_error", "run_history"):
        assert not config[name], name
    assert config["max_file_size"] == 64 * 2**20
    assert httpx.get(f"{address}/gradio_api/info").json()["named_endpoints"] == {}


def test_a_file_above_the_limit_is_refused_while_it_arrives(address):
    big = {"files": ("big.png", io.BytesIO(bytes(64 * 2**20 + 1)))}
    assert httpx.post(f"{address}/gradio_api/upload", files=big, timeout=20).status_code == 413


# --- without a server --------------------------------------------------------------------------


def call(app, path):
    (fn,) = (f.fn for f in app.fns.values() if f.api_name == "examine")
    return fn(str(path), lambda *_, **__: None)


def test_a_model_that_cannot_be_loaded_is_named_and_tried_again(tmp_path):
    path, broken = png_with_metadata(tmp_path / "a.png"), type("D", (doubles.Detector,), {})
    broken.broken = True
    app = ui.build_app(broken.from_pretrained)
    shown, report, *_ = call(app, path)
    assert "error[weights_missing]" in shown
    assert "hint: fetch them" in shown
    assert report == ""
    broken.broken = False
    assert json.loads(call(app, path)[1])["verdict"] == "tampered"


def test_a_defect_says_its_name_and_nothing_else(tmp_path, caplog):
    class Defective:
        def examine(self, _):
            raise ZeroDivisionError("a secret path")

    shown, report, *_ = call(ui.build_app(Defective), png_with_metadata(tmp_path / "a.png"))
    assert "error[unexpected]" in shown
    assert "ZeroDivisionError" in shown
    assert "secret" not in shown
    assert report == ""
    assert "could not be examined" in caplog.text


def test_the_frame_has_no_rights_and_hostile_names_stay_text(tmp_path):
    path = tmp_path / '"><script>x<${1+1}{{value}}.png'.replace("/", "")
    shown, report, *_ = call(ui.build_app(Factory()), png_with_metadata(path))
    assert shown.count("<") == 2  # the frame's tags
    assert 'sandbox="allow-scripts"' in shown
    assert not set("${}") & set(shown)  # Gradio fills in placeholders written with these
    assert "&lt;script&gt;x&lt;${1+1}{{value}}.png" in framed(shown)
    assert json.loads(report)["image"]["name"] == path.name


def test_a_taken_port_is_a_typed_error(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(VlmfError, match=f"port {port}") as failed, ui.serve(Factory, port=port):
            pass
    assert failed.value.code == "port_unusable"
    assert list(tmp_path.iterdir()) == []
