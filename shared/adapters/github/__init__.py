"""GitHub behind `Forge`: the REST API, as an App's installation or with a token.

https://docs.github.com/en/rest (API version 2022-11-28)
"""

from shared.adapters.github.auth import AppKey, AppTokens, fixed_token
from shared.adapters.github.forge import GitHubForge, connect

__all__ = ["AppKey", "AppTokens", "GitHubForge", "connect", "fixed_token"]
