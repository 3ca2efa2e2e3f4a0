"""The wiring of what the pages share: who may use them."""

from __future__ import annotations

from functools import cache

from shared.kernel.errors import UsageError
from shared.settings.environment import read_environment
from shared.web.signin import PageAccess
from shared.wiring import load_policy


@cache
def page_access() -> PageAccess:
    """Who may use the pages; closed, with the reason, if settings and platform contradict each other."""
    rules = load_policy().access
    try:
        sign_in, problem = read_environment().wake_sign_in(), ""
    except UsageError as error:
        # The page is there and says why it is closed, to whoever looks for it in the log; open it never is.
        sign_in, problem = "", str(error)
    return PageAccess(sign_in, problem, rules.view, rules.wake)
