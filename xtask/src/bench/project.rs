//! Folders that Mayfly serves.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Result;
use crate::bench::Bench;

/// A folder with a `gateway.toml` and `handlers/`, made anew; what Mayfly itself
/// has put there, as the code that it compiled, is kept.
pub struct Project {
    pub folder: PathBuf,
}

impl Project {
    pub fn new(bench: &Bench<'_>, name: &str, gateway: &str) -> Result<Self> {
        let folder = bench.folder.join(name);
        let handlers = folder.join("handlers");
        if handlers.exists() {
            fs::remove_dir_all(&handlers)?;
        }
        fs::create_dir_all(&handlers)?;
        fs::write(folder.join("gateway.toml"), gateway)?;
        Ok(Self { folder })
    }

    pub fn handler(&self, name: &str) -> PathBuf {
        self.folder.join("handlers").join(format!("{name}.wasm"))
    }

    /// Many handlers that do the same and are different files; the paths where
    /// they answer.
    pub fn handlers(&self, of: &Path, number: usize) -> Result<Vec<String>> {
        let code = fs::read(of)?;
        let names = (0..number).map(|index| format!("h{index}"));
        names
            .map(|name| {
                fs::write(self.handler(&name), with_section(&code, &name))?;
                Ok(format!("/{name}"))
            })
            .collect()
    }

    /// Another content for a handler, at once, as a build has it.
    pub fn replace(&self, name: &str, code: &[u8]) -> Result {
        let new = self.folder.join("new.wasm");
        fs::write(&new, code)?;
        Ok(fs::rename(new, self.handler(name))?)
    }

    /// Forgets the code that was compiled.
    pub fn forget_code(&self) -> Result {
        let data = self.folder.join(".mayfly");
        if data.exists() {
            fs::remove_dir_all(data)?;
        }
        Ok(())
    }
}

/// The same code with a custom section after it, which makes it another file.
fn with_section(code: &[u8], text: &str) -> Vec<u8> {
    const NAME: &[u8] = b"bench";
    let mut section = vec![u8::try_from(NAME.len()).unwrap_or(0)];
    section.extend(NAME);
    section.extend(text.bytes());
    let mut file = code.to_vec();
    // Its kind and its length, as LEB128.
    file.push(0);
    let mut length = section.len();
    while length >= 0x80 {
        file.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    file.push(length as u8);
    file.extend(section);
    file
}

/// The code with another text of the same length in place of the only one.
pub fn patched(code: &[u8], old: &str, new: &str) -> Result<Vec<u8>> {
    let windows = code.windows(old.len()).enumerate();
    let places: Vec<usize> =
        windows.filter(|(_, window)| *window == old.as_bytes()).map(|(at, _)| at).collect();
    match places[..] {
        [at] if old.len() == new.len() => {
            let mut patched = code.to_vec();
            patched[at..at + new.len()].copy_from_slice(new.as_bytes());
            Ok(patched)
        }
        _ => Err(format!("{old:?} is there {} times, to become {new:?}", places.len()).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_tells_its_length() {
        let file = with_section(b"code", "h1");
        assert_eq!(file, *b"code\0\x08\x05benchh1");
        let long = with_section(b"", &"x".repeat(194));
        assert_eq!(long[..4], [0, 0xc8, 0x01, 5]);
        assert_eq!(long.len(), 3 + 200);
    }

    #[test]
    fn a_text_is_replaced_where_it_is_the_only_one() {
        assert_eq!(patched(b"say one!", "one", "two").expect("a place"), *b"say two!");
        assert!(patched(b"one one", "one", "two").is_err());
        assert!(patched(b"one", "one", "three").is_err());
    }
}
