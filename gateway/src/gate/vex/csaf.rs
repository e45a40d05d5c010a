//! CSAF 2.0 and 2.1, profile VEX (docs.oasis-open.org/csaf, section 4.5): the product tree is expanded, relationships
//! included.

use std::collections::{BTreeMap, BTreeSet};

use scanner::purl::Purl;
use serde_json::{Map, Value};

use super::{
    Images, Packages, Scope, Statement, Status, VexDocument, VexError, fixed, missing, moment, scope_of,
    text, within_limit,
};

/// Products of one document, relationships included; Red Hat's largest have some twenty thousand.
const PRODUCTS_MAX: usize = 200_000;
/// Branches inside branches; real trees have six.
const DEPTH_MAX: usize = 32;

/// Lists of `product_status`, and what each says. What refuses comes last, so that it counts where a product is in two.
const STATUSES: [(&str, &str); 7] = [
    ("known_not_affected", "not_affected"),
    ("fixed", "fixed"),
    ("first_fixed", "fixed"),
    ("under_investigation", "under_investigation"),
    ("known_affected", "affected"),
    ("first_affected", "affected"),
    ("last_affected", "affected"),
];

pub(super) fn parse(root: &Map<String, Value>) -> Result<VexDocument, VexError> {
    let document = root.get("document").and_then(Value::as_object).ok_or(VexError::Format)?;
    let version = text(document, "csaf_version").unwrap_or_default();
    if text(document, "category") != Some("csaf_vex") || !["2.0", "2.1"].contains(&version) {
        return Err(VexError::Format);
    }
    let publisher = document.get("publisher").and_then(Value::as_object);
    let author = publisher.and_then(|publisher| text(publisher, "name"));
    let author = author.ok_or_else(|| missing("document.publisher.name", "who states it"))?;
    let tracking = document.get("tracking").and_then(Value::as_object);
    let released = tracking.and_then(|tracking| text(tracking, "current_release_date"));
    let field = "document.tracking.current_release_date";
    let at = moment(released.ok_or_else(|| missing(field, "when it was stated"))?, field)?;
    let products = Products::read(root.get("product_tree"))?;
    let mut statements = Vec::new();
    for vulnerability in objects(root, "vulnerabilities") {
        let names = names(vulnerability);
        if names.is_empty() {
            return Err(missing("vulnerabilities[].cve", "a CVE, or `ids`"));
        }
        let reasons = Reasons::read(vulnerability, &products);
        let lists = vulnerability.get("product_status").and_then(Value::as_object);
        for (list, says) in STATUSES {
            let ids = lists.and_then(|lists| lists.get(list)).and_then(Value::as_array).into_iter().flatten();
            for id in ids.filter_map(Value::as_str) {
                for (product, scope) in products.scopes(id) {
                    let status = match says {
                        "not_affected" => reasons.not_affected(id),
                        "fixed" => fixed(&scope),
                        "affected" => Status::Affected,
                        _ => Status::UnderInvestigation,
                    };
                    let names = names.clone();
                    statements.push(Statement { names, product, at, status, order: 0, scope });
                }
                within_limit(&statements)?;
            }
        }
    }
    Ok(VexDocument { author: author.to_owned(), statements })
}

fn objects<'v>(object: &'v Map<String, Value>, key: &str) -> impl Iterator<Item = &'v Map<String, Value>> {
    object.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object)
}

fn strings<'v>(object: &'v Map<String, Value>, key: &str) -> impl Iterator<Item = &'v str> {
    object.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

fn names(vulnerability: &Map<String, Value>) -> Vec<String> {
    let ids = objects(vulnerability, "ids").filter_map(|id| text(id, "text"));
    text(vulnerability, "cve").into_iter().chain(ids).map(str::to_owned).collect()
}

/// Why products are not affected (section 3.2.3.5 `flags`, 3.2.3.14 `threats`).
#[derive(Default)]
struct Reasons<'v>(BTreeMap<&'v str, BTreeSet<&'v str>>);

impl<'v> Reasons<'v> {
    fn read(vulnerability: &'v Map<String, Value>, products: &Products<'v>) -> Self {
        let mut reasons = Self::default();
        let flags = objects(vulnerability, "flags").map(|flag| (flag, text(flag, "label")));
        let impacts = objects(vulnerability, "threats").filter(|it| text(it, "category") == Some("impact"));
        for (object, why) in flags.chain(impacts.map(|threat| (threat, text(threat, "details")))) {
            let groups =
                strings(object, "group_ids").filter_map(|id| products.groups.get(id)).flatten().copied();
            for id in strings(object, "product_ids").chain(groups) {
                reasons.0.entry(id).or_default().extend(why);
            }
        }
        reasons
    }

    fn not_affected(&self, id: &str) -> Status {
        match self.0.get(id).filter(|reasons| !reasons.is_empty()) {
            Some(reasons) => {
                Status::NotAffected { why: reasons.iter().copied().collect::<Vec<_>>().join("; ") }
            }
            None => Status::Void { problem: "says `known_not_affected` without flag or impact" },
        }
    }
}

