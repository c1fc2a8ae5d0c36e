//! A container's files from outside: `diff`, `export`, `commit`, `cp` and sizes, compared with Docker's where Docker
//! has an answer.

mod changes;
mod commit;
mod copy;
mod pair;
mod races;
