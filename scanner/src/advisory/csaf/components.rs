//! A document's product tree: which package, of which module, in which channel a product id means.

use std::collections::HashMap;

use serde::Deserialize;

use super::super::Ecosystem;

/// Relationships followed from one product id: a package in a module in a product are two. Stops cycles.
const RELATIONSHIPS_MAX: usize = 4;

#[derive(Default, Deserialize)]
pub(super) struct Tree {
    #[serde(default)]
    branches: Vec<Branch>,
    #[serde(default)]
    relationships: Vec<Relationship>,
}

/// How deep branches may lie in each other is bounded by the JSON parser.
#[derive(Deserialize)]
struct Branch {
    #[serde(default)]
    branches: Vec<Branch>,
    #[serde(default)]
    product: Option<Product>,
}

#[derive(Deserialize)]
struct Product {
    product_id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    product_identification_helper: Helper,
}

#[derive(Default, Deserialize)]
struct Helper {
    #[serde(default)]
    cpe: Option<String>,
    #[serde(default)]
    purl: Option<String>,
}

#[derive(Deserialize)]
struct Relationship {
    product_reference: String,
    relates_to_product_reference: String,
    full_product_name: FullName,
}

#[derive(Deserialize)]
struct FullName {
    product_id: String,
}

/// The tree by product id.
pub(super) struct Products<'d> {
    products: HashMap<&'d str, &'d Product>,
    relationships: HashMap<&'d str, &'d Relationship>,
}

/// What one product id means.
pub(super) struct Component<'d> {
    pub(super) channel: Ecosystem,
    /// `nodejs:18`.
    pub(super) module: Option<&'d str>,
    name: &'d str,
    /// `epoch:version-release`; none where all versions are meant.
    pub(super) version: Option<String>,
    pub(super) is_source: bool,
}

impl<'d> Products<'d> {
    pub(super) fn new(tree: &'d Tree) -> Self {
        let mut products = HashMap::new();
        let mut left: Vec<&Branch> = tree.branches.iter().collect();
        while let Some(branch) = left.pop() {
            products.extend(branch.product.iter().map(|product| (product.product_id.as_str(), product)));
            left.extend(&branch.branches);
        }
        let by_id = |it: &'d Relationship| (it.full_product_name.product_id.as_str(), it);
        Self { products, relationships: tree.relationships.iter().map(by_id).collect() }
    }

    /// `None` for what is no rpm package of Red Hat's: containers, Java archives, operators.
    pub(super) fn component(&self, id: &str) -> Option<Component<'d>> {
        let relationship = self.relationships.get(id)?;
        let leaf = self.products.get(relationship.product_reference.as_str())?;
        let (mut module, mut channel) = (None, None);
        let mut place = relationship.relates_to_product_reference.as_str();
        for _ in 0..RELATIONSHIPS_MAX {
            if let Some(product) = self.products.get(place) {
                channel = product.product_identification_helper.cpe.as_deref().and_then(Ecosystem::of_cpe);
                break;
            }
            let between = self.relationships.get(place)?;
            module = stream(&between.product_reference);
            place = &between.relates_to_product_reference;
        }
        let channel = channel?;
        let mut component = match leaf.product_identification_helper.purl.as_deref() {
            Some(purl) => of_purl(purl, &leaf.product_id, channel)?,
            None => of_name(if leaf.name.is_empty() { &leaf.product_id } else { &leaf.name }, channel)?,
        };
        // `nodejs:16/nodejs`: a component without versions names its module in front.
        if let Some((of_module, _)) = leaf.product_id.split_once('/')
            && of_module.contains(':')
        {
            component.module = Some(stream(of_module)?);
        }
        component.module = module.or(component.module);
        Some(component)
    }
}

/// `nodejs:18` out of `nodejs:18:8090020240301110609:a75119d5`; `None` for what names no stream.
fn stream(module: &str) -> Option<&str> {
    let (name, rest) = module.split_once(':')?;
    let stream = rest.split(':').next().filter(|stream| !stream.is_empty())?;
    (!name.is_empty()).then(|| &module[..name.len() + 1 + stream.len()])
}

/// `pkg:rpm/redhat/bash@5.1.8-9.el9?arch=x86_64&epoch=1&rpmmod=a:1:…`. The epoch stands in the product's id too, and older
/// documents have it only there.
fn of_purl<'d>(purl: &'d str, id: &str, channel: Ecosystem) -> Option<Component<'d>> {
    let rest = purl.strip_prefix("pkg:rpm/")?;
    let (path, qualifiers) = rest.split_once('?').unwrap_or((rest, ""));
    let (path, version) = path.split_once('@').map_or((path, None), |(path, version)| (path, Some(version)));
    let name = path.rsplit('/').next().filter(|name| !name.is_empty())?;
    let qualifier = |key: &str| {
        let mut pairs = qualifiers.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(name, _)| *name == key).map(|(_, value)| value)
    };
    let epoch = qualifier("epoch").or_else(|| epoch_in(id));
    let epoch = epoch.filter(|epoch| *epoch != "0").map(|epoch| format!("{epoch}:")).unwrap_or_default();
    let module = match qualifier("rpmmod") {
        // One without a stream (`rhel10`, of flatpaks) is in no module that could be installed.
        Some(module) => Some(stream(module)?),
        None => None,
    };
    Some(Component {
        channel,
        module,
        name,
        version: version.map(|version| format!("{epoch}{}", decode(version))),
        is_source: matches!(qualifier("arch"), Some("src" | "nosrc")),
    })
}

