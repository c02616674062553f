//! Makes cargo look again when the web UI was built: embedded files are not Rust sources.

fn main() {
    let pages = std::path::Path::new("ui/dist");
    // A watched path that does not exist would rebuild this crate each time.
    if !pages.exists() && std::fs::create_dir_all(pages).is_err() {
        println!("cargo::warning=web/ui/dist cannot be made; this build carries no web pages");
        println!("cargo::rerun-if-changed=build.rs");
        return;
    }
    println!("cargo::rerun-if-changed=ui/dist");
}
