"""The model card of a probe, made of what was counted and measured while it was fitted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlm_forensics.datasets.equalise import QUALITY, SIDE
from vlm_forensics.evaluation.metrics import markdown

if TYPE_CHECKING:
    from vlm_forensics.fitting.probe_fit import Fitted

_CARD = """\
# A linear probe, real against synthetic

A logistic regression on frozen features (hidden state {layer} of `{encoder}`{revision}), fitted and
calibrated by `vlmf probe fit{options}` with seed 0 and C = {c:g}, chosen by cross-validation.
Every picture is first made equal in format and size: centre square, {side} pixels, JPEG {quality}.

    vlmf explain photo.jpg --model THIS_FOLDER

## Pictures
{how}

{counts}

Left out: {skipped}.

## On the held-out part
{figures}

95 % intervals over pictures (bootstrap of 1000 draws; Wilson for shares). New generators and new
kinds of photographs are usually judged worse than these figures say.

## Shortcuts
AUC of a random forest that sees only the format, size and compression of a file. Far from 0.5 means
that the classes differ in something that is not generation; what counts is the value after
equalising, as it is what the probe saw.

{shortcuts}

## Limits
* Verdict and probability only: no mask, no rationale.
* Tampering is not judged. An edited photograph gets the verdict of its whole.
* Only the centre square is seen, reduced to {side} pixels.
* What reports call unusual lies outside the 1st to 99th percentile of {measured} of these real
  pictures.
* It knows the pictures it was fitted on; other sources may need a fit of their own.
"""


def card(result: Fitted) -> str:
    """The text of `README.md`; names no folder of this machine."""
    config = result.config
    name = config.encoder.rsplit("/", 1)[-1] if config.encoder.startswith("/") else config.encoder
    revision = f" at {config.revision}" if config.revision else ""
    how = (
        "Whole sources (folders directly below the two given) were held out."
        if result.by_source
        else "Divided by file hash: pictures of one source are on both sides, which flatters."
    )
    rows = [(part, n["real"], n["synthetic"]) for part, n in result.counts.items()]
    skipped = ", ".join(f"{n} {why}" for why, n in sorted(result.skipped.items())) or "nothing"
    return _CARD.format(
        layer=config.layer, encoder=name, revision=revision, c=result.c, side=SIDE,
        measured=result.measured,
        quality=QUALITY, how=how, counts=markdown(("part", "real", "synthetic"), rows),
        options=f" --encoder {name} --layer {config.layer}", skipped=skipped,
        figures=markdown(("figure", "value (95 % interval)"), result.figures.items()),
        shortcuts=markdown(("equalising", "AUC (95 % interval)"), result.shortcuts.items()),
    )  # fmt: skip
