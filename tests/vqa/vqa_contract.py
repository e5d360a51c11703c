"""What holds of every engine whose model answers."""

from __future__ import annotations

from vlm_forensics.endpoint import Usage
from vlm_forensics.image import EvidenceImage
from vlm_forensics.vqa.engines import Engine
from vlm_forensics.vqa.pictures import picture


def check_engine(engine: Engine, image: EvidenceImage) -> None:
    assert engine.usage == Usage()
    text = engine.answer("Is it real?", picture(image))
    assert isinstance(text, str)
    assert text.strip()
    assert engine.answer("Is it real?", picture(image)) == text
    once = engine.usage
    assert once != Usage()
    assert engine.answer("Decide.", None)
    assert engine.usage.input > once.input
    assert engine.id.isprintable()
    assert engine.device
    assert engine.dtype
    assert all(len(digest) == 64 for digest in engine.digests.values())
