//! `roundhouse datasets new`: guesses a dataset from a file, and writes its files.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use indicatif::HumanCount;

use crate::commands::{CommandError, table};
use crate::counted::counted;
use crate::dataset::files::Origin;
use crate::dataset::{DatasetError, is_name};
use crate::domain::decimal_mark::DecimalMark;
use crate::guess::{Guess, MAX_HEAD_BYTES, MAX_ROWS, guess};
use crate::settings::DatasetsNewOptions;

pub(super) fn run(options: &DatasetsNewOptions) -> Result<(), CommandError> {
    check_name(&options.name)?;
    let (head, is_whole) = read_head(&options.from)?;
    let file = options.from.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let guess = guess(&options.name, &file, &head, is_whole)
        .map_err(|error| CommandError::failed(format!("{}: {error}", options.from.display())))?;
    let paths = write(&options.into, &options.name, &guess.files())?;
    table::print(report(&guess, options, &paths))
}

fn check_name(name: &str) -> Result<(), CommandError> {
    if !is_name(name) {
        return Err(CommandError::usage(DatasetError::Name { name: name.to_owned() }.to_string()));
    }
    let shipped = Origin::Shipped.names().map_err(|error| CommandError::failed(error.to_string()))?;
    if shipped.iter().any(|known| known == name) || name == "engine" {
        return Err(CommandError::usage(format!(
            "the name {name} belongs to the program; choose another one"
        )));
    }
    Ok(())
}

/// Returns the first bytes of a file, and whether it has no others.
fn read_head(path: &Path) -> Result<(Vec<u8>, bool), CommandError> {
    let failed = |error| CommandError::failed(format!("cannot read {}: {error}", path.display()));
    let mut head = Vec::new();
    let file = fs::File::open(path).map_err(failed)?;
    file.take(MAX_HEAD_BYTES + 1).read_to_end(&mut head).map_err(failed)?;
    let is_whole = head.len() as u64 <= MAX_HEAD_BYTES;
    head.truncate(usize::try_from(MAX_HEAD_BYTES).unwrap_or(usize::MAX));
    Ok((head, is_whole))
}

/// Writes the files below a directory. Nothing is written if one of them exists, or could be mixed with files of another dataset.
fn write(directory: &Path, name: &str, files: &[(String, String)]) -> Result<Vec<PathBuf>, CommandError> {
    let folder = directory.join("queries").join(name);
    let paths: Vec<PathBuf> = files.iter().map(|(path, _)| directory.join(path)).collect();
    if let Some(existing) =
        std::iter::once(&folder).chain(&paths).find(|path| path.symlink_metadata().is_ok())
    {
        return Err(CommandError::failed(format!(
            "{} exists already, and is not overwritten; choose another name or --into another directory",
            existing.display()
        )));
    }
    for (path, (_, text)) in paths.iter().zip(files) {
        let failed = |error| CommandError::failed(format!("cannot write {}: {error}", path.display()));
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        let mut file = fs::File::create_new(path).map_err(failed)?;
        file.write_all(text.as_bytes()).map_err(failed)?;
    }
    Ok(paths)
}

fn report(guess: &Guess, options: &DatasetsNewOptions, paths: &[PathBuf]) -> String {
    let (name, from, into) = (&options.name, options.from.display(), options.into.display());
    let first = if guess.rows == MAX_ROWS { "the first " } else { "" };
    let key = match guess.key_name() {
        Some(key) => format!("the key is {key}, since every row has another one"),
        None => "no key: each row counts".to_owned(),
    };
    let mut text = format!(
        "{from}: {first}{} rows of {}, {}; {key}\n",
        HumanCount(guess.rows),
        guess.encoding,
        counted(guess.column_count() as u64, "column"),
    );
    for left_out in &guess.left_out {
        text += &format!("  left out {}: {}\n", left_out.name, left_out.reason);
    }
    if guess.rejected > 0 {
        text += &format!("  {} would be rejected:\n", counted(guess.rejected, "row"));
        text.extend(guess.reasons.iter().map(|reason| format!("    {reason}\n")));
    }
    text += "wrote\n";
    text.extend(paths.iter().map(|path| format!("  {}\n", path.display())));
    let decimal = if guess.decimal == DecimalMark::Comma { "?decimal=comma" } else { "" };
    text + &format!(
        "Types, key and tables are guesses: read the comments and edit the files. Then\n  \
         roundhouse datasets check {into}\n  \
         roundhouse serve --datasets {into} --dataset {name}\n  \
         curl -F file=@{from} 'localhost:8000/datasets/{name}/rows{decimal}'\n  \
         roundhouse query {name} list\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_written_if_a_file_exists() {
        let directory = tempfile::tempdir().unwrap();
        let files =
            [("schemas/a.avsc".to_owned(), "1".to_owned()), ("data/a.csv".to_owned(), "2".to_owned())];
        assert_eq!(write(directory.path(), "a", &files).unwrap().len(), 2);
        let other = [("queries/a/dataset.toml".to_owned(), "3".to_owned()), files[1].clone()];
        let error = write(directory.path(), "a", &other).unwrap_err().message.unwrap();
        assert!(error.contains("data/a.csv exists already"), "{error}");
        assert!(!directory.path().join("queries").exists());
        assert_eq!(fs::read_to_string(directory.path().join("data/a.csv")).unwrap(), "2");
        fs::create_dir_all(directory.path().join("queries/b")).unwrap();
        let error = write(directory.path(), "b", &[]).unwrap_err().message.unwrap();
        assert!(error.contains("queries/b exists already"), "{error}");
    }

    #[test]
    fn a_name_of_the_program_or_of_no_dataset_is_refused() {
        for (name, message) in
            [("bets", "belongs to the program"), ("engine", "belongs"), ("A b", "must have 1 to 48")]
        {
            let error = check_name(name).unwrap_err().message.unwrap();
            assert!(error.contains(message), "{error}");
        }
        assert!(check_name("payments").is_ok());
    }
}
