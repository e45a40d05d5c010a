//! Size, growth, layers, waste and user.

use super::super::growth::Growth;
use super::super::policy::{Level, Share, User, format_bytes};
use super::{ImageQuestion, Objection, printable};

pub(super) fn size(image: &ImageQuestion<'_>, objections: &mut Vec<Objection>) {
    let size = image.facts.size;
    let Some(limit) = image.rule.image.max_size.filter(|limit| size > *limit) else { return };
    let message = format!("the image has {}, {} are allowed", format_bytes(size), format_bytes(limit));
    let largest = image.facts.scan.layers.iter().enumerate().max_by_key(|(_, layer)| layer.compressed_bytes);
    let next_step = "start with the largest layer; use a smaller base image or a multi-stage build";
    let mut objection = image.objection("size", Level::Deny, message, next_step);
    objection.reason.layer = largest.map(|(index, _)| image.layer(index));
    objections.push(objection);
}

/// The release whose place the image takes is the measure. The first one has none, and what is released already takes nobody's.
pub(super) fn growth(image: &ImageQuestion<'_>, objections: &mut Vec<Objection>) {
    let (Some(limit), Some(previous)) = (image.rule.image.max_growth, image.previous) else { return };
    let Some(growth) = Growth::new(previous, image.platform, image.facts) else { return };
    let bytes = growth.file_bytes;
    if !limit.exceeded_by(bytes.grown(), bytes.from) {
        return;
    }
    let worst = growth.layers.first();
    let blamed = worst.map_or_else(String::new, |layer| {
        let more = format_bytes(layer.grown_bytes);
        let how = if layer.is_new { "is new and has" } else { "has grown by" };
        let instruction = layer.instruction.as_deref().unwrap_or("no instruction");
        format!("; layer {} {how} {more}: `{}`", layer.index, printable(instruction, 100))
    });
    let message = format!(
        "files grew by {} from {} to {} since {}, {limit} are allowed; packages: {} before, {} now{blamed}",
        format_bytes(bytes.grown()),
        format_bytes(bytes.from),
        format_bytes(bytes.to),
        printable(&growth.previous, 200),
        growth.packages.from,
        growth.packages.to,
    );
    let next_step = "look at what that layer adds (`portcullis check --previous IMAGE --layers`), or ask for an exception";
    let mut objection = image.objection("growth", Level::Deny, message, next_step);
    objection.reason.layer = worst.map(|layer| image.layer(layer.index));
    objections.push(objection);
}

pub(super) fn layers(image: &ImageQuestion<'_>, objections: &mut Vec<Objection>) {
    let layers = image.facts.scan.layers.len();
    let Some(limit) = image.rule.image.max_layers.filter(|limit| layers > *limit) else { return };
    let message = format!("the image has {layers} layers, {limit} are allowed");
    objections.push(image.objection("layers", Level::Deny, message, "join RUN and COPY instructions"));
}

pub(super) fn waste(image: &ImageQuestion<'_>, objections: &mut Vec<Objection>) {
    let waste = &image.facts.scan.waste;
    let exceeded = |limit: &Share| limit.exceeded_by(waste.hidden_bytes, waste.total_bytes);
    let Some(limit) = image.rule.image.max_wasted.filter(exceeded) else { return };
    let worst = waste.paths.first();
    let told = worst.map_or_else(String::new, |path| {
        format!("; the worst is `{}` with {}", printable(&path.path, 200), format_bytes(path.bytes))
    });
    let (hidden, total) = (format_bytes(waste.hidden_bytes), format_bytes(waste.total_bytes));
    let message = format!("later layers hide {hidden} of {total}, {limit} are allowed{told}");
    let next_step = "delete files in the instruction that makes them, or use a multi-stage build";
    let mut objection = image.objection("waste", Level::Deny, message, next_step);
    objection.reason.layer = worst.map(|path| image.layer(path.layer));
    objections.push(objection);
}

pub(super) fn user(image: &ImageQuestion<'_>, objections: &mut Vec<Objection>) {
    let user = user_part(&image.facts.user);
    // Read as engines read it: `+0`, `-0` and `000` are 0 to them, so they are to us.
    let number = user.parse::<i128>().ok();
    let root = user.is_empty() || user == "root" || number == Some(0);
    let message = match image.rule.image.user {
        User::NonRoot | User::NonRootNumeric if root => "containers of this image start as root".to_owned(),
        User::NonRootNumeric if number.is_none() => {
            format!("user `{}` is a name, which the image itself could map to root", printable(user, 100))
        }
        User::Any | User::NonRoot | User::NonRootNumeric => return,
    };
    objections.push(image.objection("user", Level::Deny, message, "end the Dockerfile with `USER 10001`"));
}

/// `user[:group]`.
fn user_part(user: &str) -> &str {
    user.split_once(':').map_or(user, |(user, _)| user).trim()
}
