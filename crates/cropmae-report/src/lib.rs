//! Pictures of reconstructions, masks and features, and the HTML report of a run.
//!
//! Everything comes in as plain buffers ([`image::RgbImage`], slices) and goes out as pictures or text; the
//! caller decides where they are stored. Nothing here knows tensors, devices or files.
//!
//! | to see | call |
//! |---|---|
//! | what the decoder fills in | [`reconstructions`] |
//! | where a patch of view 2 looks in view 1 | [`mark_cell`], [`attention_map`] |
//! | what the encoder tells apart | [`pca_pictures`] |
//! | propagated objects and parts | [`overlay`] |
//! | propagated joints | [`draw_joints`] |
//! | crops, where they come from and what of them is masked | [`crop_sheet`] |
//! | any of these side by side, with captions | [`Figure`] |
//! | a whole video | [`gif`] |
//! | loss and learning rate | [`Chart`] |
//! | a run at a glance | [`Page`] |
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
