//! Well-known programs and libraries by the version that they print: what is built from source or unpacked from a vendor's
//! archive has no package, and says so itself.
//!
//! Only files of the product's own name are searched: other programs repeat the versions of the headers that they were
//! compiled with. That also makes the search cost nothing for all other files.

use memchr::memmem;

use crate::detectors::Window;
use crate::package::{Package, PackageKind};

/// Bytes around a mark that may hold a version.
const VERSION_BYTES_MAX: usize = 48;

/// Where the version stands.
#[derive(Clone, Copy)]
enum Place {
    /// Right behind the mark.
    After,
    /// Right before it.
    Before,
    /// Behind the mark, of which all but the first byte begins it; and then comes a zero.
    Whole,
}

/// Names of files, the product, the mark in them, where the version stands, and how many numbers it has at least. A mark
/// that other texts hold too begins with the zero that ends what stands before it.
type Rule = (&'static [&'static str], &'static str, &'static [u8], Place, usize);

const RULES: [Rule; 34] = [
    (&["bash"], "bash", b"Bash version ", Place::After, 2),
    (&["busybox"], "busybox", b"BusyBox v", Place::After, 2),
    (&["curl"], "curl", b"curl/", Place::After, 2),
    (&["libcurl"], "curl", b"libcurl/", Place::After, 2),
    (&["haproxy"], "haproxy", b"\0HAProxy version ", Place::After, 2),
    (&["haproxy"], "haproxy", b"\0HA-Proxy version ", Place::After, 2),
    (&["haproxy"], "haproxy", b"\0 version ", Place::After, 2),
    (&["getopt"], "util-linux", b"\0util-linux ", Place::After, 2),
    (&["gzip"], "gzip", b"\x001.", Place::Whole, 2),
    (&["jq"], "jq", b"\x001.", Place::Whole, 2),
    (&["lighttpd"], "lighttpd", b"lighttpd/", Place::After, 2),
    (&["apache2", "httpd"], "httpd", b"Apache/", Place::After, 2),
    (&["mariadbd", "mysqld", "mariadb"], "mariadb", b"-MariaDB", Place::Before, 2),
    (&["memcached"], "memcached", b"memcached ", Place::After, 2),
    (&["mysqld"], "mysql", b"/mysql-", Place::After, 2),
    (&["nginx"], "nginx", b"nginx version: nginx/", Place::After, 2),
    (&["nginx", "openresty"], "openresty", b"nginx version: openresty/", Place::After, 2),
    (&["node", "nodejs"], "node", b"node.js/v", Place::After, 2),
    (&["openssl", "libcrypto.so", "libssl.so"], "openssl", b"OpenSSL ", Place::After, 2),
    (&["perl", "libperl"], "perl", b"/perl5/", Place::After, 3),
    (&["perl", "libperl"], "perl", b"/perl/", Place::After, 3),
    (&["php", "php-cgi", "php-fpm", "libphp"], "php", b"X-Powered-By: PHP/", Place::After, 2),
    (&["postgres"], "postgresql", b"\0PostgreSQL ", Place::After, 2),
    (&["proftpd"], "proftpd", b"\0ProFTPD Version ", Place::After, 2),
    (&["pypy", "libpypy"], "pypy", b"[PyPy ", Place::After, 3),
    (&["python", "libpython"], "python", b"\x003.", Place::Whole, 3),
    (&["redis-server"], "redis", b"buildkitsandbox-", Place::Before, 2),
    (&["ruby", "libruby"], "ruby", b"ruby ", Place::After, 2),
    (&["sqlite3", "libsqlite3"], "sqlite", b"\x003.", Place::Whole, 3),
    (&["valkey-server"], "valkey", b"buildkitsandbox-", Place::Before, 2),
    (&["traefik"], "traefik", b"\0Traefik version ", Place::After, 2),
    (&["varnishd"], "varnish", b"varnish-", Place::After, 2),
    (&["xz"], "xz", b"(XZ Utils) ", Place::After, 3),
    (&["zstd"], "zstd", b"\0v", Place::After, 3),
];

/// Searches one executable.
#[derive(Default)]
pub(super) struct Search {
    rules: Vec<&'static Rule>,
    /// What a file's own name says its version begins with: `3.11`.
    named: String,
    found: Vec<Package>,
}

impl Search {
    pub(super) fn of(path: &[u8]) -> Self {
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
        let rules: Vec<_> =
            RULES.iter().filter(|rule| rule.0.iter().any(|file| is_named(name, file))).collect();
        let digits = name.iter().position(u8::is_ascii_digit).map_or(&b""[..], |at| &name[at..]);
        let end =
            digits.iter().position(|byte| !byte.is_ascii_digit() && *byte != b'.').unwrap_or(digits.len());
        let named = String::from_utf8_lossy(&digits[..end]).trim_matches('.').to_owned();
        Self { rules, named, found: Vec::new() }
    }

