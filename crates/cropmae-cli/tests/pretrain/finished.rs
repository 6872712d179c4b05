//! Tests of the output at the end of a run.

use crate::support::{images, pretrain};

#[test]
fn pictures_are_named_once_there_are_any() {
    let (images, folder) = (images(), tempfile::tempdir().unwrap());
    let run = folder.path().join("run");
    // An epoch has seven batches, and pictures are drawn at its end.
    for (max_steps, drawn) in [(2, false), (7, true)] {
        let settings = [&format!("train.max_steps={max_steps}"), "train.epochs=1"];
        let output = pretrain(images.path(), &run, &settings).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        let (page, pictures) = (run.join("report.html"), run.join("pictures"));
        assert!(page.is_file());
        assert_eq!(pictures.join("reconstruction_0001.png").is_file(), drawn);
        let mut expected = format!("look:    {}", page.display());
        if drawn {
            expected += &format!(", {}", pictures.display());
        }
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.lines().any(|line| line == expected), "{said}");
    }
}
