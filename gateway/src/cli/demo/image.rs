//! Builds the demonstration image in code: an Alpine-shaped file system around a program of our own, so that the
//! repository carries no foreign binary and every run makes the same bytes.

use std::io;

use flate2::{Compression, GzBuilder};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::manifest;

/// Media type of an OCI image configuration.
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// Media type of a gzip-compressed OCI layer.
const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// Where the program begins in memory: the usual address of a static x86-64 executable.
const LOAD_ADDRESS: u64 = 0x40_0000;
/// Sizes of the ELF header and of its one program header, in bytes (System V ABI, ELF-64 object file format).
const ELF_HEADERS: u64 = 64 + 56;

/// Content by digest.
#[derive(Clone, Debug)]
pub struct Blob {
    /// What it is.
    pub media_type: &'static str,
    /// `sha256:…` of `bytes`.
    pub digest: String,
    /// The content.
    pub bytes: Vec<u8>,
}

impl Blob {
    fn new(media_type: &'static str, bytes: Vec<u8>) -> Self {
        Self { media_type, digest: digest_of(&bytes), bytes }
    }

    fn descriptor(&self) -> serde_json::Value {
        json!({ "mediaType": self.media_type, "digest": self.digest, "size": self.bytes.len() })
    }
}

/// An image ready to push: blobs first, manifest last.
#[derive(Clone, Debug)]
pub struct Image {
    /// The configuration and the layers.
    pub blobs: Vec<Blob>,
    /// Names them.
    pub manifest: Blob,
}

/// One installed package, as `lib/apk/db/installed` records it.
#[derive(Clone, Copy, Debug)]
pub struct Package {
    /// Name of the package and of its source.
    pub name: &'static str,
    /// Version with Alpine's revision.
    pub version: &'static str,
}

/// Builds the image: a base layer with the distribution and its packages, and a layer with the program.
///
/// # Errors
/// None in practice: everything is written to memory.
pub fn build(packages: &[Package], message: &str) -> io::Result<Image> {
    let release = "NAME=\"Alpine Linux\"\nID=alpine\nVERSION_ID=3.20.0\nPRETTY_NAME=\"Alpine Linux v3.20\"\n";
    let users = "root:x:0:0:root:/root:/sbin/nologin\napp:x:1000:1000:app:/:/sbin/nologin\n";
    let base = layer(&[
        ("etc/os-release", 0o644, release.as_bytes()),
        ("etc/alpine-release", 0o644, b"3.20.0\n"),
        ("etc/passwd", 0o644, users.as_bytes()),
        ("lib/apk/db/installed", 0o644, installed(packages).as_bytes()),
    ])?;
    let program = layer(&[("app/hello", 0o755, &hello_program(message))])?;
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": { "User": "1000:1000", "Cmd": ["/app/hello"], "WorkingDir": "/" },
        "rootfs": { "type": "layers", "diff_ids": [base.diff_id, program.diff_id] },
        "history": [
            { "created_by": "ADD rootfs.tar.gz / # alpine 3.20 and its packages" },
            { "created_by": "COPY hello /app/hello" },
        ],
    });
    let config = Blob::new(CONFIG, config.to_string().into_bytes());
    let body = json!({
        "schemaVersion": 2,
        "mediaType": manifest::OCI_MANIFEST,
        "config": config.descriptor(),
        "layers": [base.blob.descriptor(), program.blob.descriptor()],
    });
    let manifest = Blob::new(manifest::OCI_MANIFEST, body.to_string().into_bytes());
    Ok(Image { blobs: vec![config, base.blob, program.blob], manifest })
}

