//! The policy that a first start writes: strict, and explained line by line.

/// Where the starter policy looks for the public key, relative to its own file.
pub const STARTER_KEY_PATH: &str = "keys/release.pub";

/// The starter policy. It always parses where the file `STARTER_KEY_PATH` is a public key; a test holds that.
pub fn starter() -> &'static str {
    STARTER
}

const STARTER: &str = r#"# Portcullis policy: which images may be stored, released, pulled and run.
#
# The first [[rule]] whose `images` match decides. An image that no rule matches is refused.
# Check this file after each change:   portcullis policy check policy.toml
# See what holds for one image:        portcullis policy explain policy.toml --image registry.example/prod/app

# Who may vouch for an image. The key pair was made at the first start; keep the private half away from this machine
# once your pipeline has it. `portcullis keys generate` makes another, and a cosign.pub is fine as it is.
[[identity]]
name   = "release"
cosign = { key = "keys/release.pub" }

[[rule]]
name   = "default"
# `host/repository`; `*` stays inside one path segment, `**` goes across. `**` alone is every image.
images = ["**"]

# Consumers see an image once it is signed by all of these lists, each by any one of its identities, and no signer
# counts twice: [["release"], ["qa", "security"]] asks for two people.
# `when = "before-push"` refuses to store an unsigned image at all.
signatures = { require = [["release"]], when = "before-release" }

# Consumers and engines ask by digest, so that what runs is what was judged. "tag" lets them ask by tag.
pin = { pull = "digest" }

[rule.scan]
# Each word means "this or worse"; "-fixable" means only what has a fixed version.
deny = ["critical", "high-fixable"]
# An image that is released already goes on being served for so long after a vulnerability first refuses it; each door
# warns meanwhile. Leave it out, and a new advisory takes the image away at once.
grace = "7d"
# What a vulnerability counts as while nobody has rated it.
unrated = "high"
# Passwords and keys in any layer, also in files that a later layer deletes: they still ship.
secrets = "deny"
# Unknown distributions, broken package databases, missing advisories. Unknown is not clean.
unknown = "deny"
# Programs that no package brought or still vouches for, and that do not tell what is in them. A limit, as in "5%" of the
# bytes of all programs or "10MiB", refuses what is above it.
unexplained = "warn"
# Files that the gate's YARA rules match refuse wherever its configuration names a folder of rules (`[malware] yara`).
# Written here, it also refuses what no rules were asked about:
# malware = "deny"
# Advisories older than this cannot call anything clean.
max-advisory-age = "7d"

[rule.image]
# As stored, compressed.
max-size = "2GiB"
max-layers = 127
# Bytes that ship although a later layer overwrites or deletes them.
max-wasted = "25%"
# "non-root" refuses images that start as root, "non-root-numeric" also those whose user is a name.
user = "non-root"
# deny, warn or off.
setuid = "warn"
setgid = "warn"
world-writable = "warn"
# What has been used against engines: users whose number overflows, labels that are orders to containerd, volumes and links
# that leave the image, device nodes, set-ID bits that a later layer adds.
attacks = "deny"

# Asked by the admission doors only.
[rule.runtime]
privileged = "deny"
apparmor = "require"
host-bind-mounts = "warn"

# A waiver has a scope, an owner, a reason and a last day. It turns a refusal into a warning.
# [[exception]]
# finding = "CVE-2026-0001"        # or: secret = "<sha256 of its value>", malware = "<YARA rule>", check = "size"
# images  = ["registry.example/prod/app"]
# reason  = "not reachable: the service parses no XML"
# owner   = "a@example"
# expires = 2027-01-31
"#;
