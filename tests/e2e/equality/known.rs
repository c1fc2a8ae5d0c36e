//! Where we differ from Docker 20.10, and why: by the names that scripts give, and by members of JSON.

/// Name in the scripts, and the reason.
pub(super) const LINES: &[(&str, &str)] = &[
    (
        "newer",
        "20.10 is from 2020. Later releases do it as it is done here: other words, members of JSON that are there no \
         more or are null instead of empty, values that are refused where 20.10 took them without a word",
    ),
    (
        "words",
        "the same is refused with the same exit code; here the message says which value it is, why, and what would be \
         right, or Docker's tells of a mechanism (plugins, a daemon's request, tar run as a program) that is not here",
    ),
    (
        "order",
        "flags are read before the container is looked for: a value that is none is told of, whoever it is for",
    ),
    (
        "exec-failed",
        "20.10 writes why a process could not be started into its standard output, as if it had said so itself, and \
         gives 126 for a program that is not there. Here the message is on standard error, and the codes are those that \
         Docker's manual gives and later releases have: 127 for what is not there, 126 for what cannot be executed",
    ),
    (
        "scaffold",
        "Docker puts a layer between image and container, with /.dockerenv, /dev/console and /etc/mtab. There is none \
         here: what is to be mounted on is below all layers, and nothing but the container's changes is in its layer",
    ),
    (
        "cgroupns",
        "a container always has a cgroup namespace; 20.10 gives none on cgroup v1, later releases give one on v2",
    ),
    (
        "names",
        "names for the unnamed are an adjective, a noun and a number: no daemon has the list of all that are taken, and \
         with the number two starts at once do not choose the same",
    ),
    (
        "id-late",
        "`run -d` is one step here, not create and start: its id is told, and written to --cidfile, when it runs",
    ),
    (
        "workdir",
        "the working directory is made in the container when it starts, not when it is created: it is looked for with \
         the container's own eyes. So the container is there, and can be looked at",
    ),
    (
        "init",
        "our own small init is called init, and starts the program with nothing in between",
    ),
    (
        "checked",
        "options of a log driver are looked at when a container is made; Docker makes it and fails to start it",
    ),
    ("places", "where things lie on disk is this program's own"),
    (
        "oci",
        "`save` writes an OCI layout with Docker's manifest beside it, as Docker does since 25; layers are blobs",
    ),
    (
        "more",
        "`commit --change` takes STOPSIGNAL and HEALTHCHECK, too",
    ),
    (
        "quirk",
        "20.10 takes any message with `no such file or directory` in it for a command that is not there, and takes an \
         empty -v for a volume",
    ),
    (
        "apparmor",
        "a profile that cannot be applied is refused; Docker says nothing where the machine has no AppArmor",
    ),
    ("later", "networks come later, and so does what needs them"),
];

/// Members of what `{json}` lines print, `*` for any one part of the path, and the reason.
pub(super) const MEMBERS: &[(&str, &str)] = &[
    (
        "*/Driver",
        "overlayfs is mounted without Docker's overlay2 around it",
    ),
    (
        "*/GraphDriver",
        "the same, and where the layers lie is this program's own",
    ),
    (
        "*/HostConfig/BlkioDeviceReadBps",
        "an empty list, as in later releases",
    ),
    (
        "*/HostConfig/BlkioDeviceReadIOps",
        "an empty list, as in later releases",
    ),
    (
        "*/HostConfig/BlkioDeviceWriteBps",
        "an empty list, as in later releases",
    ),
    (
        "*/HostConfig/BlkioDeviceWriteIOps",
        "an empty list, as in later releases",
    ),
    (
        "*/HostConfig/Ulimits",
        "an empty list, as in later releases",
    ),
    (
        "*/HostConfig/CgroupnsMode",
        "a container always has a cgroup namespace",
    ),
    (
        "*/HostConfig/KernelMemory",
        "later releases have it no more, nor have kernels",
    ),
    (
        "*/HostConfig/KernelMemoryTCP",
        "later releases have it no more",
    ),
    (
        "*/HostConfig/MaskedPaths",
        "the longer list of later releases",
    ),
    ("*/HostConfig/Runtime", "the runtime is this program"),
    (
        "*/HostConfig/SecurityOpt",
        "Docker notes label=disable for the host's namespaces, whether there is SELinux or not",
    ),
    (
        "*/HostnamePath",
        "made at every start, so it lies in the run directory",
    ),
    (
        "*/HostsPath",
        "made at every start, so it lies in the run directory",
    ),
    (
        "*/ResolvConfPath",
        "made at every start, so it lies in the run directory",
    ),
    (
        "*/LogPath",
        "a name of our own, and known before the first start",
    ),
    (
        "*/NetworkSettings/Networks/*/DNSNames",
        "later releases have it",
    ),
    (
        "*/NetworkSettings/Networks/*/GwPriority",
        "later releases have it",
    ),
    (
        "*/NetworkSettings/Networks/*/NetworkID",
        "`none` and `host` are no objects with ids until networks come",
    ),
    (
        "*/NetworkSettings/Networks/*/EndpointID",
        "`none` and `host` are no objects with ids until networks come",
    ),
    (
        "*/NetworkSettings/SandboxID",
        "the network namespace is the container's process's, not an object of its own",
    ),
    (
        "*/NetworkSettings/SandboxKey",
        "the network namespace is the container's process's, not an object of its own",
    ),
    ("*/Container", "later releases have it no more"),
    ("*/ContainerConfig", "later releases have it no more"),
    (
        "*/Metadata/LastTagTime",
        "an OCI layout does not note when a name was given",
    ),
    (
        "*/Labels",
        "null where there are none, as in later releases",
    ),
    (
        "*/Options",
        "null where there are none, as in later releases",
    ),
];
