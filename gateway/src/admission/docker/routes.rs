//! What each endpoint of the engine's API means. Reading passes; of the changes, only those listed here.

use serde_json::{Map, Value};

use super::super::{Asked, shortened};
use super::request::field;
use super::{AuthorizationRequest, LocalImages, Question};
use crate::gate::evidence::Runtime;
use crate::reference::ImageReference;

/// Changes that neither bring in nor start another image than one that was asked about when its container or service
/// was created. `*` stands for one segment, `**` at the end for any number (image and plug-in names hold slashes).
const HARMLESS: &[(&str, &str)] = &[
    ("POST", "auth"),
    ("POST", "containers/*/attach"),
    ("POST", "containers/*/attach/ws"),
    ("PUT", "containers/*/archive"),
    ("DELETE", "containers/*"),
    ("POST", "containers/*/kill"),
    ("POST", "containers/*/pause"),
    ("POST", "containers/*/rename"),
    ("POST", "containers/*/resize"),
    ("POST", "containers/*/restart"),
    ("POST", "containers/*/start"),
    ("POST", "containers/*/stop"),
    ("POST", "containers/*/unpause"),
    ("POST", "containers/*/update"),
    ("POST", "containers/*/wait"),
    ("POST", "containers/prune"),
    ("POST", "exec/*/resize"),
    ("POST", "exec/*/start"),
    ("POST", "build/cancel"),
    ("POST", "build/prune"),
    ("DELETE", "images/**"),
    ("POST", "images/prune"),
    ("POST", "networks/create"),
    ("POST", "networks/prune"),
    ("POST", "networks/*/connect"),
    ("POST", "networks/*/disconnect"),
    ("DELETE", "networks/*"),
    ("POST", "volumes/create"),
    ("POST", "volumes/prune"),
    ("PUT", "volumes/*"),
    ("DELETE", "volumes/*"),
    ("POST", "configs/create"),
    ("POST", "configs/*/update"),
    ("DELETE", "configs/*"),
    ("POST", "secrets/create"),
    ("POST", "secrets/*/update"),
    ("DELETE", "secrets/*"),
    ("DELETE", "services/*"),
    ("POST", "nodes/*/update"),
    ("DELETE", "nodes/*"),
    ("DELETE", "plugins/**"),
    ("POST", "swarm/init"),
    ("POST", "swarm/leave"),
    ("POST", "swarm/unlock"),
    ("POST", "swarm/update"),
];

/// Changes that make images of unknown content, with what to do instead.
const LOCAL_IMAGES: &[(&str, &str, &str)] = &[
    ("POST", "build", "building images"),
    ("POST", "commit", "making an image of a container"),
    ("POST", "grpc", "a BuildKit session, whose contents cannot be seen,"),
    ("POST", "images/load", "loading images from an archive"),
    ("POST", "session", "a BuildKit session, whose contents cannot be seen,"),
];

/// Finds out what a request means; `Err` is a refusal, too.
pub(super) fn question(
    request: &AuthorizationRequest,
    local_images: LocalImages,
) -> Result<Question, String> {
    let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
    if ["GET", "HEAD", "OPTIONS"].contains(&request.method.as_str()) {
        return Ok(Question::Harmless);
    }
    match (request.method.as_str(), path.as_slice()) {
        ("POST", ["containers", "create"]) => container(request),
        ("POST", ["containers", _, "exec"]) => exec(request),
        ("POST", ["services", "create"] | ["services", _, "update"]) => service(request),
        ("POST", ["images", "create"]) => pull(request, local_images),
        ("POST", ["images", .., "push"]) => Ok(Question::Harmless),
        ("POST", ["images", .., "tag"]) => local_image(local_images, "tagging images"),
        ("POST", ["plugins", "pull" | "create"] | ["plugins", .., "upgrade" | "enable"]) => {
            Err("engine plug-ins run with the engine's own rights and are not judged here; install them before this plug-in is enabled".into())
        }
        ("POST", ["plugins", .., "disable" | "set" | "push"]) => Ok(Question::Harmless),
        ("POST", ["swarm", "join"]) => Err(
            "the tasks of a swarm are pulled without asking this plug-in; join the node before it is enabled, and let the swarm pull only through the gateway".into(),
        ),
        (method, path) => {
            if let Some((.., what)) = LOCAL_IMAGES.iter().find(|(verb, route, _)| *verb == method && matches(route, path)) {
                return local_image(local_images, what);
            }
            if HARMLESS.iter().any(|(verb, route)| *verb == method && matches(route, path)) {
                return Ok(Question::Harmless);
            }
            let shown = shortened(&path.join("/"), 200);
            Err(format!("`{} /{shown}` is not known to be harmless", shortened(method, 20)))
        }
    }
}

