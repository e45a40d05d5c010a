//! Groups 4 and 5: layers and blobs that lie about their packing, size or digest, or whose archives attack the reader.

use std::io::Write as _;

use tests::http::Client;
use tests::image_builder::{
    Archive, Blob, Compression, Image, ImageBuilder, Layer, alpine_image, sha256, sha512,
};
use tests::test_gateway::{FIXED, TestGateway, VULNERABLE, push, push_blob, push_manifest};

const REPOSITORY: &str = "team-a/app";

fn with_layer(layer: Layer) -> Image {
    alpine_image("good", FIXED).layer(layer, "COPY attack /").build()
}

/// The image must not be stored under the strict policy: neither clean nor unknown is an answer to an attack.
#[track_caller]
fn refused(gateway: &TestGateway, what: &str, image: &Image) -> String {
    let builder = gateway.caller("builder");
    for blob in &image.blobs {
        let answer = push_blob(&builder, REPOSITORY, blob);
        assert!(
            matches!(answer.status, 201 | 400 | 403 | 413),
            "{what}: {}: {}",
            answer.status,
            answer.text()
        );
    }
    let answer = push_manifest(&builder, REPOSITORY, "attack", &image.manifest);
    assert!(matches!(answer.status, 400 | 403 | 404), "{what}: {}: {}", answer.status, answer.text());
    gateway.assert_hidden(REPOSITORY, &["attack"], image);
    assert_eq!(builder.get("/v2/").status, 200, "{what}: the gateway lives");
    answer.text()
}

#[test]
fn packing_that_differs_from_the_declared_type_is_refused() {
    let gateway = TestGateway::strict();
    let archive = Archive::new().file("x", 0o644, b"x").finish();
    for declared in [Compression::Plain, Compression::Gzip, Compression::Zstd] {
        for actual in [Compression::Plain, Compression::Gzip, Compression::Zstd] {
            if declared == actual {
                continue;
            }
            let layer = Layer::of(&archive, actual).typed(declared.media_type());
            refused(&gateway, &format!("{actual:?} declared as {declared:?}"), &with_layer(layer));
        }
    }
}

#[test]
fn every_member_of_a_gzip_is_read() {
    let gateway = TestGateway::strict();
    let archive = Archive::new().alpine("3.20", VULNERABLE).finish();
    let (first, second) = archive.split_at(700);
    let mut bytes = Compression::Gzip.pack(first);
    bytes.extend(Compression::Gzip.pack(second));
    let layer =
        Layer { blob: Blob::new(Compression::Gzip.media_type(), bytes), diff_id: sha256(&archive), archive };
    let shown = refused(&gateway, "two members", &ImageBuilder::new().layer(layer, "ADD rootfs /").build());
    assert!(shown.contains("badlib"), "{shown}");
}

#[test]
fn what_follows_the_end_of_an_archive_is_refused() {
    let gateway = TestGateway::strict();
    let mut hidden = Archive::new().file("x", 0o644, b"x").finish();
    hidden.extend(Archive::new().alpine("3.20", VULNERABLE).finish());
    for compression in [Compression::Plain, Compression::Gzip, Compression::Zstd] {
        refused(&gateway, "a second archive", &with_layer(Layer::of(&hidden, compression)));
    }
    let archive = Archive::new().file("x", 0o644, b"x").finish();
    let mut layer = Layer::of(&archive, Compression::Gzip);
    layer.blob.bytes.extend(b"and more");
    layer.blob = Blob::new(Compression::Gzip.media_type(), layer.blob.bytes);
    refused(&gateway, "bytes after the gzip", &with_layer(layer));
}

#[test]
fn bombs_end_at_a_limit_and_are_refused() {
    let gateway = TestGateway::strict();
    let zeros = vec![0_u8; 1 << 20];
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&Archive::new().entry_claiming(b'0', "zeros", "", 0o644, 6 << 30, &[]).finish()[..512])
        .expect("memory");
    for _ in 0..4096 {
        gzip.write_all(&zeros).expect("memory");
    }
    let bytes = gzip.finish().expect("memory");
    let layer = Layer {
        blob: Blob::new(Compression::Gzip.media_type(), bytes),
        diff_id: sha256(b"never reached"),
        archive: Vec::new(),
    };
    let started = std::time::Instant::now();
    refused(&gateway, "4 GiB of zeros in 4 MiB", &with_layer(layer));
    assert!(started.elapsed().as_secs() < 60, "took {:?}", started.elapsed());

    let huge = Archive::new().entry_claiming(b'0', "sparse", "", 0o644, 0o77_777_777_777, b"short").finish();
    refused(&gateway, "an entry that claims 8 GiB", &with_layer(Layer::of(&huge, Compression::Gzip)));
    let path = "d/".repeat(8000);
    let long = Archive::new()
        .entry(b'L', "././@LongLink", "", 0o644, path.as_bytes())
        .file("x", 0o644, b"")
        .finish();
    refused(&gateway, "a path of 16 KB", &with_layer(Layer::of(&long, Compression::Gzip)));
}

