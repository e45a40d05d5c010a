//! Where images stand in an object: every container field of every kind that holds a pod.

use serde_json::{Map, Value};

use super::super::{Asked, shortened};
use crate::gate::evidence::Runtime;
use crate::reference::ImageReference;

/// Most images of one object; a pod with more is an attack on whoever judges them.
const IMAGES_MAX: usize = 256;
/// The lists of containers in a pod's spec (core/v1 `PodSpec`).
const CONTAINER_LISTS: &[&str] = &["containers", "initContainers", "ephemeralContainers"];
/// Deprecated since Kubernetes 1.30, still honoured by kubelets before; followed by the container's name.
const APPARMOR_ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";

/// What kind of object is asked about, by the API server's word, not the object's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    group: String,
    name: String,
}

impl Kind {
    pub(super) fn of(request: &Map<String, Value>) -> Result<Self, String> {
        let kind = request.get("kind").ok_or("`request.kind` is missing")?;
        let name =
            kind["kind"].as_str().filter(|name| !name.is_empty()).ok_or("`request.kind.kind` is missing")?;
        Ok(Self { group: kind["group"].as_str().unwrap_or_default().to_owned(), name: name.to_owned() })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Path to the pod inside the kinds that Kubernetes itself defines.
    fn pod(&self) -> Option<&'static [&'static str]> {
        match (self.group.as_str(), self.name.as_str()) {
            ("", "Pod") => Some(&[]),
            ("", "PodTemplate") => Some(&["template"]),
            ("", "ReplicationController")
            | ("apps" | "extensions", "DaemonSet" | "Deployment" | "ReplicaSet" | "StatefulSet")
            | ("batch", "Job") => Some(&["spec", "template"]),
            ("batch", "CronJob") => Some(&["spec", "jobTemplate", "spec", "template"]),
            _ => None,
        }
    }
}

/// Every image of an object. Kinds that we do not know are searched for whatever looks like a pod's spec: operators wrap
/// pods in kinds of their own. Their pods are asked about again when they are made.
pub(super) fn images(kind: &Kind, object: &Map<String, Value>) -> Result<Vec<Asked>, String> {
    let mut asked = Vec::new();
    match kind.pod() {
        Some(path) => {
            let mut pod = object;
            let mut shown = "object".to_owned();
            for step in path {
                shown = format!("{shown}.{step}");
                pod = pod
                    .get(*step)
                    .and_then(Value::as_object)
                    .ok_or_else(|| format!("`{shown}` is missing"))?;
            }
            known_pod(pod, &shown, &mut asked)?;
        }
        None => {
            for (key, value) in object {
                search(value, &format!("object.{key}"), &mut asked)?;
            }
        }
    }
    if asked.len() > IMAGES_MAX {
        return Err(format!("{} images, more than the limit of {IMAGES_MAX}", asked.len()));
    }
    Ok(asked)
}

fn known_pod(pod: &Map<String, Value>, at: &str, asked: &mut Vec<Asked>) -> Result<(), String> {
    let spec = pod.get("spec").and_then(Value::as_object).ok_or_else(|| format!("`{at}.spec` is missing"))?;
    if spec.get("containers").and_then(Value::as_array).is_none_or(Vec::is_empty) {
        return Err(format!("`{at}.spec.containers` is missing or empty"));
    }
    let annotations = pod.get("metadata").and_then(|metadata| metadata.get("annotations"));
    pod_spec(spec, annotations, &format!("{at}.spec"), MissingImage::Refused, asked)
}

/// What to do about a container without an image.
#[derive(Clone, Copy, PartialEq, Eq)]
enum MissingImage {
    /// In a pod it would be filled in by somebody after us.
    Refused,
    /// In a kind of our own making it is often a patch for a pod that comes later.
    Skipped,
}