fn matches(route: &str, path: &[&str]) -> bool {
    let route: Vec<&str> = route.split('/').collect();
    match route.split_last() {
        Some((&"**", head)) => path.len() > head.len() && same(head, &path[..head.len()]),
        _ => path.len() == route.len() && same(&route, path),
    }
}

fn same(route: &[&str], path: &[&str]) -> bool {
    route.iter().zip(path).all(|(wanted, found)| *wanted == "*" || wanted == found)
}

fn local_image(local_images: LocalImages, what: &str) -> Result<Question, String> {
    match local_images {
        LocalImages::Allowed => Ok(Question::Harmless),
        LocalImages::Denied => Err(format!(
            "{what} is denied on this host; build elsewhere, push to the gateway and run by digest (on a build host, start the plug-in with --allow-local-images)"
        )),
    }
}

fn body(request: &AuthorizationRequest) -> Result<&Map<String, Value>, String> {
    request.body.as_ref().ok_or_else(|| {
        "the engine did not show the request's body (none was sent, it is not JSON, or it is over 1 MiB), so what would run cannot be told".into()
    })
}

/// `POST /containers/create`: `Image`, and what it wants from the host.
fn container(request: &AuthorizationRequest) -> Result<Question, String> {
    let body = body(request)?;
    let image = field(body, "Image")?.as_str().unwrap_or_default();
    let empty = Map::new();
    let host = match field(body, "HostConfig")? {
        Value::Object(host) => host,
        Value::Null => &empty,
        _ => return Err("`HostConfig` is no object".into()),
    };
    let runtime = Runtime {
        privileged: field(host, "Privileged")?.as_bool().unwrap_or_default(),
        apparmor_unconfined: texts(field(host, "SecurityOpt")?).any(is_apparmor_off),
        host_binds: host_binds(host)?,
        pinned: true,
    };
    run(image, "container", runtime)
}

/// `POST /containers/{id}/exec`: no other image, but it may take more rights than its container was judged with.
fn exec(request: &AuthorizationRequest) -> Result<Question, String> {
    if field(body(request)?, "Privileged")?.as_bool().unwrap_or_default() {
        return Err(
            "a privileged exec is denied: create the container privileged, so that the policy can judge it"
                .into(),
        );
    }
    Ok(Question::Harmless)
}

/// `apparmor=unconfined`, or with the colon that old clients send.
fn is_apparmor_off(option: &str) -> bool {
    let option = option.to_ascii_lowercase();
    option
        .strip_prefix("apparmor")
        .is_some_and(|rest| rest.trim_start_matches([':', '=']).trim() == "unconfined")
}

fn host_binds(host: &Map<String, Value>) -> Result<Vec<String>, String> {
    let mut binds: Vec<String> = texts(field(host, "Binds")?)
        .filter_map(|bind| bind.split(':').next())
        .filter(|source| source.starts_with('/'))
        .map(str::to_owned)
        .collect();
    if let Value::Array(mounts) = field(host, "Mounts")? {
        for mount in mounts.iter().filter_map(Value::as_object) {
            if field(mount, "Type")?.as_str().is_some_and(|kind| kind.eq_ignore_ascii_case("bind")) {
                binds.push(field(mount, "Source")?.as_str().unwrap_or_default().to_owned());
            }
        }
    }
    Ok(binds)
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().map_or(&[][..], Vec::as_slice).iter().filter_map(Value::as_str)
}

