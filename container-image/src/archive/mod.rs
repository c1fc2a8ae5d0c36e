//! Images and root file systems as archives: load and save, import and export; and files that are
//! copied, pack and extract.
//!
//! ```text
//! image.tar                     what `save` writes; for Format::OciDirectory, a directory
//!   oci-layout                  {"imageLayoutVersion":"1.0.0"}
//!   index.json                  one entry for each image and name
//!   manifest.json               the same for Docker (Format::Docker only)
//!   blobs/sha256/<hex>          manifests, configurations, layers
//! ```
//!
//! The same images give the same bytes, whenever and wherever they are saved.

mod error;
mod export;
mod files;
mod import;
mod load;
mod members;
mod save;
mod sink;
mod source;

pub use self::error::ArchiveError;
pub use self::export::{export, export_at};
pub use self::files::{extract, of_file, pack};
pub use self::import::{Import, import};
pub use self::load::{Loaded, load};
pub use self::save::{Format, Selection, save, save_directory, select};
pub use self::source::Input;
