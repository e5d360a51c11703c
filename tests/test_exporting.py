import base64
import io
import json
import re
import stat
from html.parser import HTMLParser

import numpy as np
import pytest
from doubles import Examination, examination
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console

from vlm_forensics import masks
from vlm_forensics.errors import VlmfError
from vlm_forensics.exporting import files, html, overlay, terminal, wording
from vlm_forensics.image import EvidenceImage, display_transform
from vlm_forensics.report import Claim, ImageFacts, Rationale
from vlm_forensics.taxonomy import Artifact, Verdict

HOSTILE = "\x1b[31m</pre><script>alert(1)</script>\x9b2J\u202egpj\n[bold]x[/bold] & \"q\" 'p'"


def make(orientation=1, size=(96, 64), name="photo.jpg", fill=120):
    pixels = np.full((size[1], size[0], 3), fill, np.uint8)
    exif = Image.Exif()
    exif[0x112] = orientation
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95, exif=exif)
    return EvidenceImage.from_bytes(buffer.getvalue(), name)


def hostile():
    made = examination(make())
    claim = Claim(artifact=Artifact.PASTED_OBJECT, text=HOSTILE, region="r1", evidence=("e1",),
                  corroborated=False)  # fmt: skip
    report = made.report.model_copy(
        update={
            "image": made.report.image.model_copy(update={"name": HOSTILE}),
            "rationale": Rationale(summary=HOSTILE, claims=(claim,), text=HOSTILE,
                                   dropped=(HOSTILE,)),
            "evidence": tuple(
                item.model_copy(update={"text": HOSTILE, "unit": HOSTILE})
                for item in made.report.evidence
            ),
            "provenance": made.report.provenance.model_copy(update={"camera": HOSTILE}),
        }
    )  # fmt: skip
    return Examination(made.image, report, made.heatmap)


def printed(report, **options):
    stream = io.StringIO()
    Console(file=stream, width=100, **options).print(terminal.summary(report))
    return stream.getvalue()


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


# --- the overlay -------------------------------------------------------------------------------


@given(
    orientation=st.integers(1, 8),
    corners=st.tuples(st.integers(0, 38), st.integers(0, 28), st.integers(1, 9), st.integers(1, 9)),
)
def test_boxes_turn_exactly_as_pixels_do(orientation, corners):
    x, y, w, h = corners
    box = (x, y, min(40, x + w), min(30, y + h))
    stored = np.zeros((30, 40), bool)
    stored[box[1] : box[3], box[0] : box[2]] = True
    shown = display_transform(stored, orientation)
    facts = ImageFacts(name="x", sha256="0" * 64, bytes=1, format="PNG", width=40, height=30,
                       orientation=orientation, canonicalisation="x")  # fmt: skip
    rows, columns = np.nonzero(shown)
    expected = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert overlay.display_box(box, facts) == expected
    assert overlay.display_size(facts) == shown.shape[::-1]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_picture_and_layer_turn_together(orientation):
    made = examination(make(orientation))
    shown, layer = overlay.picture(made), overlay.layer(made)
    assert shown.shape[:2] == layer.shape[:2] == overlay.display_size(made.report.image)[::-1]
    inside = display_transform(masks.decode(made.report.mask), orientation)
    assert layer[..., 3][inside].min() > 60
    assert layer[..., 3][~inside].mean() < 40


def test_a_real_image_has_an_empty_layer_and_an_untouched_picture():
    made = examination(make(), Verdict.REAL)
    assert not overlay.layer(made).any()
    assert (overlay.overlay(made) == overlay.picture(made)).all()


def test_pictures_are_scaled_down_and_never_up():
    facts = examination(make(size=(4000, 100))).report.image
    assert overlay.display_size(facts, 1600) == (1600, 40)
    assert overlay.display_size(facts, 9000) == (4000, 100)


def test_a_mask_of_one_pixel_stays_visible_when_scaled_down():
    made = examination(make(size=(3000, 1000)))
    mask = np.zeros((1000, 3000), bool)
    mask[500, 1500] = True
    report = made.report.model_copy(update={"mask": masks.encode(mask, 0.5), "regions": ()})
    assert overlay.layer(Examination(made.image, report, None), 600)[..., 3].any()


# --- the page ----------------------------------------------------------------------------------


def test_the_page_asks_for_nothing_outside_itself():
    text = html.page(hostile())
    for tag, attributes in Tags(text).found:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            assert attributes.get(name, "data:").startswith("data:"), (tag, name)
        assert "style" not in attributes  # the policy would block it
        assert not any(name.startswith("on") for name in attributes)
    assert not re.search(r"url\(|@import|https?://", text)


def test_hostile_text_is_shown_and_never_becomes_markup():
    text = html.page(hostile())
    assert [tag for tag, _ in Tags(text).found].count("script") == 1
    assert "&lt;script&gt;alert(1)" in text
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text)


