"""The console's files, and the documents': into their bucket, so that no browser ever sees a half of it."""

from __future__ import annotations

import mimetypes
from collections.abc import Callable
from pathlib import Path

from flowrunner.adapters.aws.cloud import Cloud, asked
from flowrunner.errors import ConfigurationError

FIRST_PAGE = "index.html"
FOR_EVER = "public, max-age=31536000, immutable"
"""For files whose names carry a hash of their content."""
EACH_TIME = "no-cache"
"""A browser may keep it, but asks each time whether it has changed."""
DOCS = "docs/"
HASHED = ("assets/", f"{DOCS}assets/")
TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".json": "application/json", ".svg": "image/svg+xml"}
"""What `mimetypes` takes from the machine's own tables, which may be wrong; a browser refuses a script without it."""


def publish_website(
    cloud: Cloud,
    folder: Path,
    bucket: str,
    distribution: str,
    label: str,
    say: Callable[[str], None],
    docs: Path | None = None,
) -> int:
    """Upload a built website, its first page last, and let the distribution forget what it has; how many files.

    With `docs` the documents come with it, under `docs/`.
    What an earlier one had stays: somebody may have its page open. Raises `CloudError`, `ConfigurationError`.
    """
    if not (folder / FIRST_PAGE).is_file():
        raise ConfigurationError(
            f"{folder} holds no {FIRST_PAGE}", hint="build the console first: scripts/build-console"
        )
    files = _files(folder, "") | (_files(docs, DOCS) if docs is not None else {})
    s3 = cloud.s3()
    for key in sorted(files, key=lambda one: (one == FIRST_PAGE, not one.startswith(HASHED), one)):
        with asked(f"uploading {key} to {bucket}"):
            s3.put_object(
                Bucket=bucket,
                Key=key,
                Body=files[key].read_bytes(),
                ContentType=content_type(key),
                CacheControl=FOR_EVER if key.startswith(HASHED) else EACH_TIME,
                ExpectedBucketOwner=cloud.place.account,
            )
    if distribution:
        with asked(f"telling the distribution {distribution}"):
            batch = {"Paths": {"Quantity": 1, "Items": ["/*"]}, "CallerReference": label}
            cloud.cloudfront().create_invalidation(DistributionId=distribution, InvalidationBatch=batch)
    say(f"console: {len(files)} files uploaded")
    return len(files)


def _files(folder: Path, prefix: str) -> dict[str, Path]:
    """The files of a folder by their keys."""
    return {prefix + path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}


def content_type(path: str) -> str:
    """The media type of a file, by its ending."""
    kind = TYPES.get(Path(path).suffix) or mimetypes.guess_type(path)[0] or "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind.startswith("text/") or kind == "application/json" else kind
