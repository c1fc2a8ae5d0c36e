//! An image of many layers.

use crate::support::{Layer, Recipe};

pub(crate) const NAME: &str = "fifty:x";

/// Bytes as good as random, the same every time: xorshift.
pub(crate) fn noise() -> impl FnMut() -> u8 {
    let mut state = 1_u64;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    }
}

/// Busybox and 49 layers of twenty files, half of each noise: about 20 MB of gzip.
pub(crate) fn layers() -> Recipe {
    let mut noise = noise();
    let mut recipe = Recipe::new().layer(Layer::busybox());
    for number in 1..50 {
        let mut layer = Layer::new()
            .dir("data", 0o755)
            .dir(&format!("data/{number}"), 0o755);
        for file in 0..20 {
            let mut content = vec![b'x'; 40_000];
            content[..20_000].fill_with(&mut noise);
            layer = layer.file(&format!("data/{number}/{file}"), 0o644, &content);
        }
        recipe = recipe.layer(layer);
    }
    recipe
}
