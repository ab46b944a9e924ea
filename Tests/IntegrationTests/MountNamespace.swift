import TestSupport

/// This user may mount a file system in a namespace of its own.
let canMount =
    (try? ChildProcess.run(["unshare", "-rm", "sh", "-c", "mount -t tmpfs tmpfs /mnt"], output: "/dev/null")) == 0