#[test]
fn names_and_links_that_leave_the_image_are_refused() {
    let gateway = TestGateway::strict();
    for (what, archive) in [
        ("dot dot", Archive::new().file("../../etc/passwd", 0o644, b"root::0:0::/:/bin/sh\n")),
        ("dot dot inside", Archive::new().file("a/../../../etc/shadow", 0o644, b"x")),
        ("hard link to nowhere", Archive::new().hard_link("x", "../../../etc/shadow")),
        ("hard link to nothing", Archive::new().hard_link("x", "no/such/file")),
        ("truncated", Archive::new().raw(&[b'a'; 300])),
    ] {
        refused(&gateway, what, &with_layer(archive.layer(Compression::Gzip)));
    }
    // A symbolic link out of the root is ordinary; writing through it must land inside, where the scan sees it.
    let database = "P:badlib\nV:1.2.3-r0\no:badlib\n\n";
    let through = Archive::new()
        .symlink("lib/apk", "/../../../var/apk")
        .file("var/apk/db/installed", 0o644, database.as_bytes())
        .layer(Compression::Gzip);
    refused(&gateway, "a database behind a link", &with_layer(through));
}

#[test]
fn a_whiteout_hides_no_secret_and_no_package_behind_a_second_file() {
    let gateway = TestGateway::strict();
    let key = "-----BEGIN RSA PRIVATE KEY-----\n".to_owned()
        + &"MIIEpAIBAAKCAQEA7bq1uZ0kz3k2l9ZrYQm6v5Wc8hT4XgJ1N0sPpLrEwVdKfMjB\n".repeat(12)
        + "-----END RSA PRIVATE KEY-----\n";
    let leak = Archive::new().file("app/key.pem", 0o600, key.as_bytes()).layer(Compression::Gzip);
    let hide = Archive::new().file("app/.wh.key.pem", 0o644, b"").layer(Compression::Gzip);
    let image = alpine_image("leak", FIXED)
        .layer(leak, "COPY key.pem /app/")
        .layer(hide, "RUN rm /app/key.pem")
        .build();
    let shown = refused(&gateway, "a deleted secret", &image);
    assert!(shown.contains("key.pem"), "{shown}");

    let gone = Archive::new().file("lib/apk/db/.wh.installed", 0o644, b"").layer(Compression::Gzip);
    let image = alpine_image("gone", VULNERABLE).layer(gone, "RUN rm /lib/apk/db/installed").build();
    refused(&gateway, "a deleted package database", &image);
}

#[test]
fn bytes_that_do_not_hash_to_the_claimed_digest_are_not_stored() {
    let gateway = TestGateway::open();
    let builder = gateway.caller("builder");
    let claimed = sha256(b"what was promised");
    let liar = Blob { digest: claimed.clone(), ..Blob::new("application/octet-stream", "something else") };
    let answer = push_blob(&builder, REPOSITORY, &liar);
    assert_eq!((answer.status, answer.error_code().as_str()), (400, "DIGEST_INVALID"));

    let location = start_upload(&builder);
    let patched = builder.send(
        "PATCH",
        &location,
        &[("Content-Range", "0-8"), ("Content-Type", "application/octet-stream")],
        b"something",
    );
    assert_eq!(patched.status, 202, "{}", patched.text());
    let location = path_of(&gateway, patched.header("location").expect("a location"));
    let join = if location.contains('?') { '&' } else { '?' };
    let ended = builder.send("PUT", &format!("{location}{join}digest={claimed}"), &[], b" else");
    assert_eq!((ended.status, ended.error_code().as_str()), (400, "DIGEST_INVALID"));
    for digest in [claimed, liar.digest] {
        assert_eq!(builder.head(&format!("/v2/{REPOSITORY}/blobs/{digest}")).status, 404);
    }
    let image = alpine_image("x", FIXED).build();
    let path = format!("/v2/{REPOSITORY}/manifests/{}", sha256(b"another manifest"));
    for blob in &image.blobs {
        assert_eq!(push_blob(&builder, REPOSITORY, blob).status, 201);
    }
    let answer = builder.send(
        "PUT",
        &path,
        &[("Content-Type", image.manifest.media_type.as_str())],
        &image.manifest.bytes,
    );
    assert_eq!((answer.status, answer.error_code().as_str()), (400, "DIGEST_INVALID"));
}

