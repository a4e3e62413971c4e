# Run by `loci` in a build environment: calls one hook of a PEP 517 backend.
#
#     python driver.py REQUEST.json ANSWER.json
#
# The request is {"backend", "backend_path", "hook", "arguments"}; the answer is {"value"} or
# {"missing": the hook}, always with "peak": the most memory that one process of the build held, in
# bytes. A backend that fails leaves no answer, its traceback on standard error and a status of 1.
import json
import os
import sys

# The directory of this file is of no business to the backend (PEP 517: the tree is not on the path
# unless `backend-path` says so, and neither is anything else).
sys.path.pop(0)


def die_with_parent():
    """Standard input is a pipe that loci holds open: when loci dies, however it dies, the kernel
    kills the whole process group, so that no compiler goes on for nobody."""
    import fcntl
    import select
    import signal

    pipe = os.dup(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    try:
        fcntl.fcntl(pipe, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(pipe, getattr(fcntl, "F_SETSIG", 10), signal.SIGKILL)
        fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | os.O_ASYNC)
        # It may have died before the kernel was told.
        poll = select.poll()
        poll.register(pipe, 0)
        if poll.poll(0):
            os.killpg(0, signal.SIGKILL)
    except OSError:
        pass


def load(request):
    import importlib

    for entry in reversed(request["backend_path"]):
        sys.path.insert(0, os.path.normpath(os.path.join(os.getcwd(), entry)))
    module, _, attributes = request["backend"].partition(":")
    backend = importlib.import_module(module)
    for attribute in filter(None, attributes.split(".")):
        backend = getattr(backend, attribute)
    return backend


def peak():
    try:
        import resource
    except ImportError:
        return None
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return 1024 * max(resource.getrusage(kind).ru_maxrss for kind in kinds)


def main():
    die_with_parent()
    request_path, answer_path = sys.argv[1:]
    with open(request_path, encoding="utf-8") as file:
        request = json.load(file)
    # An old `setup.py` reads its arguments itself.
    sys.argv = ["setup.py"]
    hook = getattr(load(request), request["hook"], None)
    if hook is None:
        answer = {"missing": request["hook"]}
    else:
        answer = {"value": hook(*request["arguments"])}
    answer["peak"] = peak()
    with open(answer_path, "w", encoding="utf-8") as file:
        json.dump(answer, file)


main()
