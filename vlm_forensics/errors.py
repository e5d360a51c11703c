"""Every error a user can meet, each with a stable `code`, a hint and an exit code.

Exit codes of the command line: 0 done (any verdict), 1 unexpected failure, 2 usage,
3 an input was refused, 4 a model or its weights are missing or damaged, 130 interrupted.

    VlmfError
    ├── InputError        the image or report file was refused      exit 3
    ├── WeightsError      weights absent, damaged or unreachable    exit 4
    ├── ModelError        a model cannot be used as asked           exit 4
    ├── EndpointError     a model behind a URL cannot be used       exit 4
    ├── HubError          a model cannot be uploaded                exit 4
    ├── SpentError        the limit of cost is reached              exit 4
    └── PrerequisiteError an optional package is missing or broken  exit 4
"""

from __future__ import annotations

from typing import Any


class VlmfError(Exception):
    """Base of all typed errors.

    Example:
        >>> try:
        ...     raise InputError("empty_file", "photo.jpg is empty (0 bytes)", hint="copy it again")
        ... except VlmfError as error:
        ...     print(error.code, error.exit_code)
        empty_file 3
    """

    exit_code = 1

    def __init__(self, code: str, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        """Stable machine-readable name, snake_case."""
        self.message = message
        """What happened, on one line, without paths of the machine or addresses."""
        self.hint = hint
        """What to do about it, on one line."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors cross process borders, which the default cannot with these arguments."""
        return _restore, (type(self), self.message, self.__dict__)


def _restore(kind: type[VlmfError], message: str, state: dict[str, Any]) -> VlmfError:
    error = kind.__new__(kind, message)
    error.__dict__.update(state)
    return error


class InputError(VlmfError):
    """An input file was refused.

    Codes: not_found, is_directory, not_a_file, unreadable, empty_file, file_too_large,
    unsupported_format, too_many_pixels, too_small, truncated, decode_failed, decode_timeout,
    decode_memory, bad_report, no_photos, empty_folder, same_file, too_few_images, output_conflict,
    unknown_reward, bad_weight, unknown_probes, bad_calibration, calibration_mismatch, bad_config,
    unknown_transform, bad_repo, bad_card, not_publishable.
    """

    exit_code = 3


class WeightsError(VlmfError):
    """Weights are absent, damaged or cannot be fetched.

    Codes: weights_missing, weights_corrupt, weights_unreachable, weights_unsafe, disk_full.
    """

    exit_code = 4


class ModelError(VlmfError):
    """A model cannot be used as asked.

    Codes: model_not_found, model_unsupported, model_config_invalid, model_failed, out_of_memory.
    """

    exit_code = 4


class EndpointError(VlmfError):
    """A model behind a chat endpoint cannot be used, or its answer cannot.

    Codes: endpoint_bad_url, endpoint_no_key, endpoint_unauthorized, endpoint_not_found,
    endpoint_rate_limited, endpoint_timeout, endpoint_unreachable, endpoint_refused,
    endpoint_failed; answer_truncated, answer_empty, answer_filtered, answer_invalid,
    answer_too_large.
    """

    exit_code = 4


class HubError(VlmfError):
    """A model cannot be uploaded to the Hugging Face Hub.

    Codes: hub_no_token, hub_unauthorized, hub_unreachable, hub_refused.
    """

    exit_code = 4


class SpentError(VlmfError):
    """No further question may be paid for; what was answered is kept.

    Codes: cost_limit, and cost_unknown where an answer came without a count of its tokens.
    """

    exit_code = 4


class PrerequisiteError(VlmfError):
    """An optional package is missing or broken; the hint carries the pip line."""

    exit_code = 4

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            "missing_package",
            f"the package {package} is needed for this and is not installed",
            hint=f"pip install 'vlm_forensics[{extra}]'",
        )
