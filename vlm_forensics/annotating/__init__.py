"""Explanations of a dataset's samples by a teacher: asked, parsed, checked against measurements.

    teacher = Teacher(ChatEndpoint(url, model), ReplyCache(out / "replies"), Account())
    annotate(open_dataset(root).samples, out, teacher, Settings())

`docs/annotate.md` says what is asked, what is checked and what is written.
"""

from vlm_forensics.annotating.running import Settings, Summary, annotate
from vlm_forensics.annotating.teacher import ReplyCache, Teacher
from vlm_forensics.spending import Account

__all__ = ["Account", "ReplyCache", "Settings", "Summary", "Teacher", "annotate"]
