import pytest

from vlm_forensics.consistency import check, lower
from vlm_forensics.taxonomy import Verdict

REAL, SYNTHETIC, TAMPERED = Verdict.REAL, Verdict.SYNTHETIC, Verdict.TAMPERED


def run(head, text=None, area=0.0, score=0.0):
    return check(head, text, area, mask_score=score, min_area=0.001)


@pytest.mark.parametrize(
    ("head", "text", "area", "score", "mask", "agree"),
    [
        (TAMPERED, None, 0.0, 0.0, "empty", False),
        (TAMPERED, None, 0.0005, 0.9, "empty", False),
        (TAMPERED, TAMPERED, 0.1, 0.7, "local", True),
        (TAMPERED, None, 0.95, 0.9, "whole", True),
        (REAL, REAL, 0.0, 0.0, "empty", True),
        (REAL, None, 0.2, 0.9, "local", False),
        (REAL, None, 0.2, 0.6, "local", True),
        (REAL, None, 0.01, 0.95, "local", True),
        (SYNTHETIC, SYNTHETIC, 0.0, 0.0, "empty", True),
        (SYNTHETIC, None, 1.0, 0.99, "whole", True),
        (SYNTHETIC, REAL, 1.0, 0.99, "whole", False),
        (REAL, TAMPERED, 0.0, 0.0, "empty", False),
        (REAL, Verdict.INCONCLUSIVE, 0.0, 0.0, "empty", True),
    ],
)
def test_rule_table(head, text, area, score, mask, agree):
    result = run(head, text, area, score)
    assert (result.mask, result.agree) == (mask, agree)
    assert bool(result.notes) == (not agree)


def test_disagreement_lowers_to_inconclusive_with_each_reason():
    verdict, reasons = lower(TAMPERED, run(TAMPERED, REAL))
    assert verdict is Verdict.INCONCLUSIVE
    assert [reason.code for reason in reasons] == ["disagreement", "disagreement"]


@pytest.mark.parametrize("verdict", list(Verdict))
def test_agreement_never_changes_a_verdict(verdict):
    assert lower(verdict, run(REAL)) == (verdict, ())
