//! Ranges, and values that contradict each other: found before anything is decoded or allocated.

use crate::{ConfigError, Experiment, Method, Views};

impl Experiment {
    /// Checks every range and every pair of values that must agree.
    ///
    /// # Errors
    /// [`ConfigError::Range`] for the first offence, naming the key and what would be accepted.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.validate_data()?;
        self.validate_model()?;
        self.validate_training()
    }

    fn validate_data(&self) -> Result<(), ConfigError> {
        let data = &self.data;
        let suits = match self.method {
            Method::CropMae => !matches!(data.views, Views::FramePair | Views::Single),
            Method::SiamMae => data.views == Views::FramePair,
            Method::Mae => data.views == Views::Single,
        };
        require(
            suits,
            "data.views",
            format!("{:?}", data.views),
            match self.method {
                Method::CropMae => {
                    "global_to_local, local_to_global, random_views or same_views with cropmae"
                }
                Method::SiamMae => "frame_pair with siammae",
                Method::Mae => "single with mae",
            },
        )?;
        for (field, [low, high]) in [
            ("data.global_scale", data.global_scale),
            ("data.local_scale", data.local_scale),
        ] {
            require(
                0.0 < low && low <= high && high <= 1.0,
                field,
                format!("[{low}, {high}]"),
                "0 < low <= high <= 1",
            )?;
        }
        let [low, high] = data.aspect_ratio;
        require(
            0.0 < low && low <= high && high.is_finite(),
            "data.aspect_ratio",
            format!("[{low}, {high}]"),
            "0 < low <= high",
        )?;
        let [low, high] = data.frame_gap;
        require(
            1 <= low && low <= high,
            "data.frame_gap",
            format!("[{low}, {high}]"),
            "1 <= low <= high",
        )?;
        unit("data.flip_prob", data.flip_prob)?;
        unit("data.max_bad_fraction", data.max_bad_fraction)?;
        positive("data.max_megapixels", data.max_megapixels as usize)?;
        positive("data.prefetch_batches", data.prefetch_batches)?;
        if let Some(scenes) = &data.scenes {
            positive("data.scenes.images", scenes.images)?;
            positive("data.scenes.videos", scenes.videos)?;
            require(
                scenes.video_frames >= 2,
                "data.scenes.video_frames",
                scenes.video_frames,
                "at least 2",
            )?;
            require(
                (32..=4096).contains(&scenes.image_px),
                "data.scenes.image_px",
                scenes.image_px,
                "32 to 4096",
            )?;
        }
        Ok(())
    }

    fn validate_model(&self) -> Result<(), ConfigError> {
        let model = &self.model;
        for (field, value) in [
            ("model.patch_size", model.patch_size),
            ("model.image_size", model.image_size),
            ("model.depth", model.depth),
            ("model.decoder_depth", model.decoder_depth),
            ("model.num_heads", model.num_heads),
            ("model.decoder_num_heads", model.decoder_num_heads),
        ] {
            positive(field, value)?;
        }
        require(
            model.image_size.is_multiple_of(model.patch_size),
            "model.image_size",
            model.image_size,
            format!("a multiple of model.patch_size = {}", model.patch_size),
        )?;
        for (field, width, heads) in [
            ("model.embed_dim", model.embed_dim, model.num_heads),
            (
                "model.decoder_embed_dim",
                model.decoder_embed_dim,
                model.decoder_num_heads,
            ),
        ] {
            require(
                width > 0 && width.is_multiple_of(4) && width.is_multiple_of(heads),
                field,
                width,
                format!("a multiple of 4 (sin-cos position embedding) and of its {heads} heads"),
            )?;
        }
        require(
            model.mlp_ratio > 0.0 && model.mlp_ratio <= 64.0,
            "model.mlp_ratio",
            model.mlp_ratio,
            "above 0, at most 64",
        )?;
        require(
            (0.0..1.0).contains(&model.decoder_dropout),
            "model.decoder_dropout",
            model.decoder_dropout,
            "0 up to below 1",
        )?;
        require(
            (0.0..1.0).contains(&self.mask.ratio),
            "mask.ratio",
            self.mask.ratio,
            "0 up to below 1",
        )?;
        require(
            self.mask.len_keep(model.num_patches()) < model.num_patches(),
            "mask.ratio",
            self.mask.ratio,
            format!(
                "a ratio that removes at least one of the {} patches",
                model.num_patches()
            ),
        )
    }

    fn validate_training(&self) -> Result<(), ConfigError> {
        let (optim, schedule, train) = (&self.optim, &self.schedule, &self.train);
        for (field, value) in [("optim.blr", optim.blr), ("optim.eps", optim.eps)] {
            require(value > 0.0 && value.is_finite(), field, value, "above 0")?;
        }
        for (field, value) in [("optim.beta1", optim.beta1), ("optim.beta2", optim.beta2)] {
            require((0.0..1.0).contains(&value), field, value, "0 up to below 1")?;
        }
        for (field, value) in [
            ("optim.weight_decay", optim.weight_decay),
            ("schedule.min_lr", schedule.min_lr),
            ("schedule.warmup_epochs", schedule.warmup_epochs),
        ] {
            require(value >= 0.0 && value.is_finite(), field, value, "0 or more")?;
        }
        if let Some(norm) = optim.clip_grad_norm {
            require(
                norm > 0.0,
                "optim.clip_grad_norm",
                norm,
                "above 0, or leave the key out",
            )?;
        }
        positive("train.epochs", train.epochs as usize)?;
        positive("train.batch_size", train.batch_size)?;
        positive("train.accum_iter", train.accum_iter)?;
        positive("train.log_every_steps", train.log_every_steps as usize)?;
        positive(
            "checkpoint.every_epochs",
            self.checkpoint.every_epochs as usize,
        )?;
        require(
            train.max_steps != Some(0),
            "train.max_steps",
            0,
            "at least 1, or leave the key out for all epochs",
        )
    }
}

fn require(
    holds: bool,
    field: &'static str,
    found: impl ToString,
    expected: impl Into<String>,
) -> Result<(), ConfigError> {
    if holds {
        return Ok(());
    }
    Err(ConfigError::Range {
        field,
        found: found.to_string(),
        expected: expected.into(),
    })
}

fn positive(field: &'static str, value: usize) -> Result<(), ConfigError> {
    require(value > 0, field, value, "at least 1")
}

fn unit(field: &'static str, value: f64) -> Result<(), ConfigError> {
    require((0.0..=1.0).contains(&value), field, value, "0 to 1")
}