    pub(super) fn inspect(&mut self, window: &Window<'_>) {
        for (_, product, mark, place, numbers) in &self.rules {
            if self.found.iter().any(|found| found.name == *product) {
                continue;
            }
            let end = window.bytes.len().min(window.fresh.end + mark.len() - 1);
            let hits = memmem::find_iter(&window.bytes[window.fresh.start..end], mark);
            let versions = hits
                .filter_map(|at| version(window.bytes, window.fresh.start + at, mark, (*place, *numbers)));
            let fits = |version: &String| match place {
                // Python's own version begins as the file is called; others are those of what it was built with.
                Place::Whole if self.named.contains('.') => version.starts_with(&self.named),
                _ => true,
            };
            if let Some(version) = { versions }.find(fits) {
                self.found.push(Package::new(PackageKind::Binary, (*product).to_owned(), version));
            }
        }
    }

    pub(super) fn finish(self) -> Vec<Package> {
        self.found
    }
}

/// `python3.11`, `libcrypto.so.3` and `libpypy3.9-c.so` are called `python`, `libcrypto.so` and `libpypy`; `python-config`
/// and `node_exporter` are not.
fn is_named(name: &[u8], file: &str) -> bool {
    let Some(rest) = name.strip_prefix(file.as_bytes()) else { return false };
    let number = rest.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
    let after = &rest[number..];
    after.is_empty() || number > 0 && (after.starts_with(b"so") || after == b"-c.so")
}

