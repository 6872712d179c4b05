//! Tests the loader with shards and lists.

use super::*;

/// Packs the images of [`folder`] into shards of `per_shard` images.
fn sharded(dir: &Path, per_shard: usize) -> TempDir {
    let shards = tempfile::tempdir().unwrap();
    let mut names: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    names.sort();
    for (number, names) in names.chunks(per_shard).enumerate() {
        let path = shards.path().join(format!("shard-{number:06}.tar"));
        let mut shard = tar::Builder::new(std::fs::File::create(path).unwrap());
        for name in names {
            shard
                .append_path_with_name(name, name.file_name().unwrap())
                .unwrap();
        }
        shard.finish().unwrap();
    }
    shards
}

#[test]
fn shards_give_the_batches_of_the_folder_they_were_made_of() {
    let dir = folder(47);
    let shards = sharded(dir.path(), 10);
    let (files, tars) = (open(dir.path(), 0.0), open(shards.path(), 0.0));
    assert_eq!(tars.describe(), "47 images in 5 tar shards");
    assert_eq!(files.fingerprint(), tars.fingerprint());
    let stream = |dataset: &Arc<Dataset>, workers, first| {
        let config = LoaderConfig {
            workers,
            ..settings(5)
        };
        all(&Loader::new(dataset.clone(), config).unwrap(), 1, first)
    };
    let expected = stream(&files, 1, 0);
    assert!(expected == stream(&tars, 1, 0));
    assert!(expected == stream(&tars, 4, 0));
    assert!(expected[4..] == stream(&tars, 3, 4));
}

#[test]
fn a_broken_shard_is_tolerated_or_refused_as_configured() {
    let dir = folder(40);
    let shards = sharded(dir.path(), 10);
    let broken = shards.path().join("shard-000002.tar");
    let length = std::fs::metadata(&broken).unwrap().len();
    let file = std::fs::File::options().write(true).open(&broken).unwrap();
    file.set_len(length / 2).unwrap();
    let refused = |fraction| {
        let recipe = recipe(Views::GlobalToLocal, fraction);
        Dataset::open(shards.path(), &recipe).map(|dataset| dataset.describe())
    };
    let error = refused(0.2).unwrap_err().to_string();
    for part in [
        "1 of 4 files",
        "max_bad_fraction = 0.2",
        "shard-000002.tar (truncated",
    ] {
        assert!(error.contains(part), "{error}");
    }
    let description = refused(0.25).unwrap();
    assert!(
        description.ends_with("4 tar shards, 1 broken"),
        "{description}"
    );
    let loader = Loader::new(open(shards.path(), 0.25), settings(5)).unwrap();
    let batches = all(&loader, 0, 0).len();
    assert_eq!(
        batches, 7,
        "three whole shards and the front of the broken one"
    );
}

#[test]
fn incomplete_samples_of_a_shard_count_as_unusable_files() {
    let dir = folder(30);
    let shards = sharded(dir.path(), 30);
    let path = shards.path().join("shard-000000.tar");
    let mut shard = tar::Builder::new(std::fs::File::create(&path).unwrap());
    for id in 0..30 {
        let name = format!("{id:04}");
        let file = dir.path().join(format!("{name}.png"));
        if id != 7 {
            shard
                .append_path_with_name(file, format!("{name}.png"))
                .unwrap();
        }
        let mut header = tar::Header::new_gnu();
        header.set_size(1);
        shard
            .append_data(&mut header, format!("{name}.cls"), &b"1"[..])
            .unwrap();
    }
    shard.finish().unwrap();
    let dataset = open(shards.path(), 0.01);
    assert_eq!(
        dataset.describe(),
        "29 images in 1 tar shard, 29 other files left out, 1 unusable"
    );
    let loader = Loader::new(dataset, settings(5)).unwrap();
    assert_eq!(all(&loader, 0, 0).len(), 5);
    let bad = loader.bad_files();
    assert!(
        bad.len() == 1 && bad[0].path.ends_with("0007.cls"),
        "{bad:?}"
    );
    let refused = Loader::new(open(shards.path(), 0.0), settings(5))
        .err()
        .unwrap();
    assert!(refused.to_string().contains("1 of 30 files"), "{refused}");
}

#[test]
fn a_list_gives_the_batches_of_the_folder_it_names() {
    let dir = folder(20);
    let mut names: Vec<_> = (0..20)
        .map(|id| {
            format!(
                "../{}/{id:04}.png\n",
                dir.path().file_name().unwrap().display()
            )
        })
        .collect();
    let lists = tempfile::tempdir_in(dir.path().parent().unwrap()).unwrap();
    let list = lists.path().join("train.txt");
    std::fs::write(&list, names.concat()).unwrap();
    let config = settings(5);
    let stream = |path: &Path| all(&Loader::new(open(path, 0.0), config.clone()).unwrap(), 0, 0);
    assert!(stream(&list) == stream(dir.path()));
    assert_eq!(
        open(&list, 0.0).describe(),
        "a list of 20 images in 1 folder"
    );
    names.truncate(6);
    std::fs::write(&list, names.concat()).unwrap();
    assert_eq!(open(&list, 0.0).len(), 6);
}

#[cfg(unix)]
#[test]
fn a_forbidden_shard_is_tolerated_or_refused_as_configured() {
    use std::os::unix::fs::PermissionsExt;
    let dir = folder(40);
    let shards = sharded(dir.path(), 10);
    let forbidden = shards.path().join("shard-000001.tar");
    std::fs::set_permissions(&forbidden, std::fs::Permissions::from_mode(0o000)).unwrap();
    if std::fs::File::open(&forbidden).is_ok() {
        cropmae_fixtures::skip("the superuser may read any file");
        return;
    }
    let opened = |fraction| Dataset::open(shards.path(), &recipe(Views::GlobalToLocal, fraction));
    let error = opened(0.2).unwrap_err().to_string();
    assert!(error.contains("shard-000001.tar (cannot read"), "{error}");
    assert_eq!(opened(0.25).unwrap().len(), 30);
}
