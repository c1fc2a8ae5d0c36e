#![doc = include_str!("../README.md")]

pub mod cgroup;
pub mod seccomp;
