//! CropMAE, SiamMAE and MAE vision transformers, their losses, weights and features.
