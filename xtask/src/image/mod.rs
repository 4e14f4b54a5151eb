//! `cargo xtask image`: a container image with nothing in it but the static binary, as one archive that docker, podman and
//! containerd load. It is written here: no runtime is needed to make it, and the same binary gives the same image.

mod tar;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::say::say;
use crate::{build, paths, sha256};

/// Name and tag of the image.
const NAME: &str = concat!("upstream-trace:", env!("CARGO_PKG_VERSION"));
/// Where the binary is in it.
const BINARY: &str = "upstream-trace";

/// What to make the image of.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// A static binary that is there already, instead of a new one
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

/// Builds the binary and writes the image beside it.
pub(crate) fn image(options: Options) -> Result<()> {
    let binary = match options.binary {
        Some(path) => path,
        None => build::build(build::Options::statically())?,
    };
    let bytes = fs::read(&binary).with_context(|| format!("read {}", binary.display()))?;
    let path = paths::target().join("upstream-trace.image.tar");
    fs::write(&path, archive(&bytes)).with_context(|| format!("write {}", path.display()))?;
    say("Wrote", format!("{} ({NAME}); `docker load -i` or `podman load -i` takes it", paths::shown(&path)));
    Ok(())
}

/// The image with a binary that need not be static, for the fault lab; returns where it is. What differs are the
/// libraries.
pub(crate) fn for_lab(binary: &Path) -> Result<PathBuf> {
    let output = Command::new("ldd").arg(binary).output().context("run ldd")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let libraries = text.split_whitespace().filter_map(|word| word.strip_prefix('/'));
    let read = |name: &str| {
        let path = Path::new("/").join(name);
        Ok((name.to_owned(), fs::read(&path).with_context(|| format!("read {}", path.display()))?))
    };
    let libraries = libraries.map(read).collect::<Result<Vec<_>>>()?;
    let bytes = fs::read(binary).with_context(|| format!("read {}", binary.display()))?;
    let path = paths::target().join("lab.image.tar");
    fs::write(&path, archive_with(&bytes, &libraries))
        .with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}

/// An archive in the layout of the Open Container Initiative, with the manifest that docker before 25 looks for.
pub(crate) fn archive(binary: &[u8]) -> Vec<u8> {
    archive_with(binary, &[])
}

fn archive_with(binary: &[u8], libraries: &[(String, Vec<u8>)]) -> Vec<u8> {
    let libraries = libraries.iter().map(|(name, bytes)| (name.clone(), 0o755, bytes.as_slice()));
    let layer =
        tar::archive(&[(BINARY.to_owned(), 0o755, binary)].into_iter().chain(libraries).collect::<Vec<_>>());
    let layer_digest = sha256::hex(&layer);
    let config = json!({
        "architecture": architecture(),
        "os": "linux",
        "config": {"Entrypoint": [format!("/{BINARY}")], "Labels": {"org.opencontainers.image.title": "upstream-trace"}},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer_digest}")]},
    })
    .to_string();
    let config_digest = sha256::hex(config.as_bytes());
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", config.as_bytes()),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &layer)],
    })
    .to_string();
    let mut listed = descriptor("application/vnd.oci.image.manifest.v1+json", manifest.as_bytes());
    listed["annotations"] =
        json!({"io.containerd.image.name": NAME, "org.opencontainers.image.ref.name": NAME});
    let index = json!({"schemaVersion": 2, "manifests": [listed]}).to_string();
    let blob = |digest: &str| format!("blobs/sha256/{digest}");
    let for_docker =
        json!([{"Config": blob(&config_digest), "RepoTags": [NAME], "Layers": [blob(&layer_digest)]}])
            .to_string();
    let files = [
        (blob(&layer_digest), layer.as_slice()),
        (blob(&config_digest), config.as_bytes()),
        (blob(&sha256::hex(manifest.as_bytes())), manifest.as_bytes()),
        ("index.json".to_owned(), index.as_bytes()),
        ("manifest.json".to_owned(), for_docker.as_bytes()),
        ("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#),
    ];
    tar::archive(&files.map(|(name, bytes)| (name, 0o644, bytes)))
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": format!("sha256:{}", sha256::hex(bytes)), "size": bytes.len()})
}

/// As Go names it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_blob_has_the_name_of_its_digest_and_is_named_by_another() {
        let archive = archive(b"program");
        assert_eq!(archive, super::archive(b"program"), "the same binary gives the same image");
        let files = tar::tests::files(&archive);
        let text = |name: &str| String::from_utf8(files[name].clone()).unwrap();
        let index: Value = serde_json::from_str(&text("index.json")).unwrap();
        let blob = |descriptor: &Value| {
            let digest = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
            let bytes = files[&format!("blobs/sha256/{digest}")].clone();
            assert_eq!(
                (sha256::hex(&bytes), bytes.len() as u64),
                (digest.to_owned(), descriptor["size"].as_u64().unwrap())
            );
            bytes
        };
        let manifest: Value = serde_json::from_slice(&blob(&index["manifests"][0])).unwrap();
        let config: Value = serde_json::from_slice(&blob(&manifest["config"])).unwrap();
        let layer = blob(&manifest["layers"][0]);
        assert_eq!(config["rootfs"]["diff_ids"][0], format!("sha256:{}", sha256::hex(&layer)));
        assert_eq!(tar::tests::files(&layer)[BINARY], b"program");
        let for_docker: Value = serde_json::from_str(&text("manifest.json")).unwrap();
        assert!(files.contains_key(for_docker[0]["Config"].as_str().unwrap()));
    }
}
