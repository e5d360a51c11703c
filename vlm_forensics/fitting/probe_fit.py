"""`vlmf probe fit`: a logistic regression on frozen features, calibrated and tried on held-out.

The pictures go in near-equal parts to fitting, calibration and trial: by source where there are
several (whole sources are held out), else by file hash.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlm_forensics import assembly, probe
from vlm_forensics.calibration import Calibration, fit_abstain_band, fit_temperature
from vlm_forensics.errors import InputError, PrerequisiteError
from vlm_forensics.evaluation import metrics
from vlm_forensics.evaluation.baselines import shortcut_scores
from vlm_forensics.evaluation.metrics import Figure
from vlm_forensics.features import measure_all
from vlm_forensics.features.clues import reference_row
from vlm_forensics.features.reference import Reference, fit_reference
from vlm_forensics.fitting import probe_card, probe_pictures
from vlm_forensics.fitting.probe_pictures import Encoded, Picture, tracked
from vlm_forensics.image import EvidenceImage
from vlm_forensics.probe import NEVER, ProbeConfig

FIT, CALIBRATE, TRIAL = range(3)
PART_LEAST = 20
"""Pictures of each class in each part; the abstain band needs 19 real ones."""
LEAST = 3 * PART_LEAST
C_GRID = tuple(np.geomspace(1e-4, 1, 5).tolist())
"""Inverse regularisations that cross-validation chooses among."""
MEASURED = 100
"""Real pictures at most whose measurements make the reference."""
SEED = 0


@dataclass(frozen=True)
class Fitted:
    """A probe that was fitted, and what it is worth."""

    config: ProbeConfig
    counts: dict[str, dict[str, int]]
    """Pictures by part and class."""
    by_source: bool
    """Whole sources were held out."""
    skipped: dict[str, int]
    """Files left out, by reason."""
    c: float
    """The inverse regularisation that cross-validation chose."""
    measured: int
    """Real pictures that the reference of usual values was taken from."""
    figures: dict[str, Figure]
    """On the held-out part."""
    shortcuts: dict[str, Figure]
    """AUC of the file facts alone, before and after equalising."""


def fit(
    real: Path, fake: Path, out: Path, *, encoder: str = probe.VISION, layer: int | None = None,
    force: bool = False, offline: bool = False,
) -> Fitted:  # fmt: skip
    """Fits a probe on two folders of pictures and writes its folder.

    Args:
        real: folder of real pictures; folders directly in it are sources.
        fake: folder of synthetic pictures, likewise; sources of one name belong together.
        out: the folder to write.
        encoder: built-in weights, a hub id or a folder.
        layer: hidden state to read; see `probe_engine.describe`.
        force: replace a probe that is in `out`.
        offline: use no network.

    Raises:
        PrerequisiteError: scikit-learn is missing.
        InputError: not_found, empty_folder, same_file, too_few_images, output_conflict.
        ModelError, WeightsError: the encoder cannot be used.
    """
    _check_prerequisites()
    _check_output(out, force)
    skipped: Counter[str] = Counter()
    pictures = probe_pictures.collect(real, fake, skipped)
    _check_count(pictures, skipped)
    from vlm_forensics.probe_engine import Encoder, describe

    config = describe(encoder, layer, offline=offline)
    tower = Encoder.load(probe.checked_encoder(config, offline=offline), config)
    found = probe_pictures.encode(pictures, tower, config, skipped)
    _check_count(found.pictures, skipped)
    part, by_source = parts(found.pictures)
    state, c = fit_regression(found, part == FIT)
    logits = _logits(found.features, state)
    calibration = _calibrate(logits[part == CALIBRATE], found.synthetic[part == CALIBRATE])
    # Of all parts: it only says what is usual, and a tail needs as many pictures as there are.
    reference = _reference([picture for picture in found.pictures if not picture.synthetic])
    result = Fitted(
        config, _counts(found, part), by_source, dict(skipped), c, reference.images,
        _figures(calibration, logits[part == TRIAL], found.synthetic[part == TRIAL]),
        _shortcuts(found),
    )  # fmt: skip
    _write(result, state, calibration, reference, out)
    return result


def _check_prerequisites() -> None:
    try:
        import sklearn
    except ImportError as error:
        raise PrerequisiteError("scikit-learn", "train") from error
    del sklearn


def _check_output(out: Path, force: bool) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not probe.is_probe(out):
        raise InputError("output_conflict", f"{out.name} holds other files",
                         hint="give a new folder: --out")  # fmt: skip
    if not force:
        raise InputError("output_conflict", f"{out.name} holds a probe already",
                         hint="replace it with --force, or give another folder: --out")  # fmt: skip


def _check_count(pictures: Sequence[Picture], skipped: Counter[str]) -> None:
    fakes = sum(picture.synthetic for picture in pictures)
    reals = len(pictures) - fakes
    if min(reals, fakes) < LEAST:
        why = "; ".join(f"{n} {code}" for code, n in sorted(skipped.items()))
        left_out = f" ({why} left out)" if why else ""
        raise InputError(
            "too_few_images", f"{reals} real and {fakes} synthetic pictures are too few{left_out}",
            hint=f"at least {LEAST} of each are needed, some hundreds are better",
        )  # fmt: skip


def parts(pictures: Sequence[Picture]) -> tuple[NDArray[np.int64], bool]:
    """`[N]` part of every picture, and whether whole sources were held out."""
    synthetic = np.asarray([picture.synthetic for picture in pictures])
    names, source = np.unique([picture.source for picture in pictures], return_inverse=True)
    if len(names) >= 3:
        part = _by_source(source, synthetic)
        tally = [((part == p) & (synthetic == s)).sum() for p in range(3) for s in (False, True)]
        if min(tally) >= PART_LEAST:
            return part, True
    part = np.zeros(len(pictures), np.int64)
    for label in (False, True):
        members = np.flatnonzero(synthetic == label)
        order = sorted(members, key=lambda n: pictures[int(n)].sha256)
        part[order] = np.arange(len(order)) % 3
    return part, False


def _by_source(source: NDArray[np.int64], synthetic: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Largest source first, each to the part that holds least of its classes so far."""
    count = int(source.max()) + 1
    shares = np.stack([np.bincount(source, synthetic == s, count) for s in (False, True)], 1)
    shares = shares / shares.sum(0)
    filled, place = np.zeros((3, 2)), np.zeros(count, np.int64)
    for s in np.argsort(-shares.sum(1), kind="stable"):
        place[s] = min(range(3), key=lambda p: (float(filled[p] @ shares[s]), p))
        filled[place[s]] += shares[s]
    return place[source]