/// `sha256:…` of some bytes.
pub fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// A static x86-64 Linux program that prints a line and ends with 0: one loadable segment, no libraries, about 200 bytes.
pub fn hello_program(message: &str) -> Vec<u8> {
    let line = format!("{message}\n").into_bytes();
    let line_length = u32::try_from(line.len()).expect("a message of the demo is short");
    let mut code = vec![0xb8, 1, 0, 0, 0]; // mov eax, 1: write
    code.extend([0xbf, 1, 0, 0, 0]); // mov edi, 1: to standard output
    // lea rsi, [rip + 16]: the line, behind the code; 5 + 2 + 2 + 5 + 2 bytes follow this instruction.
    code.extend([0x48, 0x8d, 0x35, 16, 0, 0, 0]);
    code.push(0xba); // mov edx, length
    code.extend(line_length.to_le_bytes());
    code.extend([0x0f, 0x05]); // syscall
    code.extend([0x31, 0xff]); // xor edi, edi: status 0
    code.extend([0xb8, 60, 0, 0, 0, 0x0f, 0x05]); // mov eax, 60: exit; syscall
    let size = ELF_HEADERS + u64::try_from(code.len() + line.len()).expect("a message of the demo is short");

    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    elf.extend(2_u16.to_le_bytes()); // e_type: an executable
    elf.extend(62_u16.to_le_bytes()); // e_machine: x86-64
    elf.extend(1_u32.to_le_bytes()); // e_version
    elf.extend((LOAD_ADDRESS + ELF_HEADERS).to_le_bytes()); // e_entry
    elf.extend(64_u64.to_le_bytes()); // e_phoff
    elf.extend(0_u64.to_le_bytes()); // e_shoff: no sections
    elf.extend(0_u32.to_le_bytes()); // e_flags
    for half in [64_u16, 56, 1, 64, 0, 0] {
        elf.extend(half.to_le_bytes()); // e_ehsize, e_phentsize, e_phnum, e_shentsize, e_shnum, e_shstrndx
    }
    elf.extend(1_u32.to_le_bytes()); // p_type: load
    elf.extend(5_u32.to_le_bytes()); // p_flags: read and execute
    for word in [0, LOAD_ADDRESS, LOAD_ADDRESS, size, size, 0x1000] {
        elf.extend(word.to_le_bytes()); // p_offset, p_vaddr, p_paddr, p_filesz, p_memsz, p_align
    }
    elf.extend(code);
    elf.extend(line);
    elf
}

struct Layer {
    blob: Blob,
    diff_id: String,
}

fn layer(files: &[(&str, u32, &[u8])]) -> io::Result<Layer> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, mode, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_mode(*mode);
        header.set_size(content.len() as u64);
        header.set_entry_type(tar::EntryType::Regular);
        archive.append_data(&mut header, path, *content)?;
    }
    let plain = archive.into_inner()?;
    // No time in the header: the same files give the same digest on every run.
    let mut gzip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::default());
    io::Write::write_all(&mut gzip, &plain)?;
    Ok(Layer { blob: Blob::new(LAYER_GZIP, gzip.finish()?), diff_id: digest_of(&plain) })
}

fn installed(packages: &[Package]) -> String {
    let record = |package: &Package| {
        let Package { name, version } = package;
        format!("P:{name}\nV:{version}\nA:x86_64\nS:1000\nI:4096\nT:{name}\nL:MIT\no:{name}\nF:usr\n\n")
    };
    packages.iter().map(record).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_packages_give_the_same_bytes() {
        let packages = [Package { name: "demo-openssl", version: "1.0.0-r0" }];
        let first = build(&packages, "hello").expect("builds in memory");
        let second = build(&packages, "hello").expect("builds in memory");
        assert_eq!(first.manifest.digest, second.manifest.digest);
    }

    #[test]
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    fn the_program_runs() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("hello");
        std::fs::write(&path, hello_program("hello from the demo")).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("made executable");
        let output = std::process::Command::new(&path).output().expect("starts");
        assert_eq!(
            (output.status.code(), output.stdout.as_slice()),
            (Some(0), b"hello from the demo\n".as_slice())
        );
    }
}
