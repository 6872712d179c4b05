//! Reads a validated [`Experiment`] from TOML text and `key=value` overrides.

use std::path::Path;

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::{ConfigError, Experiment, experiment::ALTERNATIVES};

impl Experiment {
    /// Reads the TOML file at `path`, applies `overrides` and validates the result.
    ///
    /// An override has the form `section.key=value`. The value is a TOML value, or else a string without quotes.
    ///
    /// # Errors
    /// Returns [`ConfigError`], which names the file and the key, if the file or an override is not valid.
    pub fn load(path: &Path, overrides: &[String]) -> Result<Self, ConfigError> {
        Self::parse(&read(path)?, &path.display().to_string(), overrides)
    }

    /// Does the same as [`Self::load`] for text in memory. Errors call it `origin`.
    ///
    /// # Errors
    /// Returns [`ConfigError`], which names `origin` and the key, if the text or an override is not valid.
    pub fn parse(text: &str, origin: &str, overrides: &[String]) -> Result<Self, ConfigError> {
        let mut table = parse_table(text, origin)?;
        for text in overrides {
            set(&mut table, text)?;
        }
        let experiment: Self = deserialize(table, origin)?;
        experiment.validate()?;
        Ok(experiment)
    }
}

/// Reads the TOML table of a file.
pub(crate) fn table(path: &Path) -> Result<Table, ConfigError> {
    parse_table(&read(path)?, &path.display().to_string())
}

/// Converts a table to a typed value. Errors name the key and `origin`.
pub(crate) fn deserialize<T: DeserializeOwned>(
    table: Table,
    origin: &str,
) -> Result<T, ConfigError> {
    serde_path_to_error::deserialize(Value::Table(table)).map_err(|error| ConfigError::Field {
        origin: origin.to_owned(),
        field: error.path().to_string(),
        message: error.inner().message().replace('\n', ", "),
    })
}

fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: path.to_owned(),
        source,
    })
}

fn parse_table(text: &str, origin: &str) -> Result<Table, ConfigError> {
    text.parse().map_err(|error: toml::de::Error| {
        let start = error.span().map_or(0, |span| span.start);
        ConfigError::Syntax {
            origin: origin.to_owned(),
            line: text[..start].matches('\n').count() + 1,
            message: error.message().replace('\n', ", "),
        }
    })
}

/// Sets one `section.key=value` in `table`.
fn set(table: &mut Table, text: &str) -> Result<(), ConfigError> {
    let malformed = || ConfigError::Override {
        text: text.to_owned(),
    };
    let (path, value) = text.split_once('=').ok_or_else(malformed)?;
    let (parents, key) = path.trim().rsplit_once('.').unwrap_or(("", path.trim()));
    if key.is_empty() {
        return Err(malformed());
    }
    let mut section = table;
    for parent in parents.split('.').filter(|parent| !parent.is_empty()) {
        section = section
            .entry(parent)
            .or_insert_with(|| Value::Table(Table::new()))
            .as_table_mut()
            .ok_or_else(malformed)?;
    }
    // An override replaces the alternative key of the file, because no override could remove that key.
    for [one, other] in ALTERNATIVES {
        let displaced = match path.trim() {
            path if path == one => other,
            path if path == other => one,
            _ => continue,
        };
        section.remove(displaced.rsplit('.').next().unwrap_or(displaced));
    }
    section.insert(key.to_owned(), parse_value(value.trim()));
    Ok(())
}

