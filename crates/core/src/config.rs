//! Configuration: what the TOML says, checked.