/// A component without package URL: `bash-0:5.1.8-9.el9.x86_64`, or a source package's bare name.
fn of_name(name: &str, channel: Ecosystem) -> Option<Component<'_>> {
    // What is built for other products than the distribution itself is mostly no rpm package.
    if !channel.is_main_of_red_hat() {
        return None;
    }
    let Some(epoch) = epoch_in(name) else {
        let (module, name) = name.split_once('/').map_or((None, name), |(module, name)| (Some(module), name));
        // `openshift4/ose-cli` is a container.
        let module = match module {
            Some(module) => Some(stream(module)?),
            None => None,
        };
        return Some(Component { channel, module, name, version: None, is_source: true });
    };
    let (name, rest) = name.split_once(&format!("-{epoch}:"))?;
    let (version, architecture) = rest.rsplit_once('.')?;
    let epoch = Some(epoch).filter(|epoch| *epoch != "0").map(|epoch| format!("{epoch}:"));
    Some(Component {
        channel,
        module: None,
        name,
        version: Some(format!("{}{version}", epoch.unwrap_or_default())),
        is_source: architecture == "src",
    })
}

/// `1` in `bind-1:9.11-3.el8.x86_64`.
fn epoch_in(id: &str) -> Option<&str> {
    let (before, _) = id.split_once(':')?;
    let (_, epoch) = before.rsplit_once('-')?;
    (!epoch.is_empty() && epoch.bytes().all(|byte| byte.is_ascii_digit())).then_some(epoch)
}

/// Percent-encoding of a package URL's version (`%2B` for `+`).
fn decode(text: &str) -> String {
    let mut plain = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let hex = || Some((bytes.clone().next()?, bytes.clone().nth(1)?));
        let digits = hex().filter(|_| byte == b'%');
        let value = digits.and_then(|(high, low)| {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            u8::try_from(digit(high)? * 16 + digit(low)?).ok()
        });
        plain.push(value.unwrap_or(byte));
        if value.is_some() {
            bytes.nth(1);
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

impl Component<'_> {
    /// Where advisories about it stand. `version` tells builds apart that have advisories of their own.
    pub(super) fn key(&self, version: &str) -> (Ecosystem, String) {
        let package = match self.module {
            Some(_) => Ecosystem::in_module(self.module, self.name),
            None => self.channel.name_of_build(self.name, version, None),
        };
        let package = if self.is_source { Ecosystem::of_source(&package) } else { package };
        (self.channel.clone(), package)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_urls_and_modules_are_taken_apart() {
        let main = || Ecosystem::of_cpe("cpe:/o:redhat:enterprise_linux:8::baseos").expect("known");
        let told = |component: Option<Component<'_>>| {
            component.map(|it| {
                let version = it.version.clone().unwrap_or_default();
                format!("{} {version} {}", it.key(&version).1, it.module.unwrap_or("-"))
            })
        };
        let url = |purl, id| told(of_purl(purl, id, main()));
        for (purl, id, expected) in [
            (
                "pkg:rpm/redhat/bash@4.4.20-4.el8?arch=x86_64",
                "bash-0:4.4.20-4.el8.x86_64",
                Some("bash 4.4.20-4.el8 -"),
            ),
            (
                "pkg:rpm/redhat/bind@9.11-3.el8?arch=src",
                "bind-32:9.11-3.el8.src",
                Some("src:bind 32:9.11-3.el8 -"),
            ),
            ("pkg:rpm/redhat/bind@9.11-3.el8?arch=src&epoch=32", "x", Some("src:bind 32:9.11-3.el8 -")),
            (
                "pkg:rpm/redhat/npm@8.19-1.module%2Bel8.6.0%2B3?arch=x86_64&epoch=1&rpmmod=nodejs:16:8060:abc",
                "x",
                Some("nodejs:16::npm 1:8.19-1.module+el8.6.0+3 nodejs:16"),
            ),
            ("pkg:rpm/redhat/firefox-flatpak@1.0?arch=src&rpmmod=rhel10", "x", None),
            ("pkg:oci/ose-cli?repository_url=x", "x", None),
            ("pkg:rpm/redhat/@1", "x", None),
        ] {
            assert_eq!(url(purl, id).as_deref(), expected, "{purl}");
        }
        for (name, expected) in [
            ("bash", Some("src:bash  -")),
            ("nodejs:16/nodejs", Some("src:nodejs:16::nodejs  nodejs:16")),
            ("bind-libs-32:9.11-3.el8.x86_64", Some("bind-libs 32:9.11-3.el8 -")),
            ("openshift4/ose-cli", None),
        ] {
            assert_eq!(told(of_name(name, main())).as_deref(), expected, "{name}");
        }
        assert_eq!(decode("1%2B2%zz%4"), "1+2%zz%4");
        assert_eq!(stream("nodejs:18:809:a7"), Some("nodejs:18"));
        for none in ["nodejs", "nodejs:", ":18"] {
            assert_eq!(stream(none), None, "{none}");
        }
    }
}