def fit_regression(
    found: Encoded, chosen: NDArray[np.bool_]
) -> tuple[dict[str, NDArray[np.float64]], float]:
    """The probe's tensors, and the C with the best AUC across held-out sources or files."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(
        StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=2000)
    )
    x, y = found.features[chosen].astype(np.float64), found.synthetic[chosen]
    source = np.asarray([picture.source for picture in found.pictures])[chosen]
    search: Any = GridSearchCV(model, {"logisticregression__C": C_GRID}, scoring="roc_auc",
                               cv=folds(y, source))  # fmt: skip
    scaler, regression = search.fit(x, y).best_estimator_
    state = {"mean": scaler.mean_, "scale": scaler.scale_, "weight": regression.coef_[0],
             "bias": regression.intercept_}  # fmt: skip
    return state, float(search.best_params_["logisticregression__C"])


def folds(
    y: NDArray[np.bool_], source: NDArray[Any]
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Splits that hold out sources where every fold then has both classes, else files."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    count = min(5, len(np.unique(source)))
    if count > 1:
        grouped = StratifiedGroupKFold(count, shuffle=True, random_state=SEED)
        found = list(grouped.split(y, y, source))
        if all(len(np.unique(y[side])) == 2 for split in found for side in split):
            return found
    return list(StratifiedKFold(5, shuffle=True, random_state=SEED).split(y, y))


def _logits(
    features: NDArray[np.float32], state: dict[str, NDArray[np.float64]]
) -> NDArray[np.float64]:
    """`[N, 3]`, in the order of the calibration's classes."""
    z = (features - state["mean"]) / state["scale"] @ state["weight"] + state["bias"]
    return np.stack([np.zeros(len(z)), z, np.full(len(z), NEVER)], 1)


