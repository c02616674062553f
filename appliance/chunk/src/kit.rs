//! The recovery kit: what a person keeps on paper to get everything back from the bucket alone.
//!
//! Invariants: reading forgives case, spaces, dashes and look-alike letters; a checksum over key and
//! repository id finds a slip of the pen; the kit holds no credentials of the bucket.

use crate::base32;
use holdfast_model::{Error, Moment, RepositoryId, Result};
use zeroize::Zeroizing;

const CHECK: usize = 4;
/// 36 bytes in base 32.
const SYMBOLS: usize = 58;
/// A kit is a page; more is something else.
const TEXT_MAX: usize = 64 * 1024;

/// What the kit says.
#[derive(Clone, PartialEq, Eq)]
pub struct Kit {
    /// The repository.
    pub repository: RepositoryId,
    /// Bucket URL, without credentials; `None` while none is set.
    pub bucket: Option<String>,
    /// The recovery key.
    pub key: Zeroizing<[u8; 32]>,
    /// The appliance's name, for people.
    pub appliance: String,
    /// When it was printed, for people.
    pub made: Option<Moment>,
}

impl Kit {
    /// The page.
    pub fn render(&self) -> String {
        // On one line, whatever it is: a second one could pass for another word of the kit.
        let bucket = self.bucket.as_deref().map(|url| url.replace(char::is_control, ""));
        let url = bucket.as_deref().unwrap_or("URL");
        let bucket = bucket.as_deref().unwrap_or("none yet: print the kit again when a bucket is set");
        let made = self.made.map(|at| at.to_string()).unwrap_or_default();
        format!(
            "HOLDFAST RECOVERY KIT\n\
             =====================\n\n\
             Appliance:     {}\n\
             Made:          {made}\n\
             Repository:    {}\n\
             Bucket:        {bucket}\n\
             Recovery key:  {}\n\n\
             Whoever holds this page and can read the bucket can read every backup.\n\
             Without it, and without the appliance, nobody can: keep it offline, in two places.\n\n\
             To get everything back on an empty machine:\n\n\
             1. Install holdfast and save this page as kit.txt.\n\
             2. Have the bucket's access key at hand; it is not on this page.\n\
             3. Run: holdfast recover --bucket '{url}' --kit kit.txt\n",
            one_line(&self.appliance),
            self.repository,
            self.grouped(),
        )
    }

    /// The key with its checksum in groups of six.
    pub fn grouped(&self) -> String {
        let mut bytes = Zeroizing::new(self.key.to_vec());
        bytes.extend_from_slice(&check(&self.key, &self.repository));
        let text = Zeroizing::new(base32::encode(&bytes));
        let groups: Vec<&str> = (0..text.len()).step_by(6).map(|at| &text[at..(at + 6).min(text.len())]).collect();
        groups.join("-")
    }

    /// Reads a page, typed in or scanned. `Invalid`: `kit.malformed` if something is missing or unreadable,
    /// `kit.checksum` if a letter is wrong.
    pub fn parse(text: &str) -> Result<Kit> {
        if text.len() > TEXT_MAX {
            return Err(malformed("it is far too long for a recovery kit"));
        }
        let id: String = field(text, "repository").ok_or_else(|| malformed("the line “Repository:” is missing"))?;
        let id: String = id.chars().filter(|c| !c.is_whitespace() && *c != '-').collect::<String>().to_lowercase();
        let repository: RepositoryId =
            id.parse().map_err(|_| malformed("the repository id is not 32 digits of 0-9 and a-f"))?;
        let key = parse_key(text, &repository)?;
        let bucket = field(text, "bucket").filter(|url| url.contains("://"));
        let made = field(text, "made").and_then(|at| Moment::parse(&at));
        Ok(Kit { repository, bucket, key, appliance: field(text, "appliance").unwrap_or_default(), made })
    }
}

impl std::fmt::Debug for Kit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Kit({}, •••)", self.repository.short())
    }
}

/// The words after a label, whatever its case and indentation.
fn field(text: &str, label: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (name, rest) = line.split_once(':')?;
        let name: Vec<&str> = name.split_whitespace().collect();
        name.join(" ").eq_ignore_ascii_case(label).then(|| rest.trim().to_owned())
    })
}

/// Symbols after “Recovery key:”, on as many lines as the page was broken into.
fn parse_key(text: &str, repository: &RepositoryId) -> Result<Zeroizing<[u8; 32]>> {
    let mut values = Zeroizing::new(Vec::with_capacity(SYMBOLS));
    let mut lines = text.lines().skip_while(|line| {
        let name = line.split(':').next().unwrap_or_default();
        !(line.contains(':')
            && name.split_whitespace().collect::<Vec<_>>().join(" ").eq_ignore_ascii_case("recovery key"))
    });
    let first = lines.next().ok_or_else(|| malformed("the line “Recovery key:” is missing"))?;
    let first = first.split_once(':').map_or("", |(_, rest)| rest);
    for part in std::iter::once(first).chain(lines) {
        if part.trim().is_empty() && !values.is_empty() {
            break;
        }
        for symbol in part.chars().filter(|c| !c.is_whitespace() && *c != '-') {
            if values.len() == SYMBOLS {
                break;
            }
            let value = base32::value(symbol)
                .ok_or_else(|| malformed(&format!("the recovery key cannot hold the character “{symbol}”")))?;
            values.push(value);
        }
        if values.len() == SYMBOLS {
            break;
        }
    }
    if values.len() != SYMBOLS {
        return Err(malformed(&format!("the recovery key has {} of {SYMBOLS} characters", values.len())));
    }
    let bytes = Zeroizing::new(base32::decode(&values).ok_or_else(slip)?);
    let mut key = Zeroizing::new([0u8; 32]);
    key.copy_from_slice(&bytes[..32]);
    if bytes[32..] == check(&key, repository) { Ok(key) } else { Err(slip()) }
}

fn check(key: &[u8; 32], repository: &RepositoryId) -> [u8; CHECK] {
    let mut hasher = blake3::Hasher::new_derive_key("holdfast 2026 kit checksum v1");
    hasher.update(key);
    hasher.update(repository.as_bytes());
    let mut check = [0u8; CHECK];
    hasher.finalize_xof().fill(&mut check);
    check
}

fn one_line(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(80).collect()
}

fn malformed(why: &str) -> Error {
    Error::invalid("kit.malformed", format!("this is not a readable recovery kit: {why}"))
        .advice("give the page as “holdfast key kit” wrote it, with its lines “Repository:” and “Recovery key:”")
}

fn slip() -> Error {
    Error::invalid("kit.checksum", "the recovery key or the repository id in the kit has a wrong character")
        .advice("compare both with the printed page, letter by letter")
}