/// Parses a TOML value. Other text is taken as a string, so that `views=same_views` needs no quotes.
fn parse_value(text: &str) -> Value {
    format!("value = {text}")
        .parse::<Table>()
        .ok()
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| Value::String(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::{ConfigError, Experiment, Views};

    fn demo(overrides: &[&str]) -> Result<Experiment, ConfigError> {
        Experiment::demo(
            &overrides
                .iter()
                .map(|text| (*text).to_owned())
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn overrides_are_typed_and_win() {
        let changed = demo(&["train.batch_size=3", "data.views=same_views", "seed=9"]).unwrap();
        assert_eq!(changed.train.batch_size, 3);
        assert_eq!(changed.data.views, Views::SameViews);
        assert_eq!(changed.seed.0, 9);
        assert_ne!(changed.fingerprint(), demo(&[]).unwrap().fingerprint());
    }

    #[test]
    fn errors_name_the_field_on_one_line() {
        for (given, expected) in [
            ("train.batchsize=3", "unknown field `batchsize`"),
            ("train.batch_size=many", "train.batch_size"),
            ("train.batch_size=0", "train.batch_size = 0: expected"),
            ("mask.ratio=1.5", "mask.ratio = 1.5: expected"),
            (
                "model.image_size=225",
                "model.image_size = 225: expected a multiple of",
            ),
            ("method=siammae", "data.views"),
            ("data.samples=frames", "data.samples"),
            (
                "data.repeated_sampling=0",
                "data.repeated_sampling = 0: expected at least 1",
            ),
            (
                "data.repeated_sampling=7",
                "data.repeated_sampling = 7: expected a divisor of train.batch_size",
            ),
            ("data.augment.hue=true", "unknown field `hue`"),
            (
                "data.decoder=turbo",
                "data.decoder: \"turbo\" is no longer a choice: remove this key",
            ),
            ("data.decoder=other", "this key is no longer used"),
            ("nonsense", "expected section.key=value"),
            ("optim.blr=nan", "optim.blr"),
            (
                "schedule.decay_epochs=1",
                "schedule.decay_epochs = 1: expected more than the warm-up",
            ),
            ("train.compute=f16", "train.compute"),
            ("train.ema_decay=1", "train.ema_decay = 1: expected"),
            ("checkpoint.keep_last=0", "checkpoint.keep_last = 0"),
            ("eval.every_epochs=0", "eval.every_epochs = 0"),
        ] {
            let message = demo(&[given]).unwrap_err().to_string();
            assert!(message.contains(expected), "{given}: {message}");
            assert!(!message.contains('\n'), "{given}: {message}");
        }
    }

    #[test]
    fn runs_of_versions_that_had_a_choice_of_decoders_are_read() {
        let mut json = serde_json::to_value(demo(&[]).unwrap()).unwrap();
        assert_eq!(json["data"].get("decoder"), None);
        json["data"]["decoder"] = "auto".into();
        let read: Experiment = serde_json::from_value(json).unwrap();
        assert_eq!(read, demo(&["data.decoder=rust"]).unwrap());
    }

    #[test]
    fn lengths_come_in_one_unit() {
        let both = crate::presets::DEMO.replace("warmup_epochs", "warmup_steps = 5\nwarmup_epochs");
        let message = Experiment::parse(&both, "x", &[]).unwrap_err().to_string();
        assert!(
            message.contains(
                "warmup_steps = 5: expected only one of this key and schedule.warmup_epochs"
            ),
            "{message}"
        );
        let steps = demo(&["schedule.warmup_steps=5"]).unwrap().schedule;
        assert_eq!((steps.warmup_epochs, steps.warmup_steps), (None, Some(5)));
        let back = demo(&["schedule.warmup_steps=5", "schedule.warmup_epochs=3"]).unwrap();
        assert_eq!(back.schedule.warmup_epochs, Some(3.0));
        assert_eq!(back.schedule.warmup_steps, None);
    }

    #[test]
    fn syntax_errors_name_the_line() {
        let message = Experiment::parse("[about]\nname = \n", "x.toml", &[])
            .unwrap_err()
            .to_string();
        assert!(message.starts_with("x.toml, line 2:"), "{message}");
    }

    #[test]
    fn neither_file_nor_name_is_refused_with_the_names() {
        let error = Experiment::open(Path::new("cropmae"), &[]).unwrap_err();
        let message = error.to_string();
        assert!(
            message.starts_with("cropmae: no such file")
                && message.contains("demo, cropmae_in1k_vits16"),
            "{message}"
        );
    }

    #[test]
    fn every_shipped_config_parses_and_round_trips() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs");
        let mut seen = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let experiment = Experiment::load(&path, &[]).unwrap();
            let name = Path::new(path.file_stem().unwrap());
            assert_eq!(Experiment::open(name, &[]).unwrap(), experiment);
            let json = serde_json::to_string(&experiment).unwrap();
            assert_eq!(
                experiment,
                serde_json::from_str(&json).unwrap(),
                "{}",
                path.display()
            );
            assert!(
                !experiment.about.command.is_empty(),
                "{}: [about] command",
                path.display()
            );
            seen += 1;
        }
        assert!(seen > 0);
    }
}