fn search(value: &Value, at: &str, asked: &mut Vec<Asked>) -> Result<(), String> {
    match value {
        Value::Object(map) => {
            if looks_like_pod_spec(map) {
                pod_spec(map, None, at, MissingImage::Skipped, asked)?;
            }
            for (key, value) in map {
                search(value, &format!("{at}.{}", shortened(key, 60)), asked)?;
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                search(value, &format!("{at}[{index}]"), asked)?;
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    if asked.len() > IMAGES_MAX {
        return Err(format!("more than {IMAGES_MAX} images"));
    }
    Ok(())
}

/// A list of containers in which one has an image given as text.
fn looks_like_pod_spec(map: &Map<String, Value>) -> bool {
    CONTAINER_LISTS.iter().any(|list| {
        map.get(*list)
            .and_then(Value::as_array)
            .is_some_and(|list| list.iter().any(|item| item["image"].is_string()))
    })
}

fn pod_spec(
    spec: &Map<String, Value>,
    annotations: Option<&Value>,
    at: &str,
    missing: MissingImage,
    asked: &mut Vec<Asked>,
) -> Result<(), String> {
    let pod = PodRuntime::of(spec, annotations);
    for list in CONTAINER_LISTS {
        for (index, container) in items(spec, list, at)?.iter().enumerate() {
            let name = container["name"].as_str().unwrap_or_default();
            let place = format!("{at}.{list}[{index}] `{}`", shortened(name, 80));
            match container.get("image") {
                Some(Value::String(image)) => {
                    asked.push(ask(place, image, pod.container(container))?);
                }
                None if missing == MissingImage::Skipped => {}
                _ => return Err(format!("{place} names no image")),
            }
        }
    }
    for (index, volume) in items(spec, "volumes", at)?.iter().enumerate() {
        if let Some(image) = volume.get("image").filter(|image| !image.is_null()) {
            let name = volume["name"].as_str().unwrap_or_default();
            let place = format!("{at}.volumes[{index}] `{}`", shortened(name, 80));
            let reference = image["reference"].as_str().ok_or_else(|| format!("{place} names no image"))?;
            asked.push(ask(place, reference, Runtime::default())?);
        }
    }
    Ok(())
}

/// An absent list is empty; anything else that is no list is not ours to interpret.
fn items<'a>(spec: &'a Map<String, Value>, key: &str, at: &str) -> Result<&'a [Value], String> {
    match spec.get(key) {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(list)) => Ok(list),
        Some(_) => Err(format!("`{at}.{key}` is no list")),
    }
}

fn ask(place: String, image: &str, mut runtime: Runtime) -> Result<Asked, String> {
    let image = ImageReference::parse(image).map_err(|error| format!("{place}: {error}"))?;
    runtime.pinned = image.digest().is_some();
    Ok(Asked { place, image, runtime })
}

/// What all containers of a pod share.
struct PodRuntime<'a> {
    is_host_process: bool,
    apparmor: Option<&'a str>,
    annotations: Option<&'a Value>,
    host_paths: Vec<String>,
}

impl<'a> PodRuntime<'a> {
    fn of(spec: &'a Map<String, Value>, annotations: Option<&'a Value>) -> Self {
        let security = spec.get("securityContext").unwrap_or(&Value::Null);
        let volumes = spec.get("volumes").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let host_paths =
            volumes.iter().filter_map(|volume| volume["hostPath"]["path"].as_str()).map(str::to_owned);
        Self {
            is_host_process: security["windowsOptions"]["hostProcess"] == true,
            apparmor: security["appArmorProfile"]["type"].as_str(),
            annotations,
            host_paths: host_paths.collect(),
        }
    }

    /// A container's own profile beats the annotation, which beats the pod's profile (as kubelets resolve it).
    fn container(&self, container: &Value) -> Runtime {
        let security = &container["securityContext"];
        let own = security["appArmorProfile"]["type"].as_str();
        let annotated = container["name"].as_str().and_then(|name| {
            self.annotations
                .and_then(|annotations| annotations.get(format!("{APPARMOR_ANNOTATION}{name}")))
                .and_then(Value::as_str)
        });
        let profile = own.or(annotated).or(self.apparmor).unwrap_or_default();
        Runtime {
            privileged: security["privileged"] == true
                || security["windowsOptions"]["hostProcess"] == true
                || self.is_host_process,
            apparmor_unconfined: profile.eq_ignore_ascii_case("unconfined"),
            host_binds: self.host_paths.clone(),
            ..Runtime::default()
        }
    }
}
