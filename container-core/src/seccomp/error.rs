//! What can be wrong with a profile.

/// Why a seccomp profile cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SeccompError {
    /// Not the JSON of a profile.
    #[error("seccomp profile: not Docker's nor OCI's format: {0}")]
    Json(#[from] serde_json::Error),

    /// Docker's format gives either.
    #[error("seccomp profile: has both `architectures` and `archMap`; keep one of them")]
    Architectures,

    /// Docker's format gives either.
    #[error("seccomp profile: the rule for {name:?} has both `name` and `names`; keep one of them")]
    Names {
        /// The single name.
        name: String,
    },

    /// `minKernel` is not `MAJOR.MINOR`.
    #[error("seccomp profile: minKernel {version:?} is not a kernel version such as \"4.8\"")]
    MinKernel {
        /// As written.
        version: String,
    },

    /// System calls have six arguments.
    #[error(
        "seccomp profile: the rule for {syscall} tests argument {index}, but arguments are numbered 0 to 5"
    )]
    Argument {
        /// The first name of the rule.
        syscall: String,
        /// As written.
        index: usize,
    },

    /// The kernel caps error numbers at 4095 and trace messages at 65535.
    #[error(
        "seccomp profile: errnoRet {value} of {rule} is above {max}, the greatest the kernel can return"
    )]
    ReturnValue {
        /// The first name of the rule, or "the default action".
        rule: String,
        /// As written.
        value: u32,
        /// The greatest possible.
        max: u32,
    },

    /// With that default the container could not even be started.
    #[error(
        "seccomp profile: SCMP_ACT_NOTIFY cannot be the default action: the process that installs the filter would wait for an agent that has not got it yet; name the system calls to be notified of"
    )]
    NotifyDefault,

    /// The filter is handed to the agent with these calls.
    #[error(
        "seccomp profile: SCMP_ACT_NOTIFY cannot be used for {syscall}: it is needed after the filter is in place to report that it is"
    )]
    NotifyOn {
        /// The call.
        syscall: String,
    },

    /// The kernel takes 4096 instructions.
    #[error(
        "seccomp profile: compiles to {instructions} instructions, the kernel takes 4096 at most; use fewer rules with conditions"
    )]
    TooLong {
        /// How many it would be.
        instructions: usize,
    },
}
