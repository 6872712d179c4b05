//! Image sources, decoding, crop pairs, masks and the batch loader of CropMAE in Rust.