fn version(bytes: &[u8], at: usize, mark: &[u8], (place, needed): (Place, usize)) -> Option<String> {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'+' | b'_');
    let text = match place {
        Place::After | Place::Whole => {
            let start = if matches!(place, Place::Whole) { at + 1 } else { at + mark.len() };
            let rest = &bytes[start..bytes.len().min(start + VERSION_BYTES_MAX)];
            let end = rest.iter().position(|byte| !is_part(byte))?;
            if matches!(place, Place::Whole) && rest[end] != 0 {
                return None;
            }
            &rest[..end]
        }
        Place::Before => {
            let before = &bytes[at.saturating_sub(VERSION_BYTES_MAX)..at];
            let start = before.iter().rposition(|byte| !byte.is_ascii_digit() && *byte != b'.')? + 1;
            &before[start..]
        }
    };
    let text = std::str::from_utf8(text).ok()?.trim_end_matches(['.', '-', '+', '_']);
    let numbers =
        text.split('.').take_while(|part| part.starts_with(|first: char| first.is_ascii_digit())).count();
    (text.starts_with(|first: char| first.is_ascii_digit()) && numbers >= needed).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, content: &[u8]) -> Vec<String> {
        let file = [&b"\x7fELF"[..], &[b'.'; 100], content, b"\0......"].concat();
        let mut lines = Vec::new();
        for fresh in [file.len(), 7] {
            let mut search = Search::of(path.as_bytes());
            let mut start = 0;
            while start < file.len() {
                let end = (start + fresh).min(file.len());
                let (from, to) = (start.saturating_sub(1024), (end + 64).min(file.len()));
                let window = Window {
                    bytes: &file[from..to],
                    fresh: start - from..end - from,
                    first: start == 0,
                    offset: from as u64,
                };
                search.inspect(&window);
                start = end;
            }
            let line = |package: &Package| format!("{} {}", package.name, package.version);
            lines.push(search.finish().iter().map(line).collect::<Vec<_>>());
        }
        assert_eq!(lines[0], lines[1], "windows do not matter: {path}");
        lines.remove(0)
    }

    #[test]
    fn programs_are_known_by_what_they_print() {
        let cases: [(&str, &[u8], &str); 32] = [
            ("bin/bash", b"@(#)Bash version 5.2.15(1) release GNU", "bash 5.2.15"),
            ("bin/busybox", b"BusyBox v1.36.1 (2023-07-27)", "busybox 1.36.1"),
            ("usr/bin/curl", b"curl/8.4.0", "curl 8.4.0"),
            ("usr/lib/libcurl.so.4.8.0", b"libcurl/8.4.0", "curl 8.4.0"),
            (
                "usr/local/sbin/haproxy",
                b"\0HAProxy version 2.8.3-86e043a 2023/09/07",
                "haproxy 2.8.3-86e043a",
            ),
            ("usr/local/apache2/bin/httpd", b"Apache/2.4.57 (Unix)", "httpd 2.4.57"),
            ("usr/sbin/mariadbd", b"\x0010.11.5-MariaDB-1:10", "mariadb 10.11.5"),
            ("usr/bin/memcached", b"memcached 1.6.21", "memcached 1.6.21"),
            ("usr/sbin/mysqld", b"/build/mysql-8.0.34/sql", "mysql 8.0.34"),
            ("usr/sbin/nginx", b"nginx version: nginx/1.25.3", "nginx 1.25.3"),
            ("usr/local/bin/node", b"node.js/v20.9.0", "node 20.9.0"),
            ("usr/local/lib/libcrypto.so.3", b"OpenSSL 3.0.2 15 Mar 2022", "openssl 3.0.2"),
            ("usr/local/bin/openssl", b"OpenSSL 1.1.1k  25 Mar 2021", "openssl 1.1.1k"),
            ("usr/local/bin/perl5.36.0", b"/usr/local/lib/perl5/5.36.0/x", "perl 5.36.0"),
            ("usr/local/sbin/php-fpm", b"X-Powered-By: PHP/8.2.11", "php 8.2.11"),
            ("usr/lib/postgresql/15/bin/postgres", b"\0PostgreSQL 15.4 on x86_64", "postgresql 15.4"),
            ("usr/local/bin/python3.11", b"\x003.9.1\x003.11.4\0", "python 3.11.4"),
            ("usr/local/lib/libpython3.11.so.1.0", b"\x003.11.4\0", "python 3.11.4"),
            ("usr/local/bin/redis-server", b"x7.2.3buildkitsandbox-169", "redis 7.2.3"),
            ("usr/local/lib/libruby.so.3.2.2", b"ruby 3.2.2 (2023-03-30)", "ruby 3.2.2"),
            ("usr/lib/libsqlite3.so.0.8.6", b"\x003.40.1\0", "sqlite 3.40.1"),
            // As Debian builds them, with what stands before and would mislead.
            (
                "usr/sbin/haproxy",
                b"not supported since HAProxy version 2.5.\n\0\0 version 2.6.12-1+deb12u4, released",
                "haproxy 2.6.12-1+deb12u4",
            ),
            (
                "usr/lib/postgresql/15/bin/postgres",
                b"before upgrading to PostgreSQL 9.1.\0\0PostgreSQL 15.20 (Debian",
                "postgresql 15.20",
            ),
            ("usr/bin/perl", b"/usr/lib/x/perl5/5.36\0/usr/lib/x/perl/5.36.0\0", "perl 5.36.0"),
            ("usr/bin/getopt", b"\0util-linux 2.38.1\0", "util-linux 2.38.1"),
            ("bin/gzip", b"while zipping\n\x001.12\0", "gzip 1.12"),
            ("usr/bin/jq", b"failed: %s\n\x001.6\0DEBUG:", "jq 1.6"),
            ("usr/sbin/lighttpd", b"\0lighttpd/1.4.69\0server", "lighttpd 1.4.69"),
            ("usr/sbin/proftpd", b"\0ProFTPD Version 1.3.8\0LANG", "proftpd 1.3.8"),
            ("usr/lib/libpypy3.9-c.so", b"3.9.16 (7.3.11+dfsg-2)\n[PyPy 7.3.11 with ", "pypy 7.3.11"),
            ("usr/bin/xz", b"xz (XZ Utils) 5.4.1\0liblzma %s", "xz 5.4.1"),
            ("usr/bin/zstd", b"Enabled\0v1.5.4\0Zstandard CLI", "zstd 1.5.4"),
        ];
        for (path, content, expected) in cases {
            let expected: Vec<&str> = vec![expected];
            // A library's own number is not SQLite's.
            let found = found(path, content);
            assert_eq!(found, expected, "{path}");
        }
    }

    #[test]
    fn what_others_repeat_or_print_later_is_no_version() {
        let cases: [(&str, &[u8]); 12] = [
            ("usr/sbin/nginx", b"built with OpenSSL 1.1.1k  25 Mar 2021"),
            ("usr/bin/node_exporter", b"node.js/v20.9.0"),
            ("usr/bin/nginx", b"nginx version: nginx/%s"),
            ("usr/bin/openssl", b"OpenSSL Project"),
            ("usr/bin/python3-config", b"\x003.11.4\0"),
            ("usr/bin/python3.11", b"\x003.11\0"),
            ("usr/bin/ruby", b"ruby interpreter"),
            ("usr/sbin/mariadbd", b"x-MariaDB"),
            ("usr/sbin/haproxy", b"not supported since HAProxy version 2.5.\n"),
            ("usr/lib/postgresql/15/bin/postgres", b"before upgrading to PostgreSQL 9.1."),
            ("usr/bin/perl", b"/usr/lib/x/perl5/5.36"),
            ("usr/bin/zstdgrep", b"\0v1.5.4\0"),
        ];
        for (path, content) in cases {
            assert_eq!(found(path, content), [""; 0], "{path}");
        }
    }
}
