//! `--log-driver` and `--log-opt`.

use container_core::request::LogConfig;

/// Options without a driver that takes any.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid logging opts for driver none")]
pub(crate) struct NoOptions;

/// The driver and its options. What they mean is for the library to say.
///
/// # Errors
/// Options for the driver that has none.
pub(crate) fn config(
    driver: Option<&str>,
    options: Vec<(String, String)>,
) -> Result<LogConfig, NoOptions> {
    let mut config = LogConfig::default();
    if let Some(driver) = driver.filter(|driver| !driver.is_empty()) {
        driver.clone_into(&mut config.driver);
    }
    if config.driver == "none" && !options.is_empty() {
        return Err(NoOptions);
    }
    config.options = options.into_iter().collect();
    Ok(config)
}
