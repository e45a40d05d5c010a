//! `portcullis images`: what is stored, and how much of it images share.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, Table};

use super::UsageError;
use super::image_input::width;
use crate::gate::policy::format_bytes;
use crate::records::decisions::open_read_only;
use crate::stored_images::{StoredImage, StoredImages, stored_images};

/// List the stored images, each with the bytes of its layers and how many of them other images share.
///
/// Read beside a running gateway or without one, from its records: no layer is read. Staged and withdrawn images are listed
/// too, each with its state.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only this repository: `prod/app`.
    repository: Option<String>,
    /// The gateway's data folder.
    #[arg(long, value_name = "DIR", default_value = "portcullis-data")]
    data_dir: PathBuf,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// Prints to stdout.
///
/// # Errors
/// When there is nothing to ask.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if !args.data_dir.join("records.sqlite").exists() {
        let dir = args.data_dir.display();
        return Err(
            UsageError(format!("no images in `{dir}`; give the gateway's folder with --data-dir")).into()
        );
    }
    let connection = open_read_only(&args.data_dir).context("cannot open the gateway's records")?;
    let found = stored_images(&connection, args.repository.as_deref())?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
    } else {
        print!("{}", text(&found));
    }
    Ok(ExitCode::SUCCESS)
}

fn text(found: &StoredImages) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(width());
    table.set_header(["IMAGE", "STATE", "LAYERS", "BYTES", "SHARED", ""]);
    for image in &found.images {
        let StoredImage { repository, tags, digest, state, layers, bytes, shared_bytes } = image;
        let tags = if tags.is_empty() { String::new() } else { format!(":{}", tags.join(",")) };
        table.add_row([
            format!("{repository}{tags}@{digest}"),
            format!("{state:?}").to_lowercase(),
            layers.to_string(),
            format_bytes(*bytes),
            format_bytes(*shared_bytes),
            percent(*shared_bytes, *bytes),
        ]);
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let StoredImages { images, named_bytes, stored_bytes } = found;
    format!(
        "{table}\n\n{} images name {} of layers, {} are stored\n",
        images.len(),
        format_bytes(*named_bytes),
        format_bytes(*stored_bytes)
    )
}

fn percent(part: u64, whole: u64) -> String {
    let percent = u128::from(part) * 100 / u128::from(whole.max(1));
    format!("{percent} %")
}
