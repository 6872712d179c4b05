//! This crate draws reconstructions, masks and features as pictures, and builds the HTML report of a run.
//!
//! All functions take plain buffers ([`image::RgbImage`], slices) and return pictures or text. The caller
//! decides where to store them. Nothing in this crate uses tensors, devices or files.
//!
//! | what to show | item |
//! |---|---|
//! | what the decoder predicts for the removed patches | [`reconstructions`] |
//! | which patches of view 1 a patch of view 2 attends to | [`mark_cell`], [`attention_map`] |
//! | which regions the encoder distinguishes | [`pca_pictures`] |
//! | propagated objects and parts | [`overlay`] |
//! | propagated joints | [`draw_joints`] |
//! | crops, their boxes in the picture, and their masks | [`crop_sheet`] |
//! | several pictures side by side, with captions | [`Figure`] |
//! | a whole video | [`gif`] |
//! | loss and learning rate | [`Chart`] |
//! | a summary of a run | [`Page`] |
//!
//! ```
//! use cropmae_report::{Figure, Page, ReportError, overlay};
//! use image::{GrayImage, RgbImage};
//!
//! # fn main() -> Result<(), ReportError> {
//! # let (frame, truth, predicted) = (RgbImage::new(8, 8), GrayImage::new(8, 8), GrayImage::new(8, 8));
//! let panels = vec![overlay(&frame, &truth)?, overlay(&frame, &predicted)?];
//! let figure = Figure::new(["Ground truth", "Prediction"]).row("00012", panels).render()?;
//! let mut page = Page::new("DAVIS-2017", "CropMAE, ViT-S/16");
//! page.section("blackswan");
//! page.picture("Labels propagated from the first frame", &figure)?;
//! let html = page.render();
//! # assert!(html.contains("blackswan"));
//! # Ok(())
//! # }
//! ```

mod animation;
mod attention;
mod crops;
mod curves;
mod draw;
mod error;
mod figure;
mod html;
mod joints;
mod overlay;
mod page;
mod pca;
mod reconstruction;
mod text;

pub use animation::gif;
pub use attention::{attention_map, mark_cell};
pub use crops::{CropSample, crop_sheet};
pub use curves::{Chart, Series};
pub use error::ReportError;
pub use figure::Figure;
pub use joints::{JOINTS, Joints, draw_joints};
pub use overlay::{label_color, overlay};
pub use page::{Page, Table};
pub use pca::{pca_pictures, principal_components};
pub use reconstruction::{Reconstruction, mask_out, paste_visible, reconstructions};