#[test]
fn sizes_that_are_not_true_and_layers_of_size_0_are_refused() {
    let gateway = TestGateway::open();
    let builder = gateway.caller("builder");
    let image = alpine_image("x", FIXED).build();
    for wrong in [0, 1, image.blobs[1].bytes.len() as u64 + 1, u64::MAX] {
        let mut layer = image.blobs[1].descriptor();
        layer["size"] = wrong.into();
        let lying = alpine_image("x", FIXED).manifest(&serde_json::json!({ "layers": [layer] })).build();
        let answer = push(&builder, REPOSITORY, "attack", &lying);
        assert!(matches!(answer.status, 400 | 403), "size {wrong}: {}: {}", answer.status, answer.text());
    }
    let empty = Layer {
        blob: Blob::new(Compression::Gzip.media_type(), ""),
        diff_id: sha256(b""),
        archive: Vec::new(),
    };
    let strict = TestGateway::strict();
    refused(&strict, "a layer of no bytes", &with_layer(empty));
}

#[test]
fn layers_that_lie_elsewhere_are_refused() {
    let gateway = TestGateway::open();
    let builder = gateway.caller("builder");
    let image = alpine_image("x", FIXED).build();
    let mut foreign = image.blobs[1].descriptor();
    foreign["urls"] = serde_json::json!(["http://127.0.0.1:9/layer"]);
    let mut windows = image.blobs[1].descriptor();
    windows["mediaType"] = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip".into();
    let mut reserved = image.blobs[1].descriptor();
    reserved["mediaType"] = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip".into();
    for layer in [foreign, windows, reserved] {
        let lying = alpine_image("x", FIXED).manifest(&serde_json::json!({ "layers": [layer] })).build();
        let answer = push(&builder, REPOSITORY, "attack", &lying);
        assert!(matches!(answer.status, 400 | 403), "{}: {}", answer.status, answer.text());
    }
}

#[test]
fn sha512_is_as_good_as_sha256_and_truncated_or_odd_digests_are_none() {
    let gateway = TestGateway::open();
    let builder = gateway.caller("builder");
    let long = Blob { digest: sha512(b"content"), ..Blob::new("application/octet-stream", "content") };
    assert_eq!(push_blob(&builder, REPOSITORY, &long).status, 201);
    assert_eq!(builder.get(&format!("/v2/{REPOSITORY}/blobs/{}", long.digest)).body, b"content");
    let wrong = Blob { digest: sha512(b"other"), ..long.clone() };
    assert_eq!(push_blob(&builder, REPOSITORY, &wrong).error_code(), "DIGEST_INVALID");
    let right = sha256(b"content");
    for digest in [
        &right[..40],
        "sha256:",
        "sha1:da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "md5:9a0364b9e99bb480dd25e1f0284c8555",
        &right.to_uppercase(),
        &format!("{right}00"),
        "sha256:../../../../etc/passwd",
    ] {
        let odd = Blob { digest: digest.to_owned(), ..long.clone() };
        let answer = push_blob(&builder, REPOSITORY, &odd);
        assert!(matches!(answer.status, 400 | 404), "{digest}: {}", answer.status);
    }
}

fn start_upload(client: &Client) -> String {
    let started = client.send("POST", &format!("/v2/{REPOSITORY}/blobs/uploads/"), &[], &[]);
    assert_eq!(started.status, 202, "{}", started.text());
    let location = started.header("location").expect("a location");
    location.trim_start_matches(&format!("http://{}", client.address)).to_owned()
}

fn path_of(gateway: &TestGateway, location: &str) -> String {
    location.trim_start_matches(&format!("http://{}", gateway.address)).to_owned()
}
