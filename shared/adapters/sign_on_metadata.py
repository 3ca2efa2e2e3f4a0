"""`MetadataSource` over https: bounded, without redirects, and from no other scheme."""

from __future__ import annotations

from urllib.parse import urlsplit

from shared.kernel.errors import Refused, Unavailable

_TIMEOUT = (10, 20)  # seconds to connect, and between two pieces
_MOST_BYTES = 2 << 20


class HttpsMetadata:
    """Metadata of providers. `roots` is a PEM file of the authorities that count; empty: the public ones."""

    def __init__(self, roots: str = "") -> None:
        self._roots = roots

    def fetch_metadata(self, url: str) -> bytes:
        """See `MetadataSource.fetch_metadata`."""
        import requests

        if urlsplit(url).scheme != "https":
            raise Refused("a provider's metadata is not fetched without https", value=url)
        session = requests.Session()
        session.trust_env = False  # neither proxies nor ~/.netrc
        try:
            with session.get(
                url, timeout=_TIMEOUT, allow_redirects=False, stream=True, verify=self._roots or True
            ) as answer:
                data: bytes = answer.raw.read(_MOST_BYTES + 1, decode_content=True)
                status = answer.status_code
        except requests.exceptions.SSLError as error:
            raise Refused("the provider's certificate is not valid", value=urlsplit(url).hostname) from error
        except (requests.RequestException, OSError) as error:
            raise Unavailable("the provider does not answer", value=type(error).__name__) from error
        if status != 200:
            raise Unavailable("the provider does not give its metadata", value=f"HTTP {status}")
        if len(data) > _MOST_BYTES:
            raise Refused("the provider's metadata is larger than allowed", value=f"{_MOST_BYTES} bytes")
        return data