def test_the_policy_allows_exactly_the_page_s_own_style_and_script():
    import hashlib

    text = html.page(examination(make()))
    policy = next(a["content"] for t, a in Tags(text).found if a.get("http-equiv"))
    for tag in ("style", "script"):
        (body,) = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.S)
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_the_page_can_be_used_by_keyboard_and_screen_reader():
    tags = Tags(html.page(examination(make()))).found
    assert all(a.get("alt") for t, a in tags if t == "img")
    (slider,) = [a for t, a in tags if t == "input"]
    assert slider["type"] == "range"
    assert slider["aria-label"]
    claims = [a for t, a in tags if t == "li" and "data-region" in a]
    boxes = [a for t, a in tags if t == "g"]
    assert {a["data-region"] for a in claims} <= {a["data-region"] for a in boxes}
    assert all(a["tabindex"] == "0" for a in claims)
    assert dict(tags)["html"]["lang"] == "en"


def test_embedded_pictures_share_one_size_and_the_turn():
    text = html.page(examination(make(orientation=6, size=(96, 64))))
    sources = [a["src"] for t, a in Tags(text).found if t == "img"]
    sizes = [Image.open(io.BytesIO(base64.b64decode(s.split(",")[1]))).size for s in sources]
    assert sizes == [(64, 96), (64, 96)]


@pytest.mark.parametrize("verdict", list(Verdict))
def test_page_and_terminal_say_the_verdict_in_words_and_the_caveat(verdict):
    made = examination(make(), verdict)
    page, text = html.page(made), " ".join(printed(made.report).split())
    for shown in (page, text):
        assert wording.headline(made.report) in shown
        assert wording.CAVEAT in shown
        assert wording.STUB_WARNING in shown
        assert "fake" not in re.sub(r"base64,[^\"]*", "", shown).lower()
    assert text.startswith(verdict.upper())


# --- the terminal ------------------------------------------------------------------------------


def test_terminal_text_of_a_hostile_image_holds_no_control_characters_or_markup():
    text = printed(hostile().report)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text)
    assert "[bold]x[/bold]" in " ".join(text.split())


def test_no_color_leaves_every_word(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    report = examination(make()).report
    coloured = printed(report, force_terminal=True)
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]", coloured)
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == printed(report)


def test_each_claim_stands_above_the_numbers_that_support_it():
    text = " ".join(printed(examination(make()).report).split())
    first, second = text.index("shifted by 212"), text.index("compressed twice")
    assert first < text.index("412 points") < second < text.index("quality 71")
    assert "1 further measurement " in text


@pytest.mark.parametrize(
    ("value", "share", "chance"),
    [(0, "0%", "<1%"), (0.0004, "<0.1%", "<1%"), (0.041, "4.1%", "4%"), (0.5, "50%", "50%"),
     (0.999, "100%", ">99%"), (1, "100%", ">99%")],
)  # fmt: skip
def test_numbers_are_rounded_without_claiming_certainty(value, share, chance):
    assert (wording.percent(value), wording.chance(value)) == (share, chance)


# --- files -------------------------------------------------------------------------------------


def test_export_writes_a_complete_set_that_agrees_with_itself(tmp_path):
    made = examination(make(name="my photo.jpg"))
    written = files.export(made, tmp_path / "new" / "out")
    key = f"my_photo-{made.image.sha256[:8]}"
    assert {p.name for p in written} == {
        f"{key}.json", f"{key}.html", f"{key}.overlay.png", f"{key}.mask.png"
    }  # fmt: skip
    folder = written[0].parent
    assert sorted(folder.iterdir()) == sorted(written)  # no temporary file stays
    assert json.loads((folder / f"{key}.json").read_text()) == json.loads(made.report.to_json())
    mask = np.asarray(Image.open(folder / f"{key}.mask.png"))
    assert (mask == masks.decode(made.report.mask) * 255).all()


def test_export_of_an_unmarked_image_writes_no_picture(tmp_path):
    written = files.export(examination(make(), Verdict.REAL), tmp_path)
    assert {p.suffix for p in written} == {".json", ".html"}


def test_mask_png_of_an_unmarked_image_is_black_in_the_stored_grid():
    made = examination(make(orientation=6, size=(96, 64)), Verdict.REAL)
    mask = np.asarray(Image.open(io.BytesIO(files.mask_png(made.report))))
    assert mask.shape == (64, 96)
    assert not mask.any()


@pytest.mark.parametrize(
    ("name", "expected"),
    [("-", "stdin"), ("a b/..\\c.jpg", "c"), ("....", "image"), ("写真.png", "写真"),
     ("x" * 300 + ".jpg", "x" * 80), ("$(rm).jpg", "rm")],
)  # fmt: skip
def test_stems_are_safe_file_names(name, expected):
    facts = examination(make()).report.image.model_copy(update={"name": name})
    assert files.stem(facts) == expected


def test_an_unwritable_place_is_a_typed_error_and_keeps_the_old_file(tmp_path):
    (tmp_path / "file").write_text("old")
    with pytest.raises(VlmfError) as caught:
        files.write(tmp_path / "file" / "report.json", b"new")
    assert caught.value.code == "output_unwritable"
    assert (tmp_path / "file").read_text() == "old"


def test_written_files_are_readable_as_the_umask_says(tmp_path):
    files.write(tmp_path / "a", b"x")
    plain = tmp_path / "b"
    plain.write_bytes(b"x")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
