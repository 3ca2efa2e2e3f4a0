"""Who runs a command: the person signed in to Azure, else the account of this machine."""

from __future__ import annotations

import getpass
import os


def current_user() -> str:
    """Who runs this: the person that policy links the account to; else the account, marked as such where
    policy links others. Raises UsageError if the policy cannot be read, Unavailable without a sign-in.

    Whoever may write to the storage could write an approval without asking us; this keeps honest people from
    mistakes, and the audit trail shows the rest.
    """
    from shared.wiring.people import people_directory

    directory, account = people_directory(), current_account()
    # Without people in the policy the bare account, as it stands in the audit trail of old.
    return directory.actor_of(account) if directory.people else account.removeprefix("login:")


def current_account() -> str:
    """`aad:<object id>` where the storage is opened by a person's own sign-in, else `login:<account>`.

    Two admins who share the account of a machine are two people in Entra ID, and one person with two accounts
    of a machine is one there: so the sign-in counts, and the machine's account only where there is none (a
    key, a SAS URL, the identity of a VM).
    """
    from shared.wiring.people import find_entra_account

    return find_entra_account() or f"login:{_login_name()}"


def _login_name() -> str:
    """The account that runs this, whatever LOGNAME says."""
    try:
        import pwd
    except ImportError:  # Windows
        return getpass.getuser()
    try:
        # Not getpass: it believes $LOGNAME and $USER, and an approval by `LOGNAME=ana` would be Ana's.
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