/// `POST /services/create` and `/services/{id}/update`: `TaskTemplate.ContainerSpec.Image`. The workers pull on their own,
/// so only a digest says what they will run.
fn service(request: &AuthorizationRequest) -> Result<Question, String> {
    let body = body(request)?;
    let task = field(body, "TaskTemplate")?.as_object().ok_or("the request has no `TaskTemplate`")?;
    if !field(task, "PluginSpec")?.is_null() {
        return Err(
            "a service that installs an engine plug-in is denied: plug-ins are not judged here".into()
        );
    }
    let container =
        field(task, "ContainerSpec")?.as_object().ok_or("the request has no `TaskTemplate.ContainerSpec`")?;
    let image = field(container, "Image")?.as_str().unwrap_or_default();
    let mut runtime = Runtime { pinned: true, host_binds: host_binds(container)?, ..Runtime::default() };
    if let Value::Object(privileges) = field(container, "Privileges")?
        && let Value::Object(apparmor) = field(privileges, "AppArmor")?
    {
        runtime.apparmor_unconfined =
            field(apparmor, "Mode")?.as_str().is_some_and(|mode| mode.eq_ignore_ascii_case("disabled"));
    }
    run(image, "service", runtime)
}

/// The engine resolves a tag or an id among its local images, which the gate cannot see; only a digest means the same to
/// both.
fn run(image: &str, what: &str, runtime: Runtime) -> Result<Question, String> {
    if image.is_empty() {
        return Err(format!("the {what} names no image"));
    }
    let shown = shortened(image, 300);
    let pin = "run it by digest, as registry/name@sha256:…; `docker images --digests` shows the digest of a pulled image";
    if is_local_id(image) {
        return Err(format!(
            "`{shown}` is the id of a local image, and nobody knows where that came from; {pin}"
        ));
    }
    let reference = ImageReference::parse(image).map_err(|error| format!("{error}; {pin}"))?;
    if reference.digest().is_none() {
        return Err(format!(
            "`{shown}` has no digest, and what this tag means is decided by the engine's local images; {pin}"
        ));
    }
    Ok(Question::Images(vec![Asked { place: what.to_owned(), image: reference, runtime }]))
}

fn is_local_id(image: &str) -> bool {
    let hex = image.strip_prefix("sha256:").unwrap_or(image);
    image.starts_with("sha256:") || (hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// `POST /images/create`: a pull (`fromImage`, `tag`) or an import (`fromSrc`). Go's server prefers parameters of a form
/// body to those of the address, and a form body is never shown to plug-ins.
fn pull(request: &AuthorizationRequest, local_images: LocalImages) -> Result<Question, String> {
    let content_type = request.headers.get("content-type").map_or("", String::as_str).to_ascii_lowercase();
    if content_type.contains("form") {
        return Err("a pull with a form as its body is denied: the body cannot be seen here".into());
    }
    let parameter = |name: &str| request.query.get(name).map_or("", String::as_str);
    if !parameter("fromSrc").is_empty() {
        return local_image(local_images, "importing an image");
    }
    let (image, tag) = (parameter("fromImage"), parameter("tag"));
    if image.is_empty() {
        return Err("the pull names no image".into());
    }
    let whole = match tag {
        "" => image.to_owned(),
        tag if tag.contains(':') => format!("{image}@{tag}"),
        tag => format!("{image}:{tag}"),
    };
    let reference = ImageReference::parse(&whole).map_err(|error| error.to_string())?;
    let all_tags = reference.tag().is_none() && reference.digest().is_none();
    if all_tags {
        return Err(format!("`{}` without tag and digest pulls every tag; name one", shortened(image, 300)));
    }
    let runtime = Runtime { pinned: reference.digest().is_some(), ..Runtime::default() };
    Ok(Question::Images(vec![Asked { place: "pull".into(), image: reference, runtime }]))
}
