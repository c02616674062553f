//! Zips read again by programs that are not ours.

use super::*;
use holdfast_tar::write::{self, Entry as Header};
use std::process::Command;

async fn made(tar: Vec<u8>, most: usize) -> Result<Vec<u8>> {
    let size = if tar.len() > 1 << 20 { 1 << 20 } else { 1000 };
    let pieces: Vec<Result<Bytes>> = tar.chunks(size).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    let mut zip = zipped_within(stream::iter(pieces).boxed(), most);
    let mut all = Vec::new();
    while let Some(piece) = zip.next().await {
        all.extend_from_slice(&piece?);
    }
    Ok(all)
}

fn member(header: Header<'_>, content: &[u8]) -> Vec<u8> {
    [header.header().unwrap(), content.to_vec(), write::padding(content.len() as u64).to_vec()].concat()
}

/// A pipe: the header of a file with another kind, summed again.
fn pipe(path: &[u8]) -> Vec<u8> {
    let mut header = Header::file(path, 0).header().unwrap();
    header[156] = b'6';
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

fn tar(members: &[Vec<u8>]) -> Vec<u8> {
    [members.concat(), write::TRAILER.to_vec()].concat()
}

/// What Python's zipfile says, one line for each entry; every content is read and its sum compared.
fn told(zip: &[u8]) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.zip");
    std::fs::write(&path, zip).unwrap();
    if let Ok(output) = Command::new("unzip").arg("-tqq").arg(&path).output() {
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "unzip: {out}{err}");
    }
    let program = "import sys, zipfile, hashlib\nz = zipfile.ZipFile(sys.argv[1])\nassert z.testzip() is None\nfor i in z.infolist():\n  \
                   print(ascii(i.filename), oct(i.external_attr >> 16), i.file_size, hashlib.sha256(z.read(i)).hexdigest()[:8], i.date_time[0])";
    let output = Command::new("python3").args(["-c", program]).arg(&path).output().ok()?;
    assert!(output.status.success(), "python: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

#[tokio::test]
async fn a_zip_holds_what_the_tar_held_and_names_the_rest() {
    let noise: Vec<u8> = (0..300_000u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let zip = made(
        tar(&[
            member(Header::directory(b"data/").mode(0o750).mtime(1_700_000_000, 0), b""),
            member(Header::file("data/ü.txt".as_bytes(), 5).mode(0o640).mtime(1_700_000_000, 0), b"hello"),
            member(Header::file(b"data/noise", noise.len() as u64), &noise),
            member(Header::file(b"data/none", 0), b""),
            member(Header::file(b"data/\xff", 1), b"x"),
            member(Header::symlink(b"data/link", b"noise"), b""),
            pipe(b"data/pipe"),
        ]),
        DIRECTORY_MAX,
    )
    .await
    .unwrap();
    let Some(told) = told(&zip) else {
        eprintln!("SKIPPED: there is no Python");
        return;
    };
    println!("{told}");
    for line in [
        "'data/' 0o40750 0 ",
        "'data/\\xfc.txt' 0o100640 5 2cf24dba 2023",
        "'data/noise' 0o100644 300000 ",
        "'data/none' 0o100644 0 ",
        "'data/\\\\xFF' 0o100644 1 2d711642",
        "'data/link' 0o120777 5 ",
        "'NOT IN THIS ZIP.txt' 0o100644",
    ] {
        assert!(told.lines().any(|one| one.starts_with(line)), "no {line} in\n{told}");
    }
    assert_eq!(told.lines().count(), 7, "{told}");
    let text = String::from_utf8_lossy(&zip);
    assert!(text.contains("data/pipe: left out, a device or a pipe") && text.contains("data/\\xFF: written like this"));
}

#[tokio::test]
async fn more_than_sixty_five_thousand_entries_are_all_there() {
    let members: Vec<Vec<u8>> =
        (0..70_000).map(|number| member(Header::file(format!("d/{number}").as_bytes(), 1), b"x")).collect();
    let zip = made(tar(&members), DIRECTORY_MAX).await.unwrap();
    if let Some(told) = told(&zip) {
        assert_eq!(told.lines().count(), 70_000);
    }
    let error = made(tar(&members), 1 << 20).await.unwrap_err();
    assert_eq!(error.code(), "files.zip_large");
}

#[tokio::test]
async fn a_tar_that_breaks_off_makes_no_zip() {
    let whole = tar(&[member(Header::file(b"a", 5), b"hello"), member(Header::file(b"b", 5), b"hello")]);
    for cut in [600, 1024, 1500, whole.len() - 1000] {
        assert!(made(whole[..cut].to_vec(), DIRECTORY_MAX).await.is_err(), "{cut}");
    }
}

/// Five billion bytes: sizes and places of more than four bytes.
#[tokio::test]
async fn files_may_be_larger_than_four_gigabytes() {
    if std::env::var_os("HOLDFAST_TEST_DEEP").is_none() {
        println!("skipped: half a minute; set HOLDFAST_TEST_DEEP");
        return;
    }
    const SIZE: u64 = 5 << 30;
    let zeros = Bytes::from(vec![0u8; 1 << 20]);
    let first = stream::iter([Ok(Bytes::from(Header::file(b"big", SIZE).header().unwrap()))]);
    let body = stream::iter((0..SIZE >> 20).map(move |_| Ok(zeros.clone())));
    let last = stream::iter([
        Ok(Bytes::from(member(Header::file(b"small", 1), b"x"))),
        Ok(Bytes::from_static(&write::TRAILER)),
    ]);
    let mut zip = zipped(first.chain(body).chain(last).boxed());
    let mut all = Vec::new();
    while let Some(piece) = zip.next().await {
        all.extend_from_slice(&piece.unwrap());
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.zip");
    std::fs::write(&path, &all).unwrap();
    let output = Command::new("unzip").arg("-l").arg(&path).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("5368709120"), "{output:?}");
    let tested = Command::new("unzip").arg("-tqq").arg(&path).output().unwrap();
    assert!(tested.status.success(), "{tested:?}");
}
