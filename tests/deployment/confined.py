"""Runs the ExecStart of a systemd unit, as it is written, under that unit's restrictions, as far as that can be done without systemd.

Usage: confined.py UNIT ROOT [DROP-IN]..., where ROOT/etc, ROOT/usr and ROOT/var/lib/NAME, ROOT/run/NAME stand for the machine's own:
the first two are laid over them, and read-only like everything else; the last two are the unit's StateDirectory and RuntimeDirectory.

It is for /usr/bin/python3, whose Debian package python3-seccomp it needs. What is enforced: the system calls and address families that
are allowed, memory that is both written and executed, no new privileges, no capabilities, limits, umask, a file system that is
read-only but for the unit's own folders, and credentials. What is not: all else, such as PrivateDevices and MemorySwapMax; a name
of a directive that this program does not know is refused, so that none is passed over unawares.
"""

import ctypes
import errno
import mmap
import os
import pathlib
import resource
import shutil
import socket
import subprocess
import sys

ENFORCED = {
    "AmbientCapabilities", "CapabilityBoundingSet", "Environment", "ExecStart", "LimitCORE", "LimitMEMLOCK", "LimitNOFILE",
    "LoadCredential", "MemoryDenyWriteExecute", "NoNewPrivileges", "ProtectSystem", "RestrictAddressFamilies", "RuntimeDirectory",
    "StateDirectory", "SystemCallErrorNumber", "SystemCallFilter", "UMask", "WorkingDirectory",
}
LEFT_TO_SYSTEMD = {
    "DeviceAllow", "DevicePolicy", "ExecReload", "Group", "IOSchedulingClass", "IPAddressAllow", "IPAddressDeny", "LockPersonality",
    "MemorySwapMax", "Nice",
    "PrivateDevices", "PrivateMounts", "PrivateNetwork", "PrivateTmp", "PrivateUsers", "ProcSubset", "ProtectClock",
    "ProtectControlGroups", "ProtectHome", "ProtectHostname", "ProtectKernelLogs", "ProtectKernelModules", "ProtectKernelTunables",
    "ProtectProc", "RemoveIPC", "Restart", "RestartSec", "RestrictNamespaces", "RestrictRealtime", "RestrictSUIDSGID",
    "RuntimeDirectoryMode", "RuntimeDirectoryPreserve", "StateDirectoryMode", "SupplementaryGroups", "SystemCallArchitectures",
    "TimeoutStopSec", "Type", "User", "WatchdogSec",
}
PR_SET_NO_NEW_PRIVS = 38
PR_CAPBSET_DROP = 24
CREDENTIALS = "/run/credentials"


def service(paths):
    """The section [Service] of a unit and its drop-ins: values by name; an empty one takes away those before it."""
    values = {}
    for path in paths:
        section = None
        for line in pathlib.Path(path).read_text().splitlines():
            if line.startswith("["):
                section = line.strip("[]")
            elif section == "Service" and "=" in line and not line.startswith("#"):
                name, value = line.split("=", 1)
                if name not in ENFORCED | LEFT_TO_SYSTEMD:
                    sys.exit(f"{path}: {name} is neither enforced here nor known to be left to systemd")
                values.setdefault(name, []).append(value)
                if not value:
                    values[name] = []
    return values


def members(group):
    """The system calls of a group, such as @system-service, as systemd knows them."""
    listed = subprocess.run(["systemd-analyze", "syscall-filter", group], capture_output=True, text=True, check=True).stdout
    for word in (line.strip() for line in listed.splitlines()[1:]):
        if word.startswith("@"):
            yield from members(word)
        elif word and not word.startswith("#"):
            yield word


def allowed_calls(filters):
    """The names of the system calls that a list of filters allows, applied in their order. The first must be a list of what is allowed."""
    assert filters and not filters[0].startswith("~"), "a list of what is allowed comes first"
    allowed = set()
    for value in filters:
        deny = value.startswith("~")
        for word in value.lstrip("~").split():
            calls = set(members(word)) if word.startswith("@") else {word}
            allowed = allowed - calls if deny else allowed | calls
    return allowed


def folders(values, kind):
    """The names of a unit's own folders of one kind."""
    return [name for value in values.get(kind, []) for name in value.split()]


def mount(*words):
    subprocess.run(["mount", *words], check=True)


