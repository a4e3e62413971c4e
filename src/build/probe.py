# Run by `loci` as `python -I -c`: prints what the interpreter says of itself, as one line of JSON.
import json, os, platform, struct, sys, sysconfig


def libc():
    try:
        name, version = os.confstr("CS_GNU_LIBC_VERSION").split()
        return [name, version]
    except (AttributeError, ValueError, OSError):
        pass
    import glob, subprocess

    # musl's dynamic loader, run without arguments, says its version (PEP 656).
    for loader in sorted(glob.glob("/lib/ld-musl-*.so.1")):
        text = subprocess.run([loader], stderr=subprocess.PIPE, universal_newlines=True).stderr
        for line in text.splitlines():
            if line.startswith("Version "):
                return ["musl", line.split()[1]]
    return ["unknown", ""]


def machine():
    # A 32-bit Python under a 64-bit kernel makes 32-bit wheels, whatever `uname` says.
    name = platform.machine()
    if struct.calcsize("P") == 4:
        return {"x86_64": "i686", "aarch64": "armv7l"}.get(name, name)
    return name


def implementation_version():
    info = sys.implementation.version
    version = "{}.{}.{}".format(info.major, info.minor, info.micro)
    if info.releaselevel != "final":
        version += info.releaselevel[0] + str(info.serial)
    return version


print()
print(json.dumps({
    "implementation_name": sys.implementation.name,
    "implementation_version": implementation_version(),
    "os_name": os.name,
    "platform_machine": platform.machine(),
    "platform_python_implementation": platform.python_implementation(),
    "platform_release": platform.release(),
    "platform_system": platform.system(),
    "platform_version": platform.version(),
    "python_full_version": platform.python_version(),
    "python_version": ".".join(platform.python_version_tuple()[:2]),
    "sys_platform": sys.platform,
    "libc": libc(),
    "machine": machine(),
    "executable": getattr(sys, "_base_executable", None) or sys.executable,
    "build": sys.version,
    "ext_suffix": sysconfig.get_config_var("EXT_SUFFIX") or "",
    "compiler": [sysconfig.get_config_var(name) or "" for name in ("CC", "CFLAGS", "LDSHARED")],
}))
