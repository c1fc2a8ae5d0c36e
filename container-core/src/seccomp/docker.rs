//! Docker's default profile.
//!
//! The facts are those of `profiles/seccomp/default.json` of github.com/moby/moby (of 2026,
//! with AF_ALG closed), which the tests compare this table with.

use std::collections::HashSet;

use oci_spec::runtime::{
    Capability::{self, *},
    LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompArgBuilder,
    LinuxSeccompOperator::{self as Operator, *},
    LinuxSyscall,
};

use super::Arch;

/// Docker's default profile.
///
/// - `capabilities`: the bounding set. Calls that need a capability are let through where it
///   is held, since the kernel then checks better than a filter can.
/// - `native`: the kernel's own convention.
/// - `kernel`: major and minor version of the running kernel. `ptrace` could be used to get
///   round a filter before 4.8.
pub fn docker_default(
    capabilities: &HashSet<Capability>,
    native: Arch,
    kernel: (u32, u32),
) -> LinuxSeccomp {
    let syscalls = RULES
        .iter()
        .filter(|rule| rule.applies(capabilities, native, kernel));
    let mut profile = LinuxSeccomp::default();
    profile
        .set_default_action(Action::ScmpActErrno)
        .set_default_errno_ret(Some(libc::EPERM.unsigned_abs()))
        .set_architectures(Some(
            architectures(native)
                .iter()
                .map(|arch| arch.to_oci())
                .collect(),
        ))
        .set_syscalls(Some(syscalls.filter_map(Rule::to_oci).collect()));
    profile
}

/// The conventions that Docker's `archMap` lists where `native` is the machine's.
fn architectures(native: Arch) -> &'static [Arch] {
    match native {
        Arch::X86_64 => &[Arch::X86_64, Arch::X86, Arch::X32],
        Arch::Aarch64 => &[Arch::Aarch64, Arch::Arm],
        Arch::X86 | Arch::X32 | Arch::Arm => &[],
    }
}

/// Names are separated by spaces.
struct Rule {
    names: &'static str,
    action: Verdict,
    /// The argument's number, the operation and its value (a mask if `MASKED_EQ`, to give 0).
    arg: Option<(usize, Operator, u64)>,
    with: Option<Capability>,
    without: Option<Capability>,
    only_on: &'static [&'static str],
    not_on: &'static [&'static str],
    min_kernel: (u32, u32),
}

enum Verdict {
    Allow,
    Errno(u32),
}
use Verdict::{Allow, Errno};

const ANY: Rule = Rule {
    names: "",
    action: Allow,
    arg: None,
    with: None,
    without: None,
    only_on: &[],
    not_on: &[],
    min_kernel: (0, 0),
};

impl Rule {
    fn applies(&self, held: &HashSet<Capability>, native: Arch, kernel: (u32, u32)) -> bool {
        let arch = native.go_name();
        self.with
            .is_none_or(|capability| held.contains(&capability))
            && self
                .without
                .is_none_or(|capability| !held.contains(&capability))
            && (self.only_on.is_empty() || self.only_on.contains(&arch))
            && !self.not_on.contains(&arch)
            && kernel >= self.min_kernel
    }

    /// `None` if the condition could not be built, which oci-spec's builder leaves open: the
    /// rule is then left out, rather than let through unconditionally.
    fn to_oci(&self) -> Option<LinuxSyscall> {
        let mut syscall = LinuxSyscall::default();
        syscall.set_names(
            self.names
                .split_ascii_whitespace()
                .map(str::to_owned)
                .collect(),
        );
        match self.action {
            Allow => syscall.set_action(Action::ScmpActAllow),
            Errno(number) => syscall
                .set_action(Action::ScmpActErrno)
                .set_errno_ret(Some(number)),
        };
        if let Some((index, op, value)) = self.arg {
            let arg = LinuxSeccompArgBuilder::default()
                .index(index)
                .value(value)
                .op(op);
            syscall.set_args(Some(vec![arg.build().ok()?]));
        }
        Some(syscall)
    }
}

