//! Group F: key points from soft maps.

use super::fixtures::{assert_close, folders, json, numbers, tensors};
use crate::pose::key_points;
use crate::propagation::Grid;

#[test]
fn golden_pose_key_points() {
    let mut cases = 0;
    for folder in folders("f_propagation") {
        let t = tensors(&folder.join("pose.safetensors"));
        let colors = &json(&folder.join("meta.json"))["pose_colours_rgb"];
        for (name, pred) in t.iter().filter(|(name, _)| name.ends_with("/pred")) {
            let grid = Grid {
                height: pred.shape[0],
                width: pred.shape[1],
            };
            let points = key_points(&pred.f32(), grid);
            let expected = &t[&name.replace("/pred", "/coords")].values;
            for axis in 0..2 {
                let found: Vec<f32> = points.iter().map(|point| point[axis]).collect();
                let expected = &expected[axis * found.len()..][..found.len()];
                assert_close(name, &found, expected, 1e-4);
            }
            // The picture of the reference has the color of each joint at its truncated coordinates.
            if let Some(expected) = t.get(&name.replace("/pred", "/sharp_rgb")) {
                let mut picture = vec![0.0; grid.cells() * 3];
                for (joint, point) in points.iter().enumerate() {
                    if point[0] >= 0.0 {
                        let [x, y] = point.map(|v| (v + 1e-4) as usize);
                        let pixel = &mut picture[(y * grid.width + x) * 3..][..3];
                        pixel.copy_from_slice(&numbers(&colors[joint + 1]));
                    }
                }
                assert_eq!(picture, expected.values, "{name}");
            }
            cases += 1;
        }
    }
    assert!(cases > 0);
}
