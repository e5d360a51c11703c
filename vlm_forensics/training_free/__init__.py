"""Forensic scores that nothing was trained for, compared with photographs of the user's own.

    found = TrainingFree.load("reals.json").assess(EvidenceImage.open("photo.jpg"))
    found.standing, found.p_value, found.evidence()

`vlmf calibrate` makes the file. How much each score is worth was measured and is in
`docs/training_free.md`: little, which is why none of this ever says that a picture is forged.
"""

from vlm_forensics.training_free.assessment import Assessment, Finding, Standing, TrainingFree
from vlm_forensics.training_free.scores import SCORES, Score

__all__ = ["SCORES", "Assessment", "Finding", "Score", "Standing", "TrainingFree"]
