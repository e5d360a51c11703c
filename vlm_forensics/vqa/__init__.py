"""The training-free mode: a vision-language model is asked, its answers are judged by a rule.

    from vlm_forensics.vqa.engines import EndpointEngine
    from vlm_forensics.vqa.examiner import VqaExaminer

    engine = EndpointEngine("http://localhost:8000/v1", "Qwen/Qwen2.5-VL-7B-Instruct")
    report = VqaExaminer(engine).examine(EvidenceImage.open("photo.jpg")).report

`docs/vqa.md` says what is asked, what counts as an answer, and how a verdict comes about. Nothing
is imported here, so that `vqa.choosing` costs a run with a tuned model nothing.
"""
