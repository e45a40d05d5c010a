//! `portcullis demo`: the main job, shown in a minute on a server of its own.

pub mod image;
mod stage;

use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{ContentArrangement, Table};

use self::image::{Image, Package};
use self::stage::{Answer, Stage};

/// Where the demonstration pushes.
const REPOSITORY: &str = "demo/app";
/// What the demonstration's advisories have something against, and the same fixed.
const VULNERABLE: &[Package] = &[
    Package { name: "demo-openssl", version: "3.3.1-r0" },
    Package { name: "demo-busybox", version: "1.36.1-r29" },
];
const FIXED: &[Package] = &[
    Package { name: "demo-openssl", version: "3.3.1-r3" },
    Package { name: "demo-busybox", version: "1.36.1-r29" },
];

/// Shows the main job in a minute: three pushes, three answers, on a server of its own.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Leave the server running at the end and say how to use it with docker.
    #[arg(long)]
    keep: bool,
}

/// Runs the demonstration.
///
/// # Errors
/// When the server does not start, or any answer differs from what the demonstration promises.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(show(&args))
}

async fn show(args: &Args) -> anyhow::Result<ExitCode> {
    let stage = Stage::set().await.context("the demonstration's server does not start")?;
    println!(
        "A gateway listens on http://{}; all its files are in {}.",
        stage.address(),
        stage.folder().display()
    );
    println!(
        "Its policy: signed by the release key, nothing high or critical, not root, pulled by digest.\n"
    );

    let vulnerable = image::build(VULNERABLE, "hello from the demo")?;
    let clean = image::build(FIXED, "hello from the demo")?;
    let rows = [
        refused(&stage, &vulnerable).await.context("act 1, the vulnerable image")?,
        staged(&stage, &clean).await.context("act 2, the unsigned image")?,
        released(&stage, &clean).await.context("act 3, the signed image")?,
    ];

    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["image", "push", "state", "engine pulls by digest", "Kubernetes admission"]);
    table.add_rows(rows);
    println!("{table}\n");
    if args.keep {
        stage.keep(REPOSITORY, &clean.manifest.digest).await?;
        return Ok(ExitCode::SUCCESS);
    }
    println!("Where to go next:");
    println!("  portcullis demo --keep      the same, and the server stays for docker, skopeo and cosign");
    println!(
        "  portcullis serve            a gateway of your own: writes a strict policy, keys and an account"
    );
    println!("  portcullis check --help     the same verdict in a pipeline, without a server");
    println!("  README.md, ARCHITECTURE.md, ci-examples/jenkins");
    Ok(ExitCode::SUCCESS)
}

/// One line of the summary.
type Row = [String; 5];

/// Act 1: the push is refused with its reasons, and nothing of the image can be had.
async fn refused(stage: &Stage, image: &Image) -> anyhow::Result<Row> {
    println!("1. An image with a known hole: demo-openssl 3.3.1-r0");
    let pushed = stage.push(REPOSITORY, "1.0", image).await?;
    expect("push", &pushed, 403)?;
    let pulled = stage.pull(REPOSITORY, &image.manifest.digest).await?;
    ensure!(!pulled.ok(), "the refused image was served");
    println!("   pull by an engine, by digest: {}", pulled.first_line());
    let admitted = stage.admission(REPOSITORY, &image.manifest.digest).await?;
    ensure!(!admitted.allowed, "the admission door let the refused image pass");
    println!("   Kubernetes asks: denied\n");
    Ok(row("vulnerable", &pushed, "nothing stored", &pulled, admitted.allowed))
}

/// Act 2: stored for its producer, hidden from everyone else.
async fn staged(stage: &Stage, image: &Image) -> anyhow::Result<Row> {
    println!("2. The same with demo-openssl 3.3.1-r3, not signed yet, pushed over the same tag");
    let pushed = stage.push(REPOSITORY, "1.0", image).await?;
    expect("push", &pushed, 201)?;
    let pulled = stage.pull(REPOSITORY, &image.manifest.digest).await?;
    ensure!(!pulled.ok(), "the unsigned image was served");
    println!("   pull by an engine, by digest: {}", pulled.first_line());
    let admitted = stage.admission(REPOSITORY, &image.manifest.digest).await?;
    ensure!(!admitted.allowed, "the admission door let the unsigned image pass");
    println!("   Kubernetes asks: denied\n");
    Ok(row("clean, unsigned", &pushed, "staged", &pulled, admitted.allowed))
}

/// Act 3: the signature arrives, and with it the release.
async fn released(stage: &Stage, image: &Image) -> anyhow::Result<Row> {
    println!("3. The same image, signed with the release key (what `cosign sign` or `portcullis sign` does)");
    let signed = stage.sign(REPOSITORY, image).await?;
    expect("push the signature", &signed, 201)?;
    let pulled = stage.pull(REPOSITORY, &image.manifest.digest).await?;
    ensure!(pulled.ok(), "the released image is not served: {}", pulled.text);
    println!("   pull by an engine, by digest: {}", pulled.first_line());
    for blob in &image.blobs {
        let served = stage.blob(REPOSITORY, &blob.digest).await?;
        ensure!(served == blob.bytes, "blob `{}` came back changed", blob.digest);
    }
    println!("   config and layers: pulled, every digest as pushed");
    let admitted = stage.admission(REPOSITORY, &image.manifest.digest).await?;
    ensure!(admitted.allowed, "the admission door refuses the released image: {}", admitted.message);
    println!("   Kubernetes asks: allowed\n");
    Ok(row("clean, signed", &signed, "released", &pulled, admitted.allowed))
}

fn expect(what: &str, answer: &Answer, status: u16) -> anyhow::Result<()> {
    println!("   {what}: {}", answer.first_line());
    for line in answer.text.lines() {
        println!("      {line}");
    }
    ensure!(
        answer.status == status,
        "{what}: expected status {status}, got {}: {}",
        answer.status,
        answer.text
    );
    Ok(())
}

fn row(image: &str, pushed: &Answer, state: &str, pulled: &Answer, admitted: bool) -> Row {
    let admitted = if admitted { "allowed" } else { "denied" };
    [image, &pushed.first_line(), state, &pulled.first_line(), admitted].map(str::to_owned)
}
