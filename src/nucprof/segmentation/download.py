"""Downloading a file, with a progress display and a checked hash."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from nucprof.errors import ModelError

#: Called with the bytes received so far, and the total.
Progress = Callable[[int, int], None]
_SILENCE_S = 60


class _Bar:
    """The progress bar that pooch expects; it calls a function."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.total = 0
        self.done = 0

    def update(self, count: int) -> None:
        self.done += count
        self.progress(self.done, self.total)

    def reset(self) -> None:
        self.done = 0

    def close(self) -> None:
        self.progress(self.done, self.total)


def download(url: str, folder: Path, sha256: str | None, progress: Progress | None = None) -> Path:
    """Download ``url`` into a folder.

    Parameters
    ----------
    url : str
    folder : Path
    sha256 : str or None
        The hash that the file must have, where it is known.
    progress : callable, optional

    Raises
    ------
    ModelError
        The download fails or is cut off, or the hash differs.
    """
    import logging

    import pooch
    import requests

    pooch.get_logger().setLevel(logging.WARNING)
    downloader = pooch.HTTPDownloader(
        progressbar=_Bar(progress) if progress else False, timeout=_SILENCE_S
    )
    try:
        known = f"sha256:{sha256}" if sha256 else None
        return Path(pooch.retrieve(url, known, "download", folder, downloader=downloader))
    except requests.RequestException as error:
        raise ModelError(
            f"could not download {url}: {error}. Without internet: download it elsewhere and use "
            "'nucprof models add NAME PATH'"
        ) from error
    except ValueError as error:  # pooch raises it if the hash differs
        raise ModelError(
            f"the file from {url} does not have the SHA-256 {sha256}: the file was changed or cut "
            "off on its way; try again, or 'nucprof models add NAME PATH'"
        ) from error
