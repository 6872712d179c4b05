//! Tests with generated caches, and with a local server that acts as a hub with one file.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

use super::*;
use crate::sources::{Unit, open};

const COMMIT: &str = "0123456789abcdef";

/// Creates a cache with the files `names` of `org/set`. Each is an image.
fn cache(names: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let set = dir.path().join("datasets--org--set");
    std::fs::create_dir_all(set.join("refs")).unwrap();
    std::fs::write(set.join("refs/main"), COMMIT).unwrap();
    for name in names {
        let path = set.join("snapshots").join(COMMIT).join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        image::RgbImage::new(4, 4).save(path).unwrap();
    }
    dir
}

fn hub(cache: &Path, endpoint: Option<String>) -> Hub {
    Hub {
        cache: Cache::new(cache.to_owned()),
        endpoint,
    }
}

#[test]
fn addresses_name_a_set_a_part_and_a_revision() {
    let parsed = |text| Address::parse(text).map(|a| (a.name, a.path, a.revision));
    assert_eq!(parsed("org/set"), Some(("org/set", "", "main")));
    assert_eq!(
        parsed("org/set/data/train/@v2"),
        Some(("org/set", "data/train", "v2"))
    );
    for wrong in [
        "",
        "set",
        "/set",
        "org/",
        "org/set@",
        "org/../x",
        "org/set@../x",
    ] {
        assert_eq!(parsed(wrong), None, "{wrong}");
    }
    let part = Address::parse("o/s/data/train").unwrap();
    let held = ["data/train", "data/train/1.jpg", "data/train2/1.jpg", "x"].map(|n| part.holds(n));
    assert_eq!(held, [true, true, false, false]);
}

#[test]
fn the_files_of_the_main_kind_are_downloaded() {
    let names = ["README.md", "a.parquet", "b.parquet", "logo.png"];
    assert_eq!(samples(names.into_iter()), ["a.parquet", "b.parquet"]);
    assert_eq!(samples(["x.tar", "1.jpg"].into_iter()), ["1.jpg"]);
    assert!(samples(["README.md"].into_iter()).is_empty());
    assert!(samples(["../1.jpg", "/tmp/1.jpg", "a/../../1.jpg"].into_iter()).is_empty());
}

#[test]
fn what_the_cache_holds_needs_no_network() {
    let dir = cache(&["data/1.png", "data/2.png", "other/3.png"]);
    let nobody = "http://127.0.0.1:9".to_owned();
    for endpoint in [None, Some(nobody)] {
        let hub = hub(dir.path(), endpoint);
        for (address, images) in [("org/set", 3), ("org/set/data", 2), ("org/set@main", 3)] {
            let source = open(&hub.fetch(address).unwrap(), Unit::Pictures)
                .unwrap()
                .source;
            assert_eq!(source.len(), images, "{address}");
        }
        let message = hub.fetch("org/set/nothing").unwrap_err().to_string();
        assert!(
            message.contains("hf://org/set/nothing: the data set has no file or folder nothing"),
            "{message}"
        );
        let message = hub.fetch("org/unknown").unwrap_err().to_string();
        assert!(
            message.contains("hf://org/unknown") && message.contains("cache "),
            "{message}"
        );
    }
    let message = hub(dir.path(), None)
        .fetch("org/unknown")
        .unwrap_err()
        .to_string();
    assert!(message.contains("HF_HUB_OFFLINE"), "{message}");
    let message = hub(dir.path(), None).fetch("set").unwrap_err().to_string();
    assert!(message.contains("expected hf://org/dataset"), "{message}");
}

/// Answers requests as the hub does for `org/set`, which contains `1.png` and a README.
fn serve(listener: &TcpListener, picture: &[u8]) {
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        let request = lines.next().unwrap().unwrap();
        let range = lines
            .map_while(|line| line.ok().filter(|line| !line.is_empty()))
            .any(|line| line.to_lowercase().starts_with("range: bytes=0-0"));
        let (head, body): (String, &[u8]) = if request
            .contains("/api/datasets/org/set/revision/main")
        {
            let info: &[u8] = br#"{"sha":"0123456789abcdef","siblings":[{"rfilename":"1.png"},{"rfilename":"README.md"}]}"#;
            ("200 OK\r\ncontent-type: application/json".into(), info)
        } else if request.contains("/datasets/org/set/resolve/main/1.png") {
            let sent = if range { &picture[..1] } else { picture };
            let head = format!(
                "206 Partial Content\r\netag: \"e1\"\r\nx-repo-commit: {COMMIT}\r\ncontent-range: bytes 0-{}/{}",
                sent.len() - 1,
                picture.len()
            );
            (head, sent)
        } else {
            ("404 Not Found".into(), b"")
        };
        let head = format!(
            "HTTP/1.1 {head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
    }
}

#[test]
fn a_set_is_downloaded_once_and_read_from_the_cache() {
    let mut png = std::io::Cursor::new(Vec::new());
    image::RgbImage::new(4, 4)
        .write_to(&mut png, image::ImageFormat::Png)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || serve(&listener, png.get_ref()));
    let dir = tempfile::tempdir().unwrap();
    let online = hub(dir.path(), Some(endpoint.clone()));
    let path = online.fetch("org/set").unwrap();
    let source = open(&path, Unit::Pictures).unwrap().source;
    assert_eq!((source.len(), source.name(0)), (1, PathBuf::from("1.png")));
    assert!(source.read(0).is_ok());
    assert!(
        !path.join("README.md").exists(),
        "only samples are downloaded"
    );
    assert_eq!(hub(dir.path(), None).fetch("org/set").unwrap(), path);
    let message = online.fetch("org/absent").unwrap_err().to_string();
    assert!(
        message.contains("cannot list its files at http://127.0.0.1"),
        "{message}"
    );
}
