"""An exported model on the Hugging Face Hub: what would go there, what speaks against it, and off.

`plan` needs no network; `push` does what was planned.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from vlm_forensics import adapters, assembly, safety
from vlm_forensics.errors import HubError, InputError, VlmfError

if TYPE_CHECKING:
    from huggingface_hub import ModelCard

log = logging.getLogger(__name__)

CARD = "README.md"


class Item(NamedTuple):
    """A file, below the folder, and its size."""

    name: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Upload:
    """What would be uploaded, and where to."""

    folder: Path
    repo: str
    files: tuple[Item, ...]
    problems: tuple[str, ...]
    """Why it must not go out as it is."""
    notes: tuple[str, ...]
    """What readers of the Hub will miss."""

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(item.bytes for item in self.files)

    def as_json(self) -> dict[str, Any]:
        """Plain data, without folders of this machine."""
        return {
            "repo": self.repo, "files": [item._asdict() for item in self.files],
            "bytes": self.bytes, "problems": list(self.problems), "notes": list(self.notes),
        }  # fmt: skip


def plan(folder: Path, repo: str) -> Upload:
    """Checks an exported folder and lists what would go to the Hub; uses no network.

    Raises:
        InputError: `bad_repo` or `bad_card`.
        WeightsError: a file was changed or is of a kind that models do not need.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise InputError("bad_repo", f"{repo!r} is no name of a repository",
                         hint="OWNER/NAME, of letters, digits, - _ and .") from error  # fmt: skip
    assembly.check_seal(folder, hint="export it again")
    safety.assert_safe(folder)
    card = _card(folder)
    files = [Item(path.relative_to(folder).as_posix(), path.stat().st_size)
             for path in safety.visible_files(folder)]  # fmt: skip
    return Upload(folder, repo, tuple(files), tuple(_problems(folder)), tuple(_notes(card)))


def _card(folder: Path) -> ModelCard:
    """The card; its front matter is read as the Hub reads it, as far as that goes offline."""
    from huggingface_hub import ModelCard

    if not (folder / CARD).is_file():
        raise InputError("bad_card", f"{folder.name} has no {CARD}",
                         hint="export a run that has finished")  # fmt: skip
    import yaml

    try:
        card: ModelCard = ModelCard.load(folder / CARD)
    except (ValueError, TypeError, KeyError, yaml.YAMLError) as error:
        raise InputError("bad_card", f"the front matter of {CARD} cannot be read",
                         hint="it is YAML between two lines of ---") from error  # fmt: skip
    return card


def _problems(folder: Path) -> Iterator[str]:
    base = adapters.base_of(folder)
    if base is not None and Path(base).is_absolute():
        yield f"its LoRA stands on the folder {Path(base).name} of this machine: export --merged"
    for path in safety.visible_files(folder):
        if path.suffix == ".json" and path.name not in (adapters.BASE, "tokenizer.json"):
            for value in _texts(json.loads(path.read_text("utf-8"))):
                if Path(value).is_absolute() and len(value) < 4096 and Path(value).exists():
                    yield f"{path.relative_to(folder)} names a folder of this machine"
                    break


def _texts(found: Any) -> Iterator[str]:
    """Every string in a JSON value."""
    if isinstance(found, str):
        yield found
    elif isinstance(found, dict | list):
        for value in found.values() if isinstance(found, dict) else found:
            yield from _texts(value)


def _notes(card: ModelCard) -> Iterator[str]:
    for name in ("license", "library_name", "pipeline_tag", "base_model"):
        if not card.data.get(name):
            yield f"the card names no {name}"


def push(upload: Upload, *, private: bool = False) -> str:
    """Uploads what was planned with the token that `hf auth login` or `HF_TOKEN` gave.

    Returns:
        Address of the commit.

    Raises:
        InputError: `not_publishable` where the plan has problems; `bad_card` by the Hub's rules.
        HubError: there is no token, no network, or the Hub refuses.
    """
    from huggingface_hub import HfApi

    if upload.problems:
        raise InputError("not_publishable", upload.problems[0],
                         hint="vlmf train export … --dry-run lists everything")  # fmt: skip
    api = HfApi(token=True)
    try:
        _validate(upload.folder)
        made = api.create_repo(upload.repo, private=True if private else None, exist_ok=True)
        commit = api.upload_folder(repo_id=made.repo_id, folder_path=upload.folder,
                                   allow_patterns=[item.name for item in upload.files],
                                   commit_message="Upload with vlmf train export")  # fmt: skip
    except Exception as error:  # the hub's client reports trouble through many types
        raise _explained(error) from error
    return str(commit.commit_url)


def _validate(folder: Path) -> None:
    """The Hub's own rules for front matter, which only the Hub knows."""
    try:
        _card(folder).validate()
    except ValueError as error:
        raise InputError("bad_card", f"the Hub refuses the front matter of {CARD}",
                         hint=" ".join(str(error).split())[:200]) from error  # fmt: skip


def _explained(error: Exception) -> VlmfError:
    from huggingface_hub.errors import (
        HfHubHTTPError,
        LocalTokenNotFoundError,
        OfflineModeIsEnabled,
    )

    if isinstance(error, VlmfError):
        return error
    if isinstance(error, LocalTokenNotFoundError):
        return HubError("hub_no_token", "there is no token for the Hub on this machine",
                        hint="hf auth login, or HF_TOKEN, with a token that may write")  # fmt: skip
    if isinstance(error, OfflineModeIsEnabled):
        return HubError("hub_unreachable", "HF_HUB_OFFLINE forbids the network",
                        hint="unset it, or use --dry-run")  # fmt: skip
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        if status in (401, 403):
            return HubError("hub_unauthorized", "the Hub does not let this token write there",
                            hint="a token that may write, and a repository of yours")  # fmt: skip
        return HubError("hub_refused", f"the Hub answered with status {status}",
                        hint="try again later; what is there is not sent twice")  # fmt: skip
    log.info("hub: %s", type(error).__name__)
    return HubError("hub_unreachable", f"the upload broke off ({type(error).__name__})",
                    hint="check the network and repeat, or use --dry-run")  # fmt: skip
