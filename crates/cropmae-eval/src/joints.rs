//! The joints of a JHMDB puppet and their files.
//!
//! The order is that of the data set: neck, belly, face, then shoulders, hips, elbows, knees, wrists and ankles. In
//! each pair, the right joint comes first.

use std::path::Path;

use crate::error::EvalError;
use crate::mat::{self, Array};

/// The number of joints of a JHMDB puppet.
pub const JOINTS: usize = 15;

/// The joints of one frame at (x, y), in pixels unless stated otherwise. The center of the first pixel is (0, 0).
pub type Pose<T> = [[T; 2]; JOINTS];

/// The name of the array in `joint_positions.mat`.
const ARRAY: &str = "pos_img";

/// Reads the joints of every frame of a clip from its `joint_positions.mat`.
///
/// The file contains an array `pos_img` of shape (2, 15, T), in which pixels are counted from 1.
///
/// # Errors
/// Returns [`EvalError::Read`] if the file cannot be read, and [`EvalError::Mat`] if it is damaged or if the array is
/// missing, has another shape or contains a value that is not finite.
pub fn read(path: &Path) -> Result<Vec<Pose<f64>>, EvalError> {
    let refused = |message: String| EvalError::Mat {
        path: path.into(),
        message,
    };
    let array = mat::read(path, ARRAY)?;
    let frames = match array.dims[..] {
        [2, JOINTS, frames] => frames,
        [2, JOINTS] => 1, // MATLAB drops a last dimension of 1
        _ => {
            let found = &array.dims;
            return Err(refused(format!(
                "{ARRAY} is {found:?}, expected [2, {JOINTS}, frames]"
            )));
        }
    };
    if !array.values.iter().all(|value| value.is_finite()) {
        return Err(refused(format!("{ARRAY} has a value that is not finite")));
    }
    let at = |frame: usize, joint: usize, axis: usize| {
        array.values[(frame * JOINTS + joint) * 2 + axis] - 1.0
    };
    let pose = |frame| std::array::from_fn(|joint| [at(frame, joint, 0), at(frame, joint, 1)]);
    Ok((0..frames).map(pose).collect())
}

/// Writes the joints of every frame of a clip as a `joint_positions.mat` for [`read`] and MATLAB.
///
/// Missing folders are created.
///
/// # Errors
/// Returns [`EvalError::Write`] if the file cannot be written.
pub fn write(path: &Path, frames: &[Pose<f64>]) -> Result<(), EvalError> {
    let values = frames.as_flattened().as_flattened();
    let array = Array {
        dims: vec![2, JOINTS, frames.len()],
        values: values.iter().map(|value| value + 1.0).collect(),
    };
    mat::write(path, ARRAY, &array)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_pixel_is_one_one_to_matlab() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("walk/clip/joint_positions.mat");
        let mut frames = vec![[[0.0; 2]; JOINTS]; 3];
        frames[1][4] = [20.25, 7.5];
        write(&path, &frames).unwrap();
        let stored = mat::read(&path, "pos_img").unwrap();
        assert_eq!(stored.dims, [2, 15, 3]);
        assert_eq!(stored.values[..2], [1.0, 1.0]);
        assert_eq!(read(&path).unwrap(), frames);
    }

    #[test]
    fn other_arrays_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("joint_positions.mat");
        let refused = |dims: Vec<usize>, value: f64| {
            let values = vec![value; dims.iter().product()];
            mat::write(&path, ARRAY, &Array { dims, values }).unwrap();
            read(&path).unwrap_err().to_string()
        };
        assert!(refused(vec![3, 15, 2], 1.0).contains("pos_img is [3, 15, 2], expected"));
        assert!(refused(vec![2, 15, 2], f64::NAN).contains("not finite"));
    }
}
