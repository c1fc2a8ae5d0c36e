//! A limit as what to write where: what the pure half decides and the other writes.

use std::borrow::Cow;

use oci_spec::runtime::{LinuxBlockIo, LinuxHugepageLimit, LinuxMemory, LinuxRdma};

use super::CgroupError;

/// One limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    /// For errors, in a user's words.
    pub(super) limit: &'static str,
    pub(super) controller: &'static str,
    /// The first file that exists is written: kernels differ.
    pub(super) files: Vec<(Cow<'static, str>, String)>,
    /// It asks for no limit, so having no means to set one is as good.
    pub(super) unlimited: bool,
    pub(super) fix: &'static str,
}

impl Setting {
    pub(super) fn new(
        limit: &'static str,
        controller: &'static str,
        file: impl Into<Cow<'static, str>>,
        value: impl ToString,
    ) -> Self {
        Setting {
            limit,
            controller,
            files: vec![(file.into(), value.to_string())],
            unlimited: false,
            fix: "leave the limit out",
        }
    }

    pub(super) fn or(mut self, file: impl Into<Cow<'static, str>>, value: impl ToString) -> Self {
        self.files.push((file.into(), value.to_string()));
        self
    }

    pub(super) fn unlimited(mut self, unlimited: bool) -> Self {
        self.unlimited = unlimited;
        self
    }

    pub(super) fn fix(mut self, fix: &'static str) -> Self {
        self.fix = fix;
        self
    }
}

/// The page size as part of a file name: `2MB`, as the kernel writes it.
pub(super) fn hugetlb_size(limit: &LinuxHugepageLimit) -> Result<&str, CgroupError> {
    let size = limit.page_size().as_str();
    let digits = size
        .trim_end_matches("KB")
        .trim_end_matches("MB")
        .trim_end_matches("GB");
    let valid = digits.len() + 2 == size.len()
        && !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_digit());
    valid.then_some(size).ok_or(CgroupError::Unsupported {
        limit: "hugetlb limit",
        why: "the page size has to be written as 64KB, 2MB or 1GB",
    })
}

/// A line of `rdma.max`.
pub(super) fn rdma_line(device: &str, rdma: &LinuxRdma) -> Result<String, CgroupError> {
    if device.is_empty() || device.bytes().any(|byte| byte.is_ascii_whitespace()) {
        return Err(CgroupError::Unsupported {
            limit: "RDMA limit",
            why: "a device's name cannot be empty or hold spaces",
        });
    }
    let mut line = device.to_owned();
    if let Some(handles) = rdma.hca_handles() {
        line += &format!(" hca_handle={handles}");
    }
    if let Some(objects) = rdma.hca_objects() {
        line += &format!(" hca_object={objects}");
    }
    Ok(line)
}

pub(super) fn refuse_kernel_memory(memory: &LinuxMemory) -> Result<(), CgroupError> {
    // Read through its serialised name only here, to refuse it.
    #[allow(deprecated)]
    match memory.kernel() {
        Some(limit) if limit > 0 => Err(CgroupError::Unsupported {
            limit: "kernel memory limit",
            why: "no kernel since 5.4 can be relied on for it; the memory limit counts kernel memory too",
        }),
        _ => Ok(()),
    }
}

pub(super) fn refuse_leaf_weight(io: &LinuxBlockIo) -> Result<(), CgroupError> {
    let devices = io.weight_device().iter().flatten();
    if io.leaf_weight().is_some()
        || devices
            .into_iter()
            .any(|device| device.leaf_weight().is_some())
    {
        return Err(CgroupError::Unsupported {
            limit: "block IO leaf weight",
            why: "it belonged to the CFQ scheduler, which Linux 5.0 removed; use weight",
        });
    }
    Ok(())
}