static RULES: [Rule; 33] = [
    Rule {
        names: "accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir chmod chown \
                chown32 clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime \
                clock_gettime64 clock_nanosleep clock_nanosleep_time64 close close_range connect \
                copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old \
                epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit \
                exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark fchdir \
                fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr \
                flistxattr flock fork fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 \
                fsync ftruncate ftruncate64 futex futex_requeue futex_time64 futex_wait futex_waitv \
                futex_wake futimesat getcpu getcwd getdents getdents64 getegid getegid32 geteuid \
                geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername getpgid getpgrp \
                getpid getppid getpriority getrandom getresgid getresgid32 getresuid getresuid32 \
                getrlimit get_robust_list getrusage getsid getsockname getsockopt get_thread_area gettid \
                gettimeofday getuid getuid32 getxattr getxattrat inotify_add_watch inotify_init \
                inotify_init1 inotify_rm_watch io_cancel ioctl io_destroy io_getevents io_pgetevents \
                io_pgetevents_time64 ioprio_get ioprio_set io_setup io_submit ipc kill landlock_add_rule \
                landlock_create_ruleset landlock_restrict_self lchown lchown32 lgetxattr link linkat \
                listen listmount listxattr listxattrat llistxattr _llseek lremovexattr lseek lsetxattr \
                lstat lstat64 madvise map_shadow_stack membarrier memfd_create memfd_secret mincore \
                mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap mmap2 mprotect mq_getsetattr \
                mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend \
                mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock \
                munlockall munmap name_to_handle_at nanosleep newfstatat _newselect open openat openat2 \
                pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll \
                ppoll ppoll_time64 prctl pread64 preadv preadv2 prlimit64 process_mrelease pselect6 \
                pselect6_time64 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv recv \
                recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages removexattr removexattrat \
                rename renameat renameat2 restart_syscall riscv_hwprobe rmdir rseq rt_sigaction \
                rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait \
                rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_getaffinity sched_getattr sched_getparam \
                sched_get_priority_max sched_get_priority_min sched_getscheduler sched_rr_get_interval \
                sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam \
                sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop \
                semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg sendto setfsgid setfsgid32 \
                setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setitimer setpgid setpriority \
                setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 \
                setrlimit set_robust_list setsid setsockopt set_thread_area set_tid_address setuid \
                setuid32 setxattr setxattrat shmat shmctl shmdt shmget shutdown sigaltstack signalfd \
                signalfd4 sigprocmask sigreturn socketcall socketpair splice stat stat64 statfs statfs64 \
                statmount statx symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time \
                timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime \
                timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime \
                timerfd_settime64 times tkill truncate truncate64 ugetrlimit umask uname unlink unlinkat \
                uretprobe utime utimensat utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid \
                write writev",
        ..ANY
    },
    Rule {
        names: "process_vm_readv process_vm_writev ptrace",
        min_kernel: (4, 8),
        ..ANY
    },
    Rule {
        names: "socket",
        arg: Some((0, ScmpCmpLt, 38)),
        ..ANY
    },
    Rule {
        names: "socket",
        arg: Some((0, ScmpCmpEq, 39)),
        ..ANY
    },
    Rule {
        names: "socket",
        arg: Some((0, ScmpCmpGt, 40)),
        ..ANY
    },
    Rule {
        names: "personality",
        arg: Some((0, ScmpCmpEq, 0)),
        ..ANY
    },
    Rule {
        names: "personality",
        arg: Some((0, ScmpCmpEq, 8)),
        ..ANY
    },
    Rule {
        names: "personality",
        arg: Some((0, ScmpCmpEq, 0x20000)),
        ..ANY
    },
    Rule {
        names: "personality",
        arg: Some((0, ScmpCmpEq, 0x20008)),
        ..ANY
    },
    Rule {
        names: "personality",
        arg: Some((0, ScmpCmpEq, 0xffffffff)),
        ..ANY
    },
    Rule {
        names: "sync_file_range2 swapcontext",
        only_on: &["ppc64le"],
        ..ANY
    },
    Rule {
        names: "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls",
        only_on: &["arm", "arm64"],
        ..ANY
    },
    Rule {
        names: "arch_prctl",
        only_on: &["amd64", "x32"],
        ..ANY
    },
    Rule {
        names: "modify_ldt",
        only_on: &["amd64", "x32", "x86"],
        ..ANY
    },
    Rule {
        names: "s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr",
        only_on: &["s390", "s390x"],
        ..ANY
    },
    Rule {
        names: "riscv_flush_icache",
        only_on: &["riscv64"],
        ..ANY
    },
    Rule {
        names: "open_by_handle_at",
        with: Some(DacReadSearch),
        ..ANY
    },
    Rule {
        names: "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie \
                lsm_get_self_attr lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount \
                open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog \
                umount umount2 unshare",
        with: Some(SysAdmin),
        ..ANY
    },
    Rule {
        names: "clone",
        arg: Some((0, ScmpCmpMaskedEq, 0x7e020000)),
        without: Some(SysAdmin),
        not_on: &["s390", "s390x"],
        ..ANY
    },
    Rule {
        names: "clone",
        arg: Some((1, ScmpCmpMaskedEq, 0x7e020000)),
        without: Some(SysAdmin),
        only_on: &["s390", "s390x"],
        ..ANY
    },
    Rule {
        names: "clone3",
        action: Errno(38),
        without: Some(SysAdmin),
        ..ANY
    },
    Rule {
        names: "reboot",
        with: Some(SysBoot),
        ..ANY
    },
    Rule {
        names: "chroot",
        with: Some(SysChroot),
        ..ANY
    },
    Rule {
        names: "delete_module init_module finit_module",
        with: Some(SysModule),
        ..ANY
    },
    Rule {
        names: "acct",
        with: Some(SysPacct),
        ..ANY
    },
    Rule {
        names: "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace",
        with: Some(SysPtrace),
        ..ANY
    },
    Rule {
        names: "iopl ioperm",
        with: Some(SysRawio),
        ..ANY
    },
    Rule {
        names: "settimeofday stime clock_settime clock_settime64",
        with: Some(SysTime),
        ..ANY
    },
    Rule {
        names: "vhangup",
        with: Some(SysTtyConfig),
        ..ANY
    },
    Rule {
        names: "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
        with: Some(SysNice),
        ..ANY
    },
    Rule {
        names: "syslog",
        with: Some(Syslog),
        ..ANY
    },
    Rule {
        names: "bpf",
        with: Some(Bpf),
        ..ANY
    },
    Rule {
        names: "perf_event_open",
        with: Some(Perfmon),
        ..ANY
    },
];