def _calibrate(logits: NDArray[np.float64], synthetic: NDArray[np.bool_]) -> Calibration:
    scaling = fit_temperature(logits, synthetic.astype(np.int64))
    draft = Calibration(
        id=f"probe-{len(logits)}-vector-scaling", temperature=scaling.temperature,
        bias=scaling.bias, abstain_low=0.0, abstain_high=1.0, mask_threshold=0.5,
    )  # fmt: skip
    band = fit_abstain_band(1 - draft.probabilities(logits)[:, 0], ~synthetic)
    return draft.model_copy(update={"abstain_low": band.low, "abstain_high": band.high})


def _figures(
    calibration: Calibration, logits: NDArray[np.float64], synthetic: NDArray[np.bool_]
) -> dict[str, Figure]:
    """On pictures that neither fit nor calibration saw, by the names that are printed."""
    p = 1 - calibration.probabilities(logits)[:, 0]
    accused, cleared = p >= calibration.abstain_high, p < calibration.abstain_low
    called = np.where(accused, 1, np.where(cleared, 0, 2))
    reals, fakes = int((~synthetic).sum()), int(synthetic.sum())
    return {
        "auc": metrics.bootstrap(metrics.auc, (synthetic, p), seed=SEED),
        "balanced accuracy at 50 %": metrics.bootstrap(
            metrics.balanced_accuracy, (synthetic, p >= 0.5), seed=SEED),
        "balanced accuracy, inconclusive counted as wrong": metrics.bootstrap(
            metrics.balanced_accuracy, (synthetic, called), seed=SEED),
        "real called synthetic": metrics.wilson(int((accused & ~synthetic).sum()), reals),
        "synthetic called real": metrics.wilson(int((cleared & synthetic).sum()), fakes),
        "inconclusive": metrics.wilson(int((called == 2).sum()), len(p)),
    }  # fmt: skip


def _shortcuts(found: Encoded) -> dict[str, Figure]:
    """How well format, size and compression alone tell the classes apart: 0.5 is not at all."""
    y = found.synthetic
    return {
        when: metrics.bootstrap(metrics.auc, (y, shortcut_scores(facts, y)), seed=SEED)
        for when, facts in (("before", found.before), ("after", found.after))
    }


def _counts(found: Encoded, part: NDArray[np.int64]) -> dict[str, dict[str, int]]:
    y = found.synthetic
    return {name: {"real": int((~y[part == p]).sum()), "synthetic": int(y[part == p].sum())}
            for p, name in enumerate(("fit", "calibration", "held out"))}  # fmt: skip


def _reference(reals: Sequence[Picture]) -> Reference:
    """Quantiles over some real pictures, measured as they are, like the images judged later."""
    chosen = sorted(reals, key=lambda picture: picture.sha256)[:MEASURED]
    with ThreadPoolExecutor(probe_pictures.READERS) as pool:
        rows = pool.map(_measured, tracked(chosen, "measuring real pictures"))
        return fit_reference(list(rows))


def _measured(picture: Picture) -> dict[str, float]:
    image = EvidenceImage.open(picture.path)
    nowhere = np.zeros(image.rgb.shape[:2], bool)
    return reference_row(measure_all(image), nowhere)


def _write(
    result: Fitted, state: dict[str, NDArray[np.float64]], calibration: Calibration,
    reference: Reference, out: Path,
) -> None:  # fmt: skip
    """Writes beside and renames, so that `out` is never half a probe."""
    from safetensors.numpy import save_file

    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as scratch:
        made = Path(scratch, "probe")
        made.mkdir()
        config = result.config.model_dump_json(indent=1) + "\n"
        (made / "config.json").write_text(config, encoding="utf-8")
        save_file({name: np.ascontiguousarray(value) for name, value in state.items()},
                  made / probe.WEIGHTS)  # fmt: skip
        calibration.save(made / "calibration.json")
        reference.save(made / "reference.json")
        (made / "README.md").write_text(probe_card.card(result), encoding="utf-8")
        assembly.seal(made)
        if out.exists():
            shutil.move(out, Path(scratch, "old"))
        made.rename(out)
