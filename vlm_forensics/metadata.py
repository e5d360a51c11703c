"""What the metadata of a file claims, shown beside the verdict and never part of it.

Anyone can write or remove metadata: presence proves nothing and absence is not suspicious.
"""

from __future__ import annotations

import re

from vlm_forensics.errors import InputError
from vlm_forensics.image import EvidenceImage, printable
from vlm_forensics.report import Provenance

_C2PA = re.compile(rb"jumb.{4}jumdc2pa", re.DOTALL)
"""A JUMBF box whose description says C2PA (C2PA specification 2.x, section 11.1.4.2)."""

_GENERATORS = re.compile(
    r"\b(stable[ -]?diffusion|sdxl|midjourney|dall[·•-]?\s?e|chatgpt|gpt-4o|gpt-image|openai|"
    r"adobe firefly|comfyui|automatic1111|invokeai|novelai|fooocus|dreamstudio|leonardo\.ai|"
    r"ideogram|flux\.[12]|black forest labs|google imagen|made with google ai|gemini|"
    r"bing image creator|grok|draw things|recraft|playground ai|nano banana)\b",
    re.IGNORECASE,
)
_SOURCE_TYPE = re.compile(
    r"\b(trainedAlgorithmicMedia|compositeWithTrainedAlgorithmicMedia|algorithmicMedia)\b"
)
"""IPTC digital source types of generated pictures."""

_PROMPT_KEYS = {
    "parameters": "generation parameters",
    "prompt": "generation prompt",
    "workflow": "ComfyUI workflow",
    "sd-metadata": "InvokeAI record",
    "invokeai_metadata": "InvokeAI record",
    "dream": "InvokeAI record",
}
"""PNG text chunks that generation programs write, lower case."""
_PARAMETERS = re.compile(r"\bSteps: \d+, (?:.*, )?Sampler: ", re.DOTALL)
"""How AUTOMATIC1111 and its kin write settings, in PNG text or an EXIF comment."""

_NAMING_FIELDS = ("exif:software", "exif:make", "exif:model", "exif:artist", "exif:description",
                  "text:Software", "text:Source", "text:Author", "text:Description",
                  "text:Comment", "text:comment", "xmp")  # fmt: skip
_XMP_TOOL = re.compile(r"xmp:CreatorTool(?:>|=[\"'])([^<\"']{1,200})")
_MAX_HINTS = 8


def read(source: EvidenceImage | bytes) -> Provenance:
    """What the file's metadata claims about its origin.

    Never raises: junk, and files the image layer refuses, give what little can be said.

    Args:
        source: an opened image, or the bytes of a file.

    Returns:
        Strings of at most 200 printable characters. C2PA is looked for, never verified.
    """
    if isinstance(source, EvidenceImage):
        return _interpret(source.data, source.fields)
    try:
        image = EvidenceImage.from_bytes(source)
    except InputError:
        return _interpret(source, {})
    return _interpret(image.data, image.fields)


def _interpret(data: bytes, fields: dict[str, str]) -> Provenance:
    camera = _camera(fields)
    software = printable(fields.get("exif:software", "") or fields.get("text:Software", ""))
    if not software and (tool := _XMP_TOOL.search(fields.get("xmp", ""))):
        software = printable(tool.group(1))
    captured = printable(fields.get("exif:captured", "") or fields.get("exif:modified", ""), 40)
    c2pa = bool(_C2PA.search(data))
    hints = _generator_hints(fields)
    found = bool(camera or software or captured or c2pa or hints or fields.get("xmp"))
    return Provenance(
        state="present" if found else "absent",
        camera=camera,
        software=software,
        captured=captured,
        c2pa="present_unverified" if c2pa else "absent",
        generator_hints=hints,
    )


def _camera(fields: dict[str, str]) -> str:
    """Maker and model, the maker once."""
    make = printable(fields.get("exif:make", ""), 80)
    model = printable(fields.get("exif:model", ""), 110)
    return model if model.lower().startswith(make.lower()) else f"{make} {model}".strip()


def _generator_hints(fields: dict[str, str]) -> tuple[str, ...]:
    """One line for each field that names an image generator."""
    hints: list[str] = []
    for name, value in fields.items():
        kind = _PROMPT_KEYS.get(name.removeprefix("text:").lower())
        if kind and name.startswith("text:") and value.strip():
            hints.append(f"{kind}: {value}")
        elif _PARAMETERS.search(value):
            hints.append(f"generation parameters: {value}")
    for name in _NAMING_FIELDS:
        if match := _GENERATORS.search(fields.get(name, "")):
            hints.append(f"{name.replace(':', ' ')} names {match.group(0)}")
    if match := _SOURCE_TYPE.search(fields.get("xmp", "")):
        hints.append(f"IPTC digital source type {match.group(0)}")
    lines = dict.fromkeys(printable(hint) for hint in hints)
    return tuple(lines)[:_MAX_HINTS]