def lay_out(root, values, name):
    """Makes this process's file system that of the unit: ROOT over the machine's, read-only but for the unit's own folders."""
    new = root / "mounted"
    new.mkdir(exist_ok=True)
    mount("-t", "tmpfs", "tmpfs", new)
    for folder in ("bin", "lib", "lib64", "sbin"):
        if pathlib.Path("/", folder).is_symlink():
            (new / folder).symlink_to(os.readlink(f"/{folder}"))
    for folder in ("usr", "etc", "dev", "proc", "tmp", "run", "var/lib"):
        (new / folder).mkdir(parents=True)
    for folder in ("usr", "etc"):
        mount("-t", "overlay", "-o", f"lowerdir={root / folder}:/{folder}", "overlay", new / folder)
    mount("--rbind", "/dev", new / "dev")
    mount("--rbind", "/proc", new / "proc")
    mount("-t", "tmpfs", "tmpfs", new / "tmp")
    for kind, parent in (("StateDirectory", "var/lib"), ("RuntimeDirectory", "run")):
        for own in folders(values, kind):
            (new / parent / own).mkdir()
            mount("--bind", root / parent / own, new / parent / own)
    # Other units' sockets: reachable, as /run is.
    for other in (root / "run").iterdir():
        if not (new / "run" / other.name).exists():
            (new / "run" / other.name).mkdir()
            mount("--bind", "-o", "ro", other, new / "run" / other.name)
    folder = new / CREDENTIALS.lstrip("/") / name
    folder.mkdir(parents=True)
    for value in values.get("LoadCredential", []):
        credential, source = value.split(":", 1)
        shutil.copyfile(root / source.lstrip("/"), folder / credential)
        (folder / credential).chmod(0o400)
    mount("-o", "remount,bind,ro", new)
    os.chroot(new)


def restrain(values):
    """What the unit takes away from its process, the filter of system calls last."""
    import seccomp

    limits = {"LimitCORE": resource.RLIMIT_CORE, "LimitMEMLOCK": resource.RLIMIT_MEMLOCK, "LimitNOFILE": resource.RLIMIT_NOFILE}
    for name, which in limits.items():
        for value in values.get(name, []):
            most = int(value[:-1]) << 20 if value.endswith("M") else int(value)
            # Whoever is no root cannot raise one.
            hard = resource.getrlimit(which)[1]
            most = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(which, (most, most))
    os.umask(int(values["UMask"][-1], 8))
    library = ctypes.CDLL(None, use_errno=True)
    assert values["CapabilityBoundingSet"] == [] and values["AmbientCapabilities"] == [], "none is what is done here"
    for capability in range(64):
        library.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    assert values["NoNewPrivileges"] == ["yes"] and values["ProtectSystem"] == ["strict"]
    library.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)

    calls = seccomp.SyscallFilter(seccomp.ERRNO(getattr(errno, values["SystemCallErrorNumber"][-1])))
    allowed = allowed_calls(values["SystemCallFilter"])
    special = {"socket"}
    families = [getattr(socket, family) for value in values["RestrictAddressFamilies"] for family in value.split()]
    for family in families:
        calls.add_rule(seccomp.ALLOW, "socket", seccomp.Arg(0, seccomp.EQ, family))
    if values["MemoryDenyWriteExecute"] == ["yes"]:
        special |= {"mmap", "mprotect", "pkey_mprotect"}
        both = mmap.PROT_WRITE | mmap.PROT_EXEC
        for one in (0, mmap.PROT_WRITE, mmap.PROT_EXEC):
            calls.add_rule(seccomp.ALLOW, "mmap", seccomp.Arg(2, seccomp.MASKED_EQ, both, one))
        for call in ("mprotect", "pkey_mprotect"):
            calls.add_rule(seccomp.ALLOW, call, seccomp.Arg(2, seccomp.MASKED_EQ, mmap.PROT_EXEC, 0))
    for call in sorted(allowed - special):
        try:
            calls.add_rule(seccomp.ALLOW, call)
        except (RuntimeError, ValueError, OSError):
            # A call of another architecture, or one that this library is too old for, which is then refused.
            pass
    calls.load()


def main():
    unit, root, *drop_ins = sys.argv[1:]
    if os.environ.get("CONFINED") != "mounts":
        # A mount space of its own, in a user space of its own: so root is not needed.
        words = ["unshare", "--user", "--map-root-user", "--mount", "--", sys.executable, *sys.argv]
        os.execvpe("unshare", words, {**os.environ, "CONFINED": "mounts"})
    values = service([unit, *drop_ins])
    name = pathlib.Path(unit).name
    instance = name.removesuffix(".service").partition("@")[2] or "0"
    specifiers = {"%i": instance, "%d": f"{CREDENTIALS}/{name}"}

    def expanded(text):
        for specifier, value in specifiers.items():
            text = text.replace(specifier, value)
        return text

    environment = {key: value for key, value in os.environ.items() if key != "CONFINED"}
    for value in values.get("Environment", []):
        key, value = expanded(value).split("=", 1)
        environment[key] = value
    for kind, parent in (("StateDirectory", "/var/lib"), ("RuntimeDirectory", "/run")):
        variable = {"StateDirectory": "STATE_DIRECTORY", "RuntimeDirectory": "RUNTIME_DIRECTORY"}[kind]
        own = folders(values, kind)
        if own:
            environment[variable] = ":".join(f"{parent}/{folder}" for folder in own)
    if values.get("LoadCredential"):
        environment["CREDENTIALS_DIRECTORY"] = specifiers["%d"]
    words = [expanded(word) for word in values["ExecStart"][-1].split()]
    lay_out(pathlib.Path(root), values, name)
    os.chdir(values["WorkingDirectory"][-1])
    restrain(values)
    os.execve(words[0], words, environment)


main()
