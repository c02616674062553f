//! The catalog as its users see it, on disk and in memory, whole and damaged.

use super::*;
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

fn fill(catalog: &Catalog, rows: u32) {
    for i in 0..rows {
        catalog.put(Table::Packs, &format!("pack/{i:05}"), &vec![i; 50]).unwrap();
    }
    catalog.put(Table::Facts, "fact", &"words").unwrap();
    catalog.flush().unwrap();
}

fn behaves(catalog: &Catalog) {
    fill(catalog, 20);
    assert_eq!(catalog.get::<Vec<u32>>(Table::Packs, "pack/00007"), Some(vec![7; 50]));
    assert_eq!(catalog.get::<Vec<u32>>(Table::Jobs, "pack/00007"), None);
    assert_eq!(catalog.get::<String>(Table::Packs, "pack/00007"), None, "another shape reads as absent");
    let rows = catalog.list::<Vec<u32>>(Table::Packs, "pack/0001");
    assert_eq!(rows.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>()[..2], ["pack/00010", "pack/00011"]);
    assert_eq!(rows.len(), 10);
    catalog.remove(Table::Packs, "pack/00010").unwrap();
    catalog.remove(Table::Packs, "never").unwrap();
    assert_eq!(catalog.list::<Vec<u32>>(Table::Packs, "").len(), 19);
    catalog.clear(Table::Packs).unwrap();
    assert_eq!(catalog.list::<Vec<u32>>(Table::Packs, "").len(), 0);
    assert_eq!(catalog.get::<String>(Table::Facts, "fact").as_deref(), Some("words"));
}

#[test]
fn behaves_in_memory_and_on_disk() {
    behaves(&Catalog::in_memory());
    let folder = TempDir::new().unwrap();
    let (catalog, opened) = Catalog::open(&folder.path().join("catalog")).unwrap();
    assert_eq!(opened, Opened::Fresh);
    behaves(&catalog);
}

#[test]
fn remembers_across_openings_and_takes_a_deleted_folder_as_fresh() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("catalog");
    fill(&Catalog::open(&path).unwrap().0, 5);
    let (catalog, opened) = Catalog::open(&path).unwrap();
    assert_eq!(opened, Opened::Existing);
    assert_eq!(catalog.list::<Vec<u32>>(Table::Packs, "").len(), 5);
    drop(catalog);
    fs::remove_dir_all(&path).unwrap();
    assert_eq!(Catalog::open(&path).unwrap().1, Opened::Fresh);
}

#[test]
fn a_second_process_is_turned_away_not_renewed() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("catalog");
    let (catalog, _) = Catalog::open(&path).unwrap();
    fill(&catalog, 5);
    assert_eq!(Catalog::open(&path).unwrap_err().code(), "catalog.locked");
    assert_eq!(catalog.list::<Vec<u32>>(Table::Packs, "").len(), 5);
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Opens a damaged folder, uses everything, opens again: no panic, no wrong row, and in the end it works.
fn survives(path: &Path) -> Opened {
    let (catalog, opened) = Catalog::open(path).unwrap();
    for (key, row) in catalog.list::<Vec<u32>>(Table::Packs, "") {
        let number: u32 = key["pack/".len()..].parse().unwrap();
        assert_eq!(row, vec![number; 50], "a wrong row");
    }
    let _ = catalog.get::<String>(Table::Facts, "fact");
    let wrote = catalog.put(Table::Jobs, "job", &1);
    let _ = catalog.flush();
    drop(catalog);
    let (catalog, again) = Catalog::open(path).unwrap();
    if wrote.is_err() {
        assert_eq!(again, Opened::Renewed, "what failed in use begins anew");
    }
    catalog.put(Table::Jobs, "job", &2).unwrap();
    assert_eq!(catalog.get::<u32>(Table::Jobs, "job"), Some(2));
    opened
}

#[test]
fn damage_of_any_kind_ends_in_a_working_catalog() {
    let folder = TempDir::new().unwrap();
    let model = folder.path().join("model");
    fill(&Catalog::open(&model).unwrap().0, 2000);
    let names: Vec<PathBuf> = files(&model).iter().map(|file| file.strip_prefix(&model).unwrap().into()).collect();
    let mut renewed = 0;
    let mut number = 0;
    let mut damage = |name: &Path, spoil: &dyn Fn(&mut Vec<u8>)| {
        number += 1;
        let path = folder.path().join(format!("case{number}"));
        for name in &names {
            fs::create_dir_all(path.join(name).parent().unwrap()).unwrap();
            fs::copy(model.join(name), path.join(name)).unwrap();
        }
        let mut bytes = fs::read(path.join(name)).unwrap();
        spoil(&mut bytes);
        fs::write(path.join(name), bytes).unwrap();
        if survives(&path) == Opened::Renewed {
            renewed += 1;
            assert!(folder.path().join(format!("case{number}.damaged")).exists());
        }
        fs::remove_dir_all(&path).unwrap();
    };
    for name in &names {
        damage(name, &|bytes| bytes.truncate(bytes.len() / 2));
        damage(name, &Vec::clear);
        damage(name, &|bytes| bytes.fill(0xff));
        damage(name, &|bytes| bytes.fill(0));
        for part in 0..8 {
            damage(name, &|bytes| {
                let at = (bytes.len() * part / 8 + 17 * part).min(bytes.len().saturating_sub(1));
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 0x41;
                }
            });
        }
    }
    assert!(renewed > 2, "the damage was real: {renewed} of {number} renewed");
}

#[test]
fn a_file_in_place_of_the_folder_is_moved_aside_too() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("catalog");
    fs::write(&path, b"not a folder").unwrap();
    assert_eq!(Catalog::open(&path).unwrap().1, Opened::Renewed);
    assert!(folder.path().join("catalog.damaged").exists());
}
