"""The words that every readable form of a report shares.

Everything that came out of a file or a language model passes `clean`: a report about a hostile
image must not be able to move the cursor, colour text or forge a line.
"""

from __future__ import annotations

from collections import Counter

from vlm_forensics.image import printable
from vlm_forensics.report import Claim, Evidence, ModelRecord, Provenance, Region, Report, Vqa
from vlm_forensics.taxonomy import Verdict

CAVEAT = (
    "This tool gives evidence for a person to weigh; it does not prove how an image came about."
)
STUB_WARNING = "Made by a test double, not by a model: this report means nothing."

MEANING = {
    Verdict.REAL: "No trace of forgery was found. That is not proof that there is none.",
    Verdict.SYNTHETIC: "The whole image shows traces of having been generated.",
    Verdict.TAMPERED: "A part of the image shows traces of having been altered.",
    Verdict.INCONCLUSIVE: "The evidence does not allow a statement, so none is made.",
}


def clean(text: str) -> str:
    """The text on one line without control, escape or direction-changing characters."""
    return printable(text, 2000)


def headline(report: Report) -> str:
    """The verdict in a short phrase, with its strength word."""
    if report.verdict is Verdict.INCONCLUSIVE:
        return "Inconclusive"
    if report.verdict is Verdict.REAL:
        return "No evidence of forgery found"
    words = f"{report.strength} evidence" if report.strength else "Evidence"
    return f"{words[0].upper()}{words[1:]} that the image is {report.verdict}"


def chance(probability: float) -> str:
    """A probability in whole percent; never 0 or 100, which no model can know."""
    if probability < 0.01:
        return "<1%"
    return ">99%" if probability > 0.99 else f"{probability:.0%}"


def percent(share: float) -> str:
    """A share in [0, 1] with enough digits to tell a small one from none."""
    if 0 < share < 0.001:
        return "<0.1%"
    return f"{share:.1%}" if 0 < share < 0.1 else f"{share:.0%}"


def place(region: Region) -> str:
    """Where a region is and how far it can be trusted."""
    x0, y0, x1, y1 = region.box
    return (
        f"{region.id}: x {x0} to {x1}, y {y0} to {y1}, "
        f"{percent(region.area_fraction)} of the image, {region.reliability} reliability"
    )


def support(claim: Claim, report: Report) -> list[Evidence]:
    """The evidence that a claim names, in its order."""
    by_id = {item.id: item for item in report.evidence}
    return [by_id[name] for name in claim.evidence if name in by_id]


def loose_evidence(report: Report) -> list[Evidence]:
    """The evidence that no claim names, unusual values first."""
    named = {name for claim in report.rationale.claims for name in claim.evidence}
    return sorted((e for e in report.evidence if e.id not in named), key=lambda e: not e.unusual)


def provenance_lines(provenance: Provenance) -> list[str]:
    """What the metadata says, one fact a line."""
    if provenance.state == "absent":
        return ["No metadata. Most sharing removes it, so its absence means nothing."]
    facts = {
        "camera": provenance.camera,
        "software": provenance.software,
        "captured": provenance.captured,
        "C2PA": "present, signature not checked" * (provenance.c2pa == "present_unverified"),
        "names a generator": ", ".join(provenance.generator_hints),
    }
    lines = [f"{name}: {clean(value)}" for name, value in facts.items() if value]
    return [*(lines or ["Metadata without camera, software or date."]),
            "Anyone can write or remove these fields."]  # fmt: skip


_MODES = {
    "model": "a tuned model",
    "vqa": "questions to a vision-language model that was not tuned for this",
    "measurements": "low-level measurements alone",
}


def mode_line(report: Report) -> str:
    """What examined the image, and why that."""
    why = f" ({clean(report.mode.why)})" if report.mode.why else ""
    return f"Examined by {_MODES[report.mode.ran]}{why}."


def asked_line(vqa: Vqa) -> str:
    """How many signs were looked for, and what became of the questions."""
    states = Counter(probe.state for probe in vqa.probes)
    counts = ", ".join(f"{n} {state.replace('_', ' ')}" for state, n in sorted(states.items()))
    total = sum(len(probe.answers) for probe in vqa.probes)
    cost = "" if vqa.cost is None else f"; cost {vqa.cost:.4g}"
    return (
        f"{len(vqa.probes)} signs looked for ({', '.join(vqa.sets)}): {counts}; "
        f"{vqa.unparsed} of {total} answers could not be read{cost}"
    )


def model_line(model: ModelRecord) -> str:
    """The model record on one line."""
    weights = sorted(name for name in model.digests if name.endswith(".safetensors"))[:1]
    parts = [
        model.id,
        *(f"{name} {model.digests[name][:12]}" for name in weights),
        f"prompt {model.prompt}",
        f"calibration {model.calibration}",
        f"seed {model.seed}",
        f"{model.dtype} on {model.device}",
    ]
    return clean(" · ".join(parts))