/// What helps to identify a product.
#[derive(Clone, Debug, Default)]
struct Named<'v> {
    purls: Vec<&'v str>,
    cpe: Option<&'v str>,
    /// It stands under a range of versions, which its package URL does not repeat.
    ranged: bool,
}

#[derive(Default)]
struct Products<'v> {
    named: BTreeMap<&'v str, Named<'v>>,
    /// Component and what it is a component of.
    related: BTreeMap<&'v str, (&'v str, &'v str)>,
    groups: BTreeMap<&'v str, Vec<&'v str>>,
}

impl<'v> Products<'v> {
    fn read(tree: Option<&'v Value>) -> Result<Self, VexError> {
        let mut products = Self::default();
        let Some(tree) = tree.and_then(Value::as_object) else { return Ok(products) };
        objects(tree, "full_product_names").for_each(|product| products.add(product, false));
        let mut open: Vec<_> = objects(tree, "branches").map(|branch| (branch, false, 0)).collect();
        while let Some((branch, ranged, depth)) = open.pop() {
            if depth > DEPTH_MAX || products.named.len() > PRODUCTS_MAX {
                return Err(VexError::Limit(format!("{PRODUCTS_MAX} products, {DEPTH_MAX} branches deep")));
            }
            let ranged = ranged || text(branch, "category") == Some("product_version_range");
            if let Some(product) = branch.get("product").and_then(Value::as_object) {
                products.add(product, ranged);
            }
            open.extend(objects(branch, "branches").map(|branch| (branch, ranged, depth + 1)));
        }
        for relationship in objects(tree, "relationships").take(PRODUCTS_MAX) {
            let product = relationship.get("full_product_name").and_then(Value::as_object);
            let id = product.and_then(|product| text(product, "product_id"));
            let of = text(relationship, "product_reference")
                .zip(text(relationship, "relates_to_product_reference"));
            if let (Some(id), Some(of)) = (id, of) {
                products.related.insert(id, of);
            }
        }
        for group in objects(tree, "product_groups").take(PRODUCTS_MAX) {
            if let Some(id) = text(group, "group_id") {
                products.groups.insert(id, strings(group, "product_ids").collect());
            }
        }
        Ok(products)
    }

    fn add(&mut self, product: &'v Map<String, Value>, ranged: bool) {
        let Some(id) = text(product, "product_id") else { return };
        let helper = product.get("product_identification_helper").and_then(Value::as_object);
        let purls =
            helper.map(|helper| text(helper, "purl").into_iter().chain(strings(helper, "purls")).collect());
        let cpe = helper.and_then(|helper| text(helper, "cpe"));
        self.named.insert(id, Named { purls: purls.unwrap_or_default(), cpe, ranged });
    }

    /// What a product id means; one that tells nothing comparable means nothing, and is told so.
    fn scopes(&self, id: &str) -> Vec<(String, Scope)> {
        let Some((component, whole)) = self.related.get(id) else {
            return self.own(id);
        };
        let images = self.images(whole);
        let part = |(name, scope): (String, Scope)| {
            let is_package = scope.images == Images::Any;
            let packages = if is_package { scope.packages } else { Packages::None };
            (format!("{name} in {whole}"), Scope { images: images.clone(), packages })
        };
        self.own(component).into_iter().map(part).collect()
    }

    fn own(&self, id: &str) -> Vec<(String, Scope)> {
        let named = self.named.get(id).cloned().unwrap_or_default();
        if named.purls.is_empty() {
            return vec![(id.to_owned(), Scope::default())];
        }
        let scope = |text: &&str| {
            let purl = Purl::parse(text).filter(|purl| !named.ranged || purl.version.is_some());
            ((*text).to_owned(), purl.map(scope_of).unwrap_or_default())
        };
        named.purls.iter().map(scope).collect()
    }

    /// The images that a component is stated to be in: one by its package URL, or those of a release of Red Hat's.
    fn images(&self, id: &str) -> Images {
        let Some(named) = self.named.get(id) else { return Images::None };
        if let [purl] = named.purls.as_slice() {
            let scope = Purl::parse(purl).map(scope_of).unwrap_or_default();
            return if scope.packages == Packages::All { scope.images } else { Images::None };
        }
        named.cpe.and_then(red_hat_release).map_or(Images::None, |major| Images::RedHat(major.to_owned()))
    }
}

/// `8` out of `cpe:/o:redhat:enterprise_linux:8` and `cpe:/a:redhat:enterprise_linux:8::appstream`. A point release is a
/// channel of its own and means no image here.
fn red_hat_release(cpe: &str) -> Option<&str> {
    let rest =
        ["cpe:/o:", "cpe:/a:", "cpe:2.3:o:", "cpe:2.3:a:"].iter().find_map(|part| cpe.strip_prefix(part))?;
    let major = rest.strip_prefix("redhat:enterprise_linux:")?.split(':').next()?;
    major.bytes().all(|byte| byte.is_ascii_digit()).then_some(major).filter(|major| !major.is_empty())
}
