//! Checks across the tables of an experiment. They run before anything is decoded or allocated.

use crate::require::require;
use crate::{ConfigError, Experiment, Method, Views};

impl Experiment {
    /// Checks that every value is in range and that the values agree with each other.
    ///
    /// # Errors
    /// Returns [`ConfigError::Range`] for the first invalid value. It names the key and the accepted values.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.views_suit_method()?;
        self.data.validate()?;
        self.model.validate()?;
        self.mask.validate(self.model.num_patches())?;
        self.optim.validate()?;
        self.schedule.validate()?;
        self.train.validate()?;
        self.batch_holds_whole_repeats()?;
        self.checkpoint.validate()?;
        self.eval.validate()
    }

    fn views_suit_method(&self) -> Result<(), ConfigError> {
        let views = self.data.views;
        let suits = match self.method {
            Method::CropMae => !matches!(views, Views::FramePair | Views::Single),
            Method::SiamMae => views == Views::FramePair,
            Method::Mae => views == Views::Single,
        };
        require(
            suits,
            "data.views",
            format!("{views:?}"),
            match self.method {
                Method::CropMae => {
                    "global_to_local, local_to_global, random_views or same_views with cropmae"
                }
                Method::SiamMae => "frame_pair with siammae",
                Method::Mae => "single with mae",
            },
        )
    }

    fn batch_holds_whole_repeats(&self) -> Result<(), ConfigError> {
        let (batch_size, repeats) = (self.train.batch_size, self.data.repeated_sampling);
        require(
            batch_size.is_multiple_of(repeats),
            "data.repeated_sampling",
            repeats,
            format!("a divisor of train.batch_size = {batch_size}"),
        )
    }
}
