//! Packages that a kernel's source builds and that hold none of its code.

use crate::package::{Package, PackageKind};

/// Headers, documentation or source text of a Linux kernel, as Debian and Ubuntu pack them. Their advisories name the
/// source package, `linux` or one of its flavours, and so would hold against `linux-libc-dev` whatever was ever wrong
/// in the kernel: hundreds of problems in each image with a C compiler. None of that code is in the package; the
/// kernel that a container runs on is the host's. Images of a kernel (`linux-image-…`) and its tools are judged.
pub(super) fn is_kernel_text(package: &Package) -> bool {
    let of_kernel = |name: &str| name == "linux" || name.starts_with("linux-");
    package.kind == PackageKind::Deb
        && package.source.as_ref().is_some_and(|source| of_kernel(&source.name))
        && of_kernel(&package.name)
        && (package.name.split('-').any(|word| matches!(word, "headers" | "doc" | "source"))
            || package.name == "linux-libc-dev"
            || package.name.starts_with("linux-libc-dev-"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::SourcePackage;

    fn deb(name: &str, source: &str) -> Package {
        let source = Some(SourcePackage { name: source.into(), version: "6.1.1-1".into() });
        Package { source, ..Package::new(PackageKind::Deb, name.into(), "6.1.1-1".into()) }
    }

    #[test]
    fn headers_and_texts_of_a_kernel_hold_none_of_its_code() {
        for (name, source) in [
            ("linux-libc-dev", "linux"),
            ("linux-libc-dev-arm64-cross", "linux"),
            ("linux-headers-6.1.0-18-amd64", "linux"),
            ("linux-aws-headers-6.8.0-1009", "linux-aws"),
            ("linux-headers-generic", "linux-meta"),
            ("linux-doc-6.1", "linux"),
            ("linux-source-6.1", "linux"),
        ] {
            assert!(is_kernel_text(&deb(name, source)), "{name}");
        }
        for (name, source) in [
            ("linux-image-6.1.0-18-amd64", "linux"),
            ("linux-modules-6.8.0-31-generic", "linux"),
            ("linux-perf", "linux"),
            ("bpftool", "linux"),
            ("openssl-headers", "openssl"),
            ("libc6-dev", "glibc"),
            ("linux-libc-dev", "glibc"),
        ] {
            assert!(!is_kernel_text(&deb(name, source)), "{name}");
        }
        let rpm = Package { kind: PackageKind::Rpm, ..deb("kernel-headers", "kernel") };
        assert!(!is_kernel_text(&rpm), "its vendors name it themselves where they mean it");
        assert!(!is_kernel_text(&Package { source: None, ..deb("linux-libc-dev", "linux") }));
    }
}
