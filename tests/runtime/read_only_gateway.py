"""`python read_only_gateway.py serve ...`: a gateway without a writable temporary directory."""

import os
import resource
import subprocess
import sys

# In a mount namespace of its own.
_READ_ONLY = (
    "unshare",
    "-rm",
    "sh",
    "-ec",
    'for each in /tmp /var/tmp /usr/tmp; do if [ -d "$each" ]; then mount --bind "$each" "$each";'
    ' mount -o remount,bind,ro "$each"; fi; done; exec "$@"',
    "sh",
)


def _may_mount() -> bool:
    try:
        return subprocess.run([*_READ_ONLY, "true"], capture_output=True).returncode == 0
    except OSError:
        return False


if __name__ == "__main__":
    for name in ("TMPDIR", "TEMP", "TMP"):
        os.environ.pop(name, None)
    # The current directory is the last choice for temporary files.
    os.chdir("/proc")
    command = [sys.executable, "-m", "kafka_facade", *sys.argv[1:]]
    if _may_mount():
        os.execvp(_READ_ONLY[0], [*_READ_ONLY, *command])
    # Where the kernel does not allow mounts, no file can be written at all.
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    os.execv(command[0], command)
