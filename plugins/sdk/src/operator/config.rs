use serde::de::DeserializeOwned;

use super::OperatorError;

/// Reads the config of an operator, which is JSON: what is wrong with it is told with its line and column.
pub fn config<T: DeserializeOwned>(text: &str) -> Result<T, OperatorError> {
    // A job without a config gives an empty text.
    let text = if text.trim().is_empty() { "{}" } else { text };
    serde_json::from_str(text)
        .map_err(|error| OperatorError::new("bad-config", format!("its config is wrong: {error}")))
}

/// A state of exactly so many bytes.
pub fn take_state<const BYTES: usize>(state: &[u8]) -> Result<[u8; BYTES], OperatorError> {
    state.try_into().map_err(|_| {
        let message = format!(
            "a state has {BYTES} bytes, and this one has {}",
            state.len()
        );
        OperatorError::new("bad-state", message)
    })
}
