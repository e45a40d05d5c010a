//! Images aimed at engines: a case for each hole that has been one, and beside it what honest images do.

use scanner::image::{Layer, scan};
use scanner::layer::LayerReport;
use scanner::report::AttackKind;
use serde_json::{Value, json};

use crate::archive::{Archive, Header};
use crate::build::{Walked, images, test_data, walk};
use crate::skipped;

fn attacks_of(layers: &[Vec<u8>], config: &Value) -> Vec<(AttackKind, String)> {
    let reports: Vec<LayerReport> = layers.iter().map(|layer| walk(layer)).collect();
    let layers: Vec<_> =
        reports.iter().map(|report| Layer { digest: "", report, instruction: None }).collect();
    let report = scan(&layers, config.to_string().as_bytes(), None);
    report.attacks.into_iter().map(|attack| (attack.kind, attack.place)).collect()
}

#[track_caller]
fn config(config: Value, expected: &[(AttackKind, &str)]) {
    let found = attacks_of(&[Archive::default().lines(&["f a=1"]).end()], &json!({ "config": config }));
    let expected: Vec<_> = expected.iter().map(|(kind, place)| (*kind, (*place).to_owned())).collect();
    assert_eq!(found, expected, "{config}");
}

#[track_caller]
fn layers(layers: &[&[&str]], expected: &[(AttackKind, &str)]) {
    let archives: Vec<_> = layers.iter().map(|lines| Archive::default().lines(lines).end()).collect();
    let found = attacks_of(&archives, &json!({}));
    let expected: Vec<_> = expected.iter().map(|(kind, place)| (*kind, (*place).to_owned())).collect();
    assert_eq!(found, expected, "{layers:?}");
}

#[test]
fn cve_2024_40635_a_user_number_that_overflows() {
    let refused = &[(AttackKind::UserOutOfRange, "config.User")];
    for user in ["2147483648", "4294967296", "1000:4294967296", "-1", "99999999999999999999"] {
        config(json!({ "User": user }), refused);
    }
    for user in ["", "0", "1000", "2147483647", "1000:1000", "app", "app:staff", "+7"] {
        config(json!({ "User": user }), &[]);
    }
}

#[test]
fn cve_2026_46680_a_user_number_that_is_looked_up_as_a_name() {
    config(json!({ "User": "4294967297:0" }), &[(AttackKind::UserOutOfRange, "config.User")]);
    config(json!({ "User": "user4294967297" }), &[]);
}

#[test]
fn cve_2026_53488_a_label_that_is_an_order_to_the_engine() {
    for name in [
        "containerd.io/restart.loguri",
        "Containerd.io/restart.status",
        "io.containerd.x",
        "io.cri-containerd.kind",
    ] {
        let place = format!("config.Labels[{name}]");
        config(json!({ "Labels": { name: "running" } }), &[(AttackKind::ReservedLabel, &place)]);
    }
    config(
        json!({ "Labels": { "x": "binary:///bin/sh?-c=id" } }),
        &[(AttackKind::ReservedLabel, "config.Labels[x]")],
    );
    config(json!({ "Labels": { "org.opencontainers.image.source": "https://containerd.io/", "n": 7 } }), &[]);
}

#[test]
fn cve_2026_47262_a_huge_group_or_passwd_file() {
    let refused = |place| vec![(AttackKind::AccountFile, place)];
    layers(&[&["s etc/group=1048577"]], &refused("etc/group"));
    layers(&[&["f etc/group=root:x:0:"], &["s etc/passwd=2000000"]], &refused("etc/passwd"));
    layers(&[&["s x=2000000", "l etc/group->/x"]], &refused("etc/group"));
    layers(&[&["l etc/group->/dev/zero"]], &refused("etc/group"));
    layers(&[&["d etc/group"]], &refused("etc/group"));
    layers(&[&["s etc/group=1048576", "f etc/passwd=root:x:0:0::/:/bin/sh", "s etc/shadow=2000000"]], &[]);
}

#[test]
fn cve_2022_23648_a_volume_outside_of_the_image() {
    let place = "config.Volumes[/../../etc]";
    config(json!({ "Volumes": { "/../../etc": {} } }), &[(AttackKind::VolumePath, place)]);
    config(json!({ "Volumes": { "/data": {}, "/a..b": {} } }), &[]);
}

