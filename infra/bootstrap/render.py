"""`python -m infra.bootstrap.render` makes cloud-init.yaml of the scripts and bootstrap.env."""

from __future__ import annotations

import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
TARGET = FOLDER / "cloud-init.yaml"
# Azure takes 64 KiB of custom data, in base64.
MOST_BYTES = 48 * 1024

_HEAD = """\
#cloud-config
# Made of the scripts and bootstrap.env by `python -m infra.bootstrap.render`; change those. It holds no
# secret: custom data can be read by whoever may read the machine.
package_update: false
write_files:
"""
_TAIL = """\
runcmd:
  # systemd-cat keeps the log across starts; a failure shows in `cloud-init status --long`.
  - [systemd-cat, -t, groundcrew-bootstrap, /opt/groundcrew/bootstrap.sh]
"""
_FILES = (
    ("/opt/groundcrew/bootstrap.sh", "0755", "bootstrap.sh"),
    ("/opt/groundcrew/deploy.sh", "0755", "deploy.sh"),
    ("/etc/groundcrew/bootstrap.env", "0644", "bootstrap.env"),
)


def cloud_init_text() -> str:
    """The whole cloud-config."""
    parts = [_HEAD]
    for path, mode, name in _FILES:
        lines = (FOLDER / name).read_text(encoding="utf-8").splitlines()
        body = "\n".join(f"      {line}" if line else "" for line in lines)
        parts.append(
            f'  - path: {path}\n    permissions: "{mode}"\n    owner: root:root\n    content: |\n{body}\n'
        )
    return "".join([*parts, _TAIL])


def main(arguments: list[str]) -> int:
    """Exit 0 if written or current, 1 if not current."""
    text = cloud_init_text()
    if arguments == ["--check"]:
        current = TARGET.is_file() and TARGET.read_text(encoding="utf-8") == text
        if not current:
            print("infra/bootstrap/cloud-init.yaml is not current: run python -m infra.bootstrap.render")
        return 0 if current else 1
    TARGET.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
