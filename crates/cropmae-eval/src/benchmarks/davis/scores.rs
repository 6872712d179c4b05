//! The scores of DAVIS-2017.

use serde::{Deserialize, Serialize};

use crate::metrics::Statistics;
use crate::nan;
use crate::report::{Measure, Scores, TOOLKIT_DECIMALS, Table};

/// The scores of DAVIS-2017. Global values are means over the objects of all sequences, not over sequences.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DavisScores {
    /// The mean of the means of J and F.
    #[serde(with = "nan")]
    pub j_and_f_mean: f64,
    /// The region similarity J.
    pub j: Statistics,
    /// The contour accuracy F.
    pub f: Statistics,
    /// The sequences in the order of the list.
    pub sequences: Vec<DavisSequence>,
}

/// The scores of one sequence of DAVIS-2017.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DavisSequence {
    /// The name of the sequence.
    pub name: String,
    /// The number of frames, including the two that are not scored.
    pub frames: usize,
    /// The objects, in the order of their ids.
    pub objects: Vec<DavisObject>,
}

/// The scores of one object of a sequence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DavisObject {
    /// The id in the annotation.
    pub id: u32,
    /// The region similarity J over the scored frames.
    pub j: Statistics,
    /// The contour accuracy F over the scored frames.
    pub f: Statistics,
    /// The region similarity J of every scored frame.
    pub j_per_frame: Vec<f64>,
    /// The contour accuracy F of every scored frame.
    pub f_per_frame: Vec<f64>,
}

impl DavisScores {
    /// Combines the scores of all sequences.
    pub(crate) fn of(sequences: Vec<DavisSequence>) -> Self {
        let objects = || sequences.iter().flat_map(|sequence| &sequence.objects);
        let j = Statistics::mean_of(objects().map(|object| &object.j));
        let f = Statistics::mean_of(objects().map(|object| &object.f));
        Self {
            j_and_f_mean: (j.mean + f.mean) / 2.0,
            j,
            f,
            sequences,
        }
    }
}

#[typetag::serde(name = "davis")]
impl Scores for DavisScores {
    /// Returns the columns of the table of global results in davis2017-evaluation.
    fn headline(&self) -> Vec<Measure> {
        [
            ("J&F-Mean", self.j_and_f_mean),
            ("J-Mean", self.j.mean),
            ("J-Recall", self.j.recall),
            ("J-Decay", self.j.decay),
            ("F-Mean", self.f.mean),
            ("F-Recall", self.f.recall),
            ("F-Decay", self.f.decay),
        ]
        .map(|(name, value)| Measure::share(name, value))
        .into()
    }

    /// Returns the two tables of davis2017-evaluation.
    fn tables(&self) -> Vec<Table> {
        let headline = self.headline().into_iter();
        let (columns, values) = headline.map(|it| (it.name, Some(it.value))).unzip();
        let objects = self.sequences.iter().flat_map(|sequence| {
            let row = |object: &DavisObject| {
                let means = vec![Some(object.j.mean), Some(object.f.mean)];
                (format!("{}_{}", sequence.name, object.id), means)
            };
            sequence.objects.iter().map(row)
        });
        vec![
            Table {
                file: "global_results-val",
                key: None,
                decimals: TOOLKIT_DECIMALS,
                columns,
                rows: vec![(String::new(), values)],
            },
            Table {
                file: "per-sequence_results-val",
                key: Some("Sequence"),
                decimals: TOOLKIT_DECIMALS,
                columns: vec!["J-Mean".into(), "F-Mean".into()],
                rows: objects.collect(),
            },
        ]
    }
}
