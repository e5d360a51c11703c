"""The training-free mode: a vision-language model is asked, its answers are judged by a rule.

    engine = EndpointEngine("http://localhost:8000/v1", "Qwen/Qwen2.5-VL-7B-Instruct")
    report = VqaExaminer(engine).examine(EvidenceImage.open("photo.jpg")).report

`docs/vqa.md` says what is asked, what counts as an answer, and how a verdict comes about.
"""

from vlm_forensics.vqa.choosing import MODES, Wish, choose
from vlm_forensics.vqa.engines import EndpointEngine, Engine, LocalEngine
from vlm_forensics.vqa.examiner import VqaExaminer

__all__ = ["MODES", "EndpointEngine", "Engine", "LocalEngine", "VqaExaminer", "Wish", "choose"]