#[test]
fn cve_2024_21626_a_working_directory_outside_of_the_image() {
    let refused = &[(AttackKind::WorkingDirectory, "config.WorkingDir")];
    for directory in ["/proc/self/fd/8", "//proc/./self/fd/8", "/app/../../x"] {
        config(json!({ "WorkingDir": directory }), refused);
    }
    config(json!({ "WorkingDir": "/process" }), &[]);
    layers(&[&["l app->/proc/self/fd/8"]], &[(AttackKind::ProcessLink, "app")]);
}

#[test]
fn cve_2019_5736_a_link_into_the_process_that_follows_it() {
    layers(&[&["l bin/sh->/proc/self/exe"]], &[(AttackKind::ProcessLink, "bin/sh")]);
    layers(&[&["l x->/proc/1/root/etc"]], &[(AttackKind::ProcessLink, "x")]);
    layers(&[&["l dev/fd->/proc/self/fd", "l dev/stdout->/proc/self/fd/1", "l etc/mtab->/proc/mounts"]], &[]);
}

#[test]
fn cve_2021_29136_a_root_that_is_a_link() {
    layers(&[&["l ./->/tmp", "f a=1"]], &[(AttackKind::RootLink, "/")]);
    layers(&[&["d ./", "f a=1"]], &[]);
}

#[test]
fn cve_2021_32760_a_hard_link_to_a_symbolic_link() {
    layers(&[&["l a->/etc/shadow", "h b->a"]], &[(AttackKind::LinkToLink, "b")]);
    layers(&[&["f a=1", "h b->a"]], &[]);
}

#[test]
fn links_that_climb_above_the_root() {
    layers(&[&["l a/b->../../etc/passwd"]], &[(AttackKind::EscapingLink, "a/b")]);
    layers(&[&["l a->/../etc/passwd"]], &[(AttackKind::EscapingLink, "a")]);
    layers(&[&["l a/b->../etc/passwd", "l c->/etc/passwd", "l d->x/../y"]], &[]);
}

#[test]
fn device_nodes_that_engines_do_not_make_themselves() {
    let device = |kind: u8, name: &str, major: &[u8], minor: &[u8]| {
        let mut header = Header::new(kind, name, 0);
        header.set(329, major);
        header.set(337, minor);
        Archive::default().header(header).end()
    };
    let disk = device(b'4', "dev/sda", b"0000010\0", b"0000000\0");
    assert_eq!(attacks_of(&[disk], &json!({})), [(AttackKind::DeviceNode, "dev/sda".to_owned())]);
    let memory = device(b'3', "x", b"0000001\0", b"0000001\0");
    assert_eq!(attacks_of(&[memory], &json!({})), [(AttackKind::DeviceNode, "x".to_owned())]);
    let null = device(b'3', "dev/null", b"0000001\0", b"0000003\0");
    assert_eq!(attacks_of(&[null], &json!({})), []);
}

#[test]
fn set_id_bits_that_a_later_layer_adds() {
    let file = |mode| Archive::default().header(Header::new(b'0', "bin/x", 1).mode(mode)).content(b"1").end();
    let grown = [(AttackKind::SetuidGrowth, "bin/x".to_owned())];
    assert_eq!(attacks_of(&[file(0o755), file(0o4755)], &json!({})), grown);
    assert_eq!(attacks_of(&[file(0o4755), file(0o6755)], &json!({})), grown);
    assert_eq!(attacks_of(&[file(0o4755), file(0o4755)], &json!({})), []);
    assert_eq!(attacks_of(&[file(0o4755)], &json!({})), []);
    assert_eq!(attacks_of(&[file(0o4755), file(0o755)], &json!({})), []);
}

#[test]
fn honest_images_attack_nobody() {
    let Some(folder) = test_data() else { return skipped("honest_images_attack_nobody", "no test data") };
    for file in [
        "alpine-3.10.tar.gz",
        "alpine-3.15.0.tar.gz",
        "app-java.oci.tar",
        "app-node.oci.tar",
        "app-python.oci.tar",
        "debian-11.11-unpatched.oci.tar",
    ] {
        let path = folder.join("images/files").join(file);
        if !path.is_file() {
            skipped("honest_images_attack_nobody", &format!("no {file}"));
            continue;
        }
        for image in images(&path) {
            let walked = Walked::new(&image);
            assert_eq!(scan(&walked.layers(), &image.config, None).attacks, [], "{file}");
        }
    }
}
