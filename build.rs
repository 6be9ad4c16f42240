//! The files of datasets are compiled into the binary (`src/dataset/files.rs`). Cargo sees changed files by itself, but no new ones.

fn main() {
    println!("cargo::rerun-if-changed=queries");
    println!("cargo::rerun-if-changed=schemas");
}
