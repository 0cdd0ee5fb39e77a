"""Who PostgreSQL runs as: itself for an ordinary user, a mapped or dropped identity when the supervisor is root."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

UNPRIVILEGED_ID = 65_534

# Inside the namespace root's files look as if they belong to 65534, which PostgreSQL accepts: no account, no chown.
USER_NAMESPACE = (
    "unshare",
    "--user",
    f"--map-user={UNPRIVILEGED_ID}",
    f"--map-group={UNPRIVILEGED_ID}",
    "--",
)

# Containers often refuse user namespaces. The account 65534 then keeps the one capability that lets it pass a closed
# parent folder such as /root. A change of identity clears the parent-death signal, so setpriv has to set it again.
DROPPED_ACCOUNT = (
    "setpriv",
    f"--reuid={UNPRIVILEGED_ID}",
    f"--regid={UNPRIVILEGED_ID}",
    "--clear-groups",
    "--inh-caps=+dac_override",
    "--ambient-caps=+dac_override",
    f"--pdeathsig={signal.SIGINT.name.removeprefix('SIG')}",
    "--",
)


class NoIdentity(RuntimeError):
    """PostgreSQL refuses to run as root and no other identity works on this machine."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """An argv prefix under which PostgreSQL agrees to start, and the account that then owns its data folder."""

    prefix: tuple[str, ...]
    owner: int


def database_identity(*, binaries: Path, allow_namespace: bool = True) -> Identity:
    """Find the identity to run PostgreSQL under; raises NoIdentity when root has none that works."""
    if os.geteuid() != 0:
        return Identity(prefix=(), owner=os.geteuid())
    choices = [Identity(prefix=USER_NAMESPACE, owner=0)] if allow_namespace else []
    choices.append(Identity(prefix=DROPPED_ACCOUNT, owner=UNPRIVILEGED_ID))
    for choice in choices:
        if _works(choice, binaries):
            return choice
    raise NoIdentity(
        "PostgreSQL does not run as root, and this machine allows neither user namespaces nor a dropped account: "
        "run as an ordinary user, or set DATABASE_URL to a PostgreSQL server of your own"
    )


def give_to(identity: Identity, folder: Path) -> None:
    """Make the identity's account the owner of the folder and all that is in it, if it is not already."""
    if folder.stat().st_uid == identity.owner:
        return
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, identity.owner, -1, follow_symlinks=False)


def _works(identity: Identity, binaries: Path) -> bool:
    if shutil.which(identity.prefix[0]) is None:
        return False
    trial = [*identity.prefix, str(binaries / "initdb"), "--version"]
    return subprocess.run(trial, capture_output=True, cwd="/", check=False).returncode == 0
