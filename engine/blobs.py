"""Content-addressed blobs on S3: put before the row, presigned GET for browsers; an orphan harms nobody."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from typing import Any

import boto3
from botocore.client import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings

from engine.errors import BlobMissing, StoreUnavailable

IMMUTABLE = "private, max-age=31536000, immutable"


def put(data: bytes, *, suffix: str, content_type: str) -> str:
    """Stores ``data`` under a key made of its sha256 (``ab/abcdef….glb``) and returns the key. Twice is once."""
    digest = hashlib.sha256(data).hexdigest()
    key = f"{digest[:2]}/{digest}{suffix}"
    try:
        _client(settings.S3_ENDPOINT_URL).put_object(
            Bucket=settings.S3_BUCKET, Key=key, Body=data, ContentType=content_type, CacheControl=IMMUTABLE
        )
    except (BotoCoreError, ClientError) as error:
        raise StoreUnavailable(f"The object store did not take the file: {error}") from error
    return key


def get(key: str) -> bytes:
    """The blob's bytes; raises BlobMissing or StoreUnavailable."""
    try:
        reply = _client(settings.S3_ENDPOINT_URL).get_object(Bucket=settings.S3_BUCKET, Key=key)
        return bytes(reply["Body"].read())
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in {"NoSuchKey", "404"}:
            raise BlobMissing(f"There is no blob {key}.") from error
        raise StoreUnavailable(f"The object store refused to give {key}: {error}") from error
    except BotoCoreError as error:
        raise StoreUnavailable(f"The object store does not answer: {error}") from error


def url(key: str) -> str:
    """A presigned GET for the browser, or an empty text for an empty key. Costs no round trip."""
    if not key:
        return ""
    return str(
        _client(settings.S3_PUBLIC_ENDPOINT_URL).generate_presigned_url(
            "get_object",
            Params={"Bucket": settings.S3_BUCKET, "Key": key},
            ExpiresIn=settings.S3_PRESIGN_SECONDS,
        )
    )


def ensure_bucket(*, origins: Sequence[str]) -> None:
    """Makes the bucket if it is not there and lets pages of ``origins`` read it."""
    client = _client(settings.S3_ENDPOINT_URL)
    try:
        client.create_bucket(Bucket=settings.S3_BUCKET)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") not in {
            "BucketAlreadyOwnedByYou",
            "BucketAlreadyExists",
        }:
            raise
    rule = {
        "AllowedOrigins": list(origins),
        "AllowedMethods": ["GET", "HEAD"],
        "AllowedHeaders": ["*"],
        "ExposeHeaders": ["ETag", "Content-Length"],
        "MaxAgeSeconds": 3600,
    }
    client.put_bucket_cors(Bucket=settings.S3_BUCKET, CORSConfiguration={"CORSRules": [rule]})


@cache
def _client(endpoint: str) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=settings.S3_ACCESS_KEY_ID,
        aws_secret_access_key=settings.S3_SECRET_ACCESS_KEY,
        region_name="us-east-1",
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            connect_timeout=3,
            read_timeout=60,
            retries={"max_attempts": 3},
            # Other makers' stores do not all know the newer default checksums.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )
