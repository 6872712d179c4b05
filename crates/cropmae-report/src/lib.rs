//! Pictures of reconstructions, masks and features for CropMAE in Rust.
