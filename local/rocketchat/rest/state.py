"""What the server knows: settings with their defaults, users with second factors and tokens, permissions.

The defaults are those of Rocket.Chat's own source (apps/meteor/server/settings), not of a live server.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

Document = dict[str, Any]

DEFAULTS: dict[str, Any] = {
    "Accounts_RegistrationForm": "Public",
    "Accounts_Registration_Users_Default_Roles": "user",
    "Accounts_Registration_AuthenticationServices_Default_Roles": "user",
    "Accounts_ManuallyApproveNewUsers": False,
    "Accounts_EmailVerification": False,
    "Accounts_TwoFactorAuthentication_Enabled": True,
    "Accounts_TwoFactorAuthentication_By_TOTP_Enabled": True,
    "Accounts_TwoFactorAuthentication_By_Email_Enabled": True,
    "Accounts_TwoFactorAuthentication_RememberFor": 1800,
    "Accounts_TwoFactorAuthentication_Enforce_Password_Fallback": True,
    "Accounts_Password_Policy_Enabled": True,
    "Accounts_Password_Policy_MinLength": 14,
    "Accounts_Password_Policy_MaxLength": -1,
    "Accounts_LoginExpiration": 90,
    "Accounts_AllowAnonymousRead": False,
    "Accounts_AllowAnonymousWrite": False,
    "Accounts_AllowDeleteOwnAccount": False,
    "Accounts_AvatarBlockUnauthenticatedAccess": True,
    "Block_Multiple_Failed_Logins_Enabled": True,
    "Block_Multiple_Failed_Logins_By_User": True,
    "Block_Multiple_Failed_Logins_Attempts_Until_Block_by_User": 10,
    "Block_Multiple_Failed_Logins_By_Ip": True,
    "Block_Multiple_Failed_Logins_Attempts_Until_Block_By_Ip": 50,
    "Block_Multiple_Failed_Logins_Ip_Whitelist": "",
    "Block_Multiple_Failed_Logins_Notify_Failed": False,
    "Login_Logs_Enabled": False,
    "FileUpload_ProtectFiles": True,
    "FileUpload_Restrict_to_room_members": True,
    "FileUpload_Enable_json_web_token_for_files": True,
    "FileUpload_MediaTypeBlackList": "image/svg+xml",
    "FileUpload_MediaTypeWhiteList": "",
    "API_Enable_Rate_Limiter": True,
    "API_Enable_CORS": False,
    "Iframe_Restrict_Access": True,
    "Iframe_Integration_send_enable": False,
    "Iframe_Integration_receive_enable": False,
    "Accounts_iframe_enabled": False,
    "Enable_CSP": True,
    "Allow_Invalid_SelfSigned_Certs": False,
}
PERMISSIONS: dict[str, list[str]] = {
    "view-privileged-setting": ["admin"],
    "edit-privileged-setting": ["admin"],
    "view-statistics": ["admin"],
    "assign-admin-role": ["admin"],
    "manage-incoming-integrations": ["admin"],
    "manage-outgoing-integrations": ["admin"],
    "manage-own-incoming-integrations": ["admin"],
    "manage-own-outgoing-integrations": ["admin"],
    "user-generate-access-token": ["admin"],
    "message-impersonate": ["bot", "app"],
    "create-personal-access-tokens": ["admin", "user"],
    "add-oauth-service": ["admin"],
    "api-bypass-rate-limit": ["admin", "bot", "app"],
    "access-permissions": ["admin"],
    "test-push-notifications": ["admin", "user"],
    "view-d-room": ["admin", "bot", "user"],
}
# What `settings.addCustomOAuth` makes, by the ids' ends: apps/meteor/server/lib/oauth/addOAuthService.ts
PROVIDER_DEFAULTS: dict[str, Any] = {
    "": False, "-url": "", "-token_path": "/oauth/token", "-token_sent_via": "payload",
    "-identity_token_sent_via": "default", "-identity_path": "/me", "-authorize_path": "/oauth/authorize",
    "-scope": "openid", "-access_token_param": "access_token", "-id": "", "-secret": "",
    "-login_style": "popup", "-button_label_text": "", "-button_label_color": "#FFFFFF",
    "-button_color": "#1d74f5", "-key_field": "username", "-username_field": "", "-email_field": "",
    "-name_field": "", "-avatar_field": "", "-merge_users": False, "-merge_users_distinct_services": False,
    "-show_button": True,
}  # fmt: skip


@dataclass
class ChatUser:
    """A person or a bot; without a password, TOTP and e-mail codes no second factor is ever asked of it."""

    id: str
    username: str
    roles: list[str] = field(default_factory=lambda: ["user"])
    password: str = ""
    totp: bool = False
    email2fa: bool = False
    active: bool = True
    last_login: datetime | None = None
    tokens: list[Document] = field(default_factory=list)

    def second_factor(self) -> str:
        """The method that is asked for; empty for none. (server: 2fa/code)"""
        if self.totp:
            return "totp"
        if self.email2fa:
            return "email"
        return "password" if self.password else ""


class ChatServerState:
    """The whole of it; `add_token` and `check_token` do what Meteor does with login tokens."""

    def __init__(self) -> None:
        self.settings: dict[str, Any] = dict(DEFAULTS)
        self.packaged: dict[str, Any] = dict(DEFAULTS)
        self.hidden: set[str] = set()  # SETTINGS_HIDDEN
        self.overwritten: set[str] = set()  # OVERWRITE_SETTING_, which a restart puts back
        self.permissions = {name: list(roles) for name, roles in PERMISSIONS.items()}
        self.integrations: list[Document] = []
        self.users: dict[str, ChatUser] = {}
        self.version = "8.6.1"

    def add_user(self, user: ChatUser) -> ChatUser:
        """Put a user in place."""
        self.users[user.id] = user
        return user

    def add_token(self, user: ChatUser, name: str, *, bypass: bool = False) -> str:
        """A personal access token; only its hash is kept, as the server does."""
        token = secrets.token_urlsafe(32)  # 43 letters, as Random.secret() makes them
        user.tokens.append(
            {
                "hashedToken": hash_token(token),
                "type": "personalAccessToken",
                "createdAt": datetime.now(UTC),
                "lastTokenPart": token[-6:],
                "name": name,
                "bypassTwoFactor": bypass,
            }
        )
        return token

    def check_token(self, user_id: str, token: str) -> ChatUser | None:
        """Whose token it is; None if it is nobody's."""
        user = self.users.get(user_id)
        hashed = hash_token(token)
        known = user is not None and any(one["hashedToken"] == hashed for one in user.tokens)
        return user if known and user is not None and user.active else None

    def has_permission(self, user: ChatUser, permission: str) -> bool:
        """Whether one of the user's roles has the permission."""
        return bool(set(user.roles) & set(self.permissions.get(permission, ())))


def hash_token(token: str) -> str:
    """Meteor's Accounts._hashLoginToken."""
    return base64.b64encode(hashlib.sha256(token.encode()).digest()).decode()
